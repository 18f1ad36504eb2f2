package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"quorate/engine/orchestrator"
	"quorate/engine/peer"
	"quorate/internal/pki"
	"quorate/raft"
	"quorate/raft/port"
)

// A joining is how an orchestrator comes to a cluster that is there.
type joining struct {
	addresses []string // of orchestrators, as their --raft says
	token     string
	replaces  uint64 // the member that leaves for this one, or 0
	force     bool   // also where that one answers
}

// joinDialMax bounds reaching one orchestrator, joinAnswerMax its answer, and
// joinMax how long all of them are tried while the cluster has no majority.
const (
	joinDialMax   = 5 * time.Second
	joinAnswerMax = 30 * time.Second
	joinMax       = time.Minute
	joinPause     = 500 * time.Millisecond
)

// becomeMember says which member this directory is, and makes it one where it is
// none: the founder of a new cluster, or one that joins.
func (n *node) becomeMember(ctx context.Context, book *port.Book) (*membership, error) {
	m, err := readMembership(n.cfg.dir)
	switch {
	case err != nil || m != nil:
		return m, err
	case len(n.cfg.join.addresses) > 0:
		return n.joinCluster(ctx, book)
	case !n.cfg.bootstrap:
		return nil, hinted(fmt.Errorf("%s: %w", n.cfg.dir, raft.ErrNotBootstrapped),
			"start a new cluster with --bootstrap, or join one with what \"quorate cluster add\" prints there; if there was one here, find out what became of its disk first")
	}
	m = &membership{Replica: 1}
	return m, m.write(n.cfg.dir)
}

// A joinRequest is kept until it is granted: one that dies on the way asks again
// under the same id, and is the same member.
type joinRequest struct {
	RequestID string `json:"request_id"`

	fresh bool // it was made just now
}

func (n *node) joinCluster(ctx context.Context, book *port.Book) (*membership, error) {
	token, err := n.joinToken()
	if err != nil {
		return nil, err
	}
	free, err := n.roomToJoin()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(n.cfg.dir, joinFile)
	var kept joinRequest
	if found, err := readDocument(path, &kept); err != nil {
		return nil, err
	} else if !found || kept.RequestID == "" {
		kept.RequestID, kept.fresh = requestID(), true
		if err := writeDocument(path, kept); err != nil {
			return nil, err
		}
	}
	answer, asked, err := n.askToJoin(ctx, token, orchestrator.JoinRequest{
		Secret: token.Secret, RequestID: kept.RequestID, Name: n.at.host, Replaces: n.cfg.join.replaces, Force: n.cfg.join.force,
		FreeBytes: free, RaftAddress: n.at.raft, AgentAddress: n.at.agents, APIAddress: n.at.api,
	})
	if err != nil {
		if !mayAskAgain(err) || !asked && kept.fresh { // it is no member, and will not become one by asking again
			err = errors.Join(err, os.Remove(path))
		}
		return nil, err
	}
	if err := pki.Install(n.pkiDir(), answer.Files); err != nil {
		return nil, err
	}
	if err := book.Set(answer.Members); err != nil {
		return nil, fmt.Errorf("address book: %w", err)
	}
	m := &membership{Replica: answer.Replica, Joined: true}
	if err := m.write(n.cfg.dir); err != nil {
		return nil, err
	}
	n.cfg.logger.Info("joined", "replica", m.Replica, "cluster", answer.ClusterID, "replaces", n.cfg.join.replaces)
	return m, os.Remove(path)
}

// roomToJoin refuses to join where there is no room to take part: that costs no
// token. It returns the bytes that are free, for who knows how large the log is.
func (n *node) roomToJoin() (free uint64, err error) {
	free, need, err := raft.Room(n.cfg.dir)
	if err != nil {
		return 0, err
	}
	if free < need {
		return 0, fail(exitError, fmt.Errorf("joining: %d MiB are free in %s, and an orchestrator needs %d and room for the log", free>>20, n.cfg.dir, need>>20),
			"make room there, or choose another --data-dir; the token stays good")
	}
	return free, nil
}

