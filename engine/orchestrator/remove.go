package orchestrator

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"quorate/engine"
	"quorate/eventlog"
)

// reachTimeout bounds the question whether another member is there.
const reachTimeout = 2 * time.Second

// RemoveMember ends an orchestrator's part in the cluster, for ever. It is
// refused where the rest would be without a live majority.
func (o *Orchestrator) RemoveMember(ctx context.Context, replica uint64, by, reason, requestID string) error {
	return o.removeMember(ctx, replica, by, reason, requestID, false)
}

// ForceRemoveMember is [Orchestrator.RemoveMember] without looking who of the
// rest is there. The log takes it only while a majority, the one to be removed
// included, is.
func (o *Orchestrator) ForceRemoveMember(ctx context.Context, replica uint64, by, reason, requestID string) error {
	return o.removeMember(ctx, replica, by, reason, requestID, true)
}

func (o *Orchestrator) removeMember(ctx context.Context, replica uint64, by, reason, requestID string, force bool) error {
	if err := checkRequestID(requestID); err != nil {
		return err
	}
	if err := checkReason(reason, false); err != nil {
		return err
	}
	if err := o.Barrier(ctx); err != nil {
		return err
	}
	if o.repeated(requestID) {
		return nil
	}
	var err error
	o.View(func(s *engine.State) {
		m := s.Member(replica)
		switch {
		case m == nil:
			err = noMember(replica)
		case m.Removed != "":
			err = conflict("orchestrator %d is no member any more: %s", replica, m.Removed)
		case len(s.Members()) == 1:
			err = conflict("orchestrator %d is the only one", replica)
		}
	})
	if err != nil {
		return err
	}
	if !force {
		if err := o.checkQuorum(ctx, replica); err != nil {
			return err
		}
	}
	o.stepDown(ctx, replica)
	_, err = o.propose(ctx, &eventlog.OrchestratorRemoved{Replica: replica, By: by, Reason: reason, RequestID: requestID})
	return o.forgiveRepeat(err, requestID)
}

// noMember is the error for an orchestrator that does not exist.
func noMember(replica uint64) error {
	return &Error{Code: NotFound, Message: fmt.Sprintf("no orchestrator %d", replica), Hint: `"quorate cluster members" lists them`}
}

// stepDown lets another member lead before the leader leaves, which is quicker
// than an election. It is no condition of the removal.
func (o *Orchestrator) stepDown(ctx context.Context, replica uint64) {
	if o.cfg.Cluster == nil {
		return
	}
	if leader, _, known := o.cfg.Cluster.Leader(); !known || leader != replica {
		return
	}
	members, err := o.cfg.Cluster.Members(ctx)
	if err != nil {
		return
	}
	for _, id := range members.Voters {
		if id == replica || !o.reach(ctx, id) {
			continue
		}
		if err := o.cfg.Cluster.Transfer(ctx, id); err != nil {
			o.logger.Warn("the leader that is to leave could not hand over", "to", id, "error", err)
		}
		return
	}
}

// Transfer makes another member lead.
func (o *Orchestrator) Transfer(ctx context.Context, replica uint64) error {
	if err := o.Barrier(ctx); err != nil {
		return err
	}
	var member bool
	o.View(func(s *engine.State) { member = s.IsMember(replica) })
	switch {
	case !member:
		return noMember(replica)
	case o.cfg.Cluster == nil:
		return conflict("this orchestrator is the only one")
	}
	raft, err := o.cfg.Cluster.Members(ctx)
	if err != nil {
		return &Error{Code: Unavailable, Message: "members: " + err.Error(), Err: err}
	}
	if !slices.Contains(raft.Voters, replica) {
		return conflict("orchestrator %d has no vote yet: it still catches up", replica)
	}
	if err := o.cfg.Cluster.Transfer(ctx, replica); err != nil {
		return &Error{Code: Unavailable, Message: fmt.Sprintf("transfer to %d: %v", replica, err), Hint: "try again", Err: err}
	}
	return nil
}

// checkQuorum refuses that a member leaves, where there is one, when the voters
// that stay would not have a live majority.
func (o *Orchestrator) checkQuorum(ctx context.Context, leaving uint64) error {
	if leaving == 0 || o.cfg.Cluster == nil {
		return nil
	}
	members, err := o.cfg.Cluster.Members(ctx)
	if err != nil {
		return &Error{Code: Unavailable, Message: "members: " + err.Error(), Err: err}
	}
	if !slices.Contains(members.Voters, leaving) {
		return nil // it has no vote to take along
	}
	var former []uint64 // which Raft has yet to let go
	o.View(func(s *engine.State) { former = s.FormerMembers() })
	rest := slices.DeleteFunc(slices.Clone(members.Voters), func(id uint64) bool {
		return id == leaving || slices.Contains(former, id)
	})
	there := o.reachable(ctx, rest)
	if 2*len(there) > len(rest) {
		return nil
	}
	return &Error{
		Code:    Conflict,
		Message: fmt.Sprintf("without orchestrator %d only %d of %d would be there: the cluster could not go on", leaving, len(there), len(rest)),
		Hint:    "bring the others back or add one first",
	}
}

// A reacher is what Peers may be beside: one that tells whether a member is there.
type reacher interface {
	Reach(ctx context.Context, replica uint64) error
}

// reach reports whether a member answers. One that cannot be asked counts as
// there: Raft itself has the last word.
func (o *Orchestrator) reach(ctx context.Context, replica uint64) bool {
	r, ok := o.cfg.Peers.(reacher)
	if !ok || replica == o.cfg.Replica {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	return r.Reach(ctx, replica) == nil
}

func (o *Orchestrator) reachable(ctx context.Context, replicas []uint64) (there []uint64) {
	answers := make([]bool, len(replicas))
	var asked sync.WaitGroup
	for i, id := range replicas {
		asked.Go(func() { answers[i] = o.reach(ctx, id) })
	}
	asked.Wait()
	for i, id := range replicas {
		if answers[i] {
			there = append(there, id)
		}
	}
	return there
}
