package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"

	"quorate/engine"
	"quorate/engine/denial"
	"quorate/eventlog"
	"quorate/internal/pki"
)

const (
	// membersMax bounds the orchestrators of a cluster: every one more makes every
	// append slower.
	membersMax      = 9
	addressBytesMax = 253 + len(":65535")
	// joinRacesMax bounds how often a join tries another number because another
	// one took it.
	joinRacesMax = 16
)

const (
	errNotJoinable = "this orchestrator is not one that others can join"
	hintJoinable   = `start it with --raft ADDR`
	hintMembers    = `"quorate cluster members" lists who is`
	hintAddress    = `give this one another --raft, or another --advertise`
)

// A JoinRequest is what an orchestrator shows to become a member. Nothing in it
// is trusted but that the sender knows the token's secret.
type JoinRequest struct {
	Secret string
	// RequestID is the joiner's, kept where it survives: it asks again with the
	// same one, and gets the same number.
	RequestID string
	Name      string // its host's, for display
	// RaftAddress, AgentAddress and APIAddress are host:port; the latter two are
	// empty where it does not serve agents or operators.
	RaftAddress, AgentAddress, APIAddress string
	// Replaces is the member that leaves for it, or 0. Force is to do so also where
	// that one answers.
	Replaces uint64
	Force    bool
	// FreeBytes is the room on the disk of its data directory; 0 is not known.
	FreeBytes uint64
}

// A JoinAnswer makes an orchestrator a member.
type JoinAnswer struct {
	Replica   uint64
	ClusterID string
	// Members are the Raft addresses of all members, its own included.
	Members map[uint64]string
	// Files make it one of this cluster: certificates and their keys, by name.
	// They are secrets.
	Files map[string][]byte
}

// Join makes an orchestrator a member and spends its token. One that lost the
// answer may ask again, any member, and gets the same.
func (o *Orchestrator) Join(ctx context.Context, req JoinRequest) (*JoinAnswer, error) {
	if o.cfg.Secrets == nil || !o.joins() {
		return nil, &Error{Code: Conflict, Message: errNotJoinable, Hint: hintJoinable}
	}
	if err := checkJoin(req); err != nil {
		return nil, err
	}
	known := false
	hash := pki.HashSecret(req.Secret)
	o.View(func(s *engine.State) { known = s.Tokens[hash] != nil })
	if !known && !o.strangers.allow(o.cfg.Now()) {
		return nil, &Error{Code: Unavailable, Message: "too many requests with unknown tokens", Hint: "try again in a minute", Err: denial.Guesses}
	}
	if err := o.Barrier(ctx); err != nil {
		return nil, err
	}
	if _, err := o.members(ctx); err != nil { // who votes by now: see mayJoinAgain
		return nil, &Error{Code: Unavailable, Message: "the members are not known: " + err.Error(), Hint: "try again", Err: err}
	}
	for range joinRacesMax {
		replica, err := o.tryJoin(ctx, req)
		if err != nil {
			return nil, err
		}
		if replica != 0 {
			return o.welcome(replica)
		}
	}
	return nil, &Error{Code: Unavailable, Message: "too many orchestrators join at once", Hint: "try again"}
}

// tryJoin returns 0 where another one took the number.
func (o *Orchestrator) tryJoin(ctx context.Context, req JoinRequest) (replica uint64, err error) {
	event, replica, err := o.admitMember(req)
	if err != nil || replica != 0 {
		return replica, err
	}
	if err := o.mayReplace(ctx, req); err != nil {
		return 0, err
	}
	if err := o.checkRoom(req); err != nil {
		return 0, err
	}
	_, err = o.propose(ctx, event)
	if err != nil && !isVoid(err) {
		return 0, err
	}
	var joined bool
	var next uint64
	o.View(func(s *engine.State) {
		_, joined = s.Joined(event.TokenHash, req.RequestID)
		next = s.NextReplica()
	})
	switch {
	case joined:
		// A repeat may have raced with this one: the record has the number.
		o.View(func(s *engine.State) { replica, _ = s.MemberByRequest(req.RequestID) })
		o.logger.Info("an orchestrator joined", "replica", replica, "name", req.Name, "raft", req.RaftAddress, "replaces", req.Replaces)
		return replica, nil
	case err != nil && next > event.Replica:
		return 0, nil
	}
	return 0, err
}

// admitMember returns what to put on record, or the number that the same request
// has led to before.
func (o *Orchestrator) admitMember(req JoinRequest) (event *eventlog.OrchestratorJoined, again uint64, err error) {
	hash := pki.HashSecret(req.Secret)
	now := o.cfg.Now().UnixNano()
	o.View(func(s *engine.State) {
		token := s.Tokens[hash]
		if token == nil || token.Role != "orchestrator" {
			err = &Error{
				Code: Unauthorized, Message: "the token is not one of this cluster's for orchestrators",
				Hint: `make one with "quorate token create --role orchestrator"`, Err: denial.UnknownToken,
			}
			return
		}
		if m, ok := s.Joined(hash, req.RequestID); ok {
			if err = o.mayJoinAgain(m, token, now); err == nil {
				again = m.Replica
			}
			return
		}
		if err = mayJoin(s, o.cfg.Replica, token, now, req); err != nil {
			return
		}
		event = &eventlog.OrchestratorJoined{
			Replica: s.NextReplica(), TokenHash: hash, Replaces: req.Replaces, Name: req.Name,
			RaftAddress: req.RaftAddress, AgentAddress: req.AgentAddress, APIAddress: req.APIAddress,
			By: token.By, RequestID: req.RequestID,
		}
	})
	return event, again, err
}