func (n *node) joinToken() (pki.Token, error) {
	another := "make one on a member with \"quorate cluster add\", which prints the whole command"
	if n.cfg.join.token == "" {
		return pki.Token{}, fail(exitUsage, errors.New("--join needs --token TOKEN"), another)
	}
	token, err := pki.ParseToken(n.cfg.join.token)
	if err != nil {
		return pki.Token{}, fail(exitError, fmt.Errorf("token: %w", err), another)
	}
	return token, nil
}

// askToJoin asks one orchestrator after the other until one has an answer. That
// may take an election. It reports whether anybody was asked at all.
func (n *node) askToJoin(ctx context.Context, token pki.Token, req orchestrator.JoinRequest) (_ *orchestrator.JoinAnswer, asked bool, _ error) {
	for start := time.Now(); ; {
		var failures []error
		for _, address := range n.cfg.join.addresses {
			answer, reached, err := n.askOne(ctx, address, token, req)
			asked = asked || reached
			if err == nil {
				return answer, true, nil
			}
			if !mayAskAgain(err) {
				return nil, true, refusedToJoin(err)
			}
			failures = append(failures, fmt.Errorf("%s: %w", address, rootOfDial(err)))
		}
		if ctx.Err() != nil {
			return nil, asked, ctx.Err()
		}
		if err := errors.Join(failures...); time.Since(start) > joinMax || !unavailable(err) {
			return nil, asked, fail(exitError, fmt.Errorf("joining: %w", err),
				"check that --join names the --raft address of an orchestrator that runs, as \"quorate cluster members\" lists them there")
		}
		select {
		case <-ctx.Done():
			return nil, asked, ctx.Err()
		case <-time.After(joinPause):
		}
	}
}

func (n *node) askOne(ctx context.Context, address string, token pki.Token, req orchestrator.JoinRequest) (_ *orchestrator.JoinAnswer, reached bool, _ error) {
	dialing, cancel := context.WithTimeout(ctx, joinDialMax)
	defer cancel()
	conn, err := (&tls.Dialer{Config: pki.JoinTLS(token.Pin)}).DialContext(dialing, "tcp", address)
	if err != nil {
		return nil, false, err
	}
	defer conn.Close()
	asking, done := context.WithTimeout(ctx, joinAnswerMax)
	defer done()
	answer, err := peer.RequestJoin(asking, conn, req)
	return answer, true, err
}

// rootOfDial drops the address, which the message has already.
func rootOfDial(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return op.Err
	}
	return err
}

// mayAskAgain reports whether another orchestrator, or a later moment, may have
// a better answer.
func mayAskAgain(err error) bool {
	var refused *orchestrator.Error
	return !errors.As(err, &refused) || refused.Code == orchestrator.Unavailable
}

func unavailable(err error) bool {
	var refused *orchestrator.Error
	return errors.As(err, &refused) && refused.Code == orchestrator.Unavailable
}

// refusedToJoin says what helps against a refusal.
func refusedToJoin(err error) error {
	var refused *orchestrator.Error
	hint := ""
	if errors.As(err, &refused) {
		hint = refused.Hint
	}
	if hint == "" || refused.Code == orchestrator.Unauthorized {
		hint = "a token is good once and for a while: make another one on a member with \"quorate cluster add\""
	}
	return fail(exitRefused, fmt.Errorf("joining: %w", err), hint)
}

// tokenFrom reads a token that is given as @FILE out of the file; hint says where one
// comes from.
func tokenFrom(text, hint string) (string, error) {
	path, isFile := strings.CutPrefix(text, "@")
	if !isFile {
		return strings.TrimSpace(text), nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fail(exitError, fmt.Errorf("token file: %w", err), hint)
	}
	return strings.TrimSpace(string(content)), nil
}

// mkdir makes a directory of an orchestrator's own.
func mkdir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return nil
}