// mayJoinAgain bounds how long a spent token is worth the cluster's keys: until the
// member votes, or the token expires.
func (o *Orchestrator) mayJoinAgain(m *engine.Member, token *engine.Token, now int64) error {
	switch {
	case m.Removed != "":
		return conflict("orchestrator %d is no member any more: %s", m.Replica, m.Removed)
	case token.Expired(now):
		return &Error{Code: Unauthorized, Message: "the token has expired", Err: denial.ExpiredToken, Hint: `make another one with "quorate token create --role orchestrator"`}
	}
	if voters := o.voters.Load(); voters != nil && slices.Contains(*voters, m.Replica) {
		return conflict("orchestrator %d has joined with this token and votes: start it in its own data directory", m.Replica)
	}
	return nil
}

func mayJoin(s *engine.State, self uint64, token *engine.Token, now int64, req JoinRequest) error {
	members := s.Members()
	switch {
	case token.SpentBy != 0:
		return &Error{Code: Unauthorized, Message: "the token has been used", Err: denial.SpentToken, Hint: `make another one with "quorate token create --role orchestrator"`}
	case token.Expired(now):
		return &Error{Code: Unauthorized, Message: "the token has expired", Err: denial.ExpiredToken, Hint: `make another one with "quorate token create --role orchestrator"`}
	case !s.IsMember(self):
		return &Error{Code: Unavailable, Message: "this orchestrator is not on record as a member yet", Hint: "try again in a moment"}
	case req.Replaces != 0 && !s.IsMember(req.Replaces):
		return hinted(conflict("orchestrator %d, which is to be replaced, is no member", req.Replaces), hintMembers)
	case req.Replaces == 0 && len(members) >= membersMax:
		return hinted(conflict("the cluster has %d orchestrators, and more than %d only make it slower", len(members), membersMax), hintMembers)
	}
	if _, used := s.MemberByRequest(req.RequestID); used {
		return conflict("request id %q was used by another orchestrator", req.RequestID)
	}
	for _, id := range members {
		if m := s.Member(id); id != req.Replaces && m.RaftAddress == req.RaftAddress {
			return hinted(conflict("orchestrator %d has the address %s", id, req.RaftAddress), hintAddress)
		}
	}
	return nil
}

// hinted says what helps.
func hinted(err *Error, hint string) *Error {
	err.Hint = hint
	return err
}

// mayReplace refuses to end the part of a member that answers: nothing is wrong
// with that one, so the number is a mistake, or a removal is what is meant.
func (o *Orchestrator) mayReplace(ctx context.Context, req JoinRequest) error {
	if req.Replaces == 0 {
		return nil
	}
	if !req.Force && o.answers(ctx, req.Replaces) {
		return hinted(conflict("orchestrator %d, which is to be replaced, answers: it is not lost", req.Replaces),
			fmt.Sprintf(`check the number with "quorate cluster status"; if you mean that one, use "quorate cluster remove %d", or --force-replace`, req.Replaces))
	}
	return o.checkQuorum(ctx, req.Replaces)
}

// joinCopies is how often the records lie on the disk of who joins while they
// come: as they arrive, and in the log that is made of them.
const joinCopies = 2

// checkRoom refuses who has no room for the log: it would never catch up, and
// count as a member all the same.
func (o *Orchestrator) checkRoom(req JoinRequest) error {
	if req.FreeBytes == 0 || o.cfg.Room == nil {
		return nil
	}
	own, log := o.cfg.Room()
	if need := own + joinCopies*log; req.FreeBytes < need {
		return hinted(conflict("%d MiB are free in the data directory, and an orchestrator of this cluster needs %d", req.FreeBytes>>20, need>>20+1),
			"make room there, or choose another --data-dir; the token stays good")
	}
	return nil
}

// welcome is what a member needs to begin.
func (o *Orchestrator) welcome(replica uint64) (*JoinAnswer, error) {
	files, err := o.cfg.Secrets()
	if err != nil {
		return nil, &Error{Code: Internal, Message: "the cluster's certificates: " + err.Error(), Err: err}
	}
	answer := &JoinAnswer{Replica: replica, Files: files}
	o.View(func(s *engine.State) {
		answer.ClusterID = s.ClusterID
		answer.Members = raftAddresses(s)
	})
	return answer, nil
}

// raftAddresses are those of the members, by number.
func raftAddresses(s *engine.State) map[uint64]string {
	book := make(map[uint64]string)
	for _, id := range s.Members() {
		if a := s.Member(id).RaftAddress; a != "" {
			book[id] = a
		}
	}
	return book
}

func checkJoin(req JoinRequest) error {
	if req.Secret == "" || len(req.Secret) > requestIDBytesMax {
		return &Error{Code: Unauthorized, Message: "a token is needed", Err: denial.UnknownToken}
	}
	if err := checkRequestID(req.RequestID); err != nil {
		return err
	}
	return checkMember(req.Name, req.RaftAddress, req.AgentAddress, req.APIAddress)
}

// checkMember looks at what a member says of itself.
func checkMember(name, raft, agents, api string) error {
	if err := checkName("name", name); err != nil {
		return err
	}
	if raft == "" {
		return invalid("raft address: want host:port, under which the other orchestrators reach this one")
	}
	for what, address := range map[string]string{"raft address": raft, "agent address": agents, "API address": api} {
		if address == "" {
			continue
		}
		if err := checkAddress(address); err != nil {
			return invalid("%s %.80q: %v", what, address, err)
		}
	}
	return nil
}

// checkAddress wants an address that others can dial.
func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || len(address) > addressBytesMax {
		return errors.New("want host:port")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("port %.10q: want a number from 1 to 65535", port)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return errors.New("others cannot reach an address without a host: see --advertise")
	}
	return nil
}
