package orchestrator

import (
	"context"
	"fmt"
	"slices"
	"time"

	"quorate/engine"
	"quorate/eventlog"
)

// attendRetry is how soon a member tries again to be what it should be.
const attendRetry = 250 * time.Millisecond

// attend does what every member does for itself: it says where it is reached now,
// asks for its vote when it has caught up, and keeps in mind who else has one.
func (o *Orchestrator) attend(ctx context.Context) error {
	if !o.joins() {
		return nil
	}
	var last string
	for {
		_, news := o.membership.watch()
		done, err := o.attendOnce(ctx)
		if err != nil && ctx.Err() == nil && err.Error() != last {
			last = err.Error()
			o.logger.Info("not a full member at the moment; trying again", "error", err, "alarms", o.alarms())
		}
		pause := attendRetry
		if done {
			pause, last = reconcilePeriod, ""
		}
		if !wait(ctx, pause, news) {
			return nil
		}
	}
}

// alarms are this orchestrator's in few words: they may be why it is no full member.
func (o *Orchestrator) alarms() (texts []string) {
	for _, a := range o.Alarms() {
		texts = append(texts, a.String())
	}
	return texts
}

func (o *Orchestrator) attendOnce(ctx context.Context) (done bool, err error) {
	if err := o.Barrier(ctx); err != nil {
		return false, err
	}
	if moved, err := o.move(ctx); err != nil || !moved {
		return false, err
	}
	if o.cfg.Cluster == nil {
		return true, nil
	}
	raft, err := o.members(ctx)
	if err != nil {
		return false, fmt.Errorf("members: %w", err)
	}
	if slices.Contains(raft.Voters, o.cfg.Replica) {
		return true, nil
	}
	if !slices.Contains(raft.Learners, o.cfg.Replica) {
		return false, nil // the leader has yet to add it
	}
	// The barrier above has shown that it holds what was committed.
	if err := o.cfg.Cluster.Promote(ctx, o.cfg.Replica); err != nil {
		return false, fmt.Errorf("promotion: %w", err)
	}
	o.logger.Info("caught up: this orchestrator votes from now on", "replica", o.cfg.Replica)
	return false, nil // look once more
}

// move puts this member's addresses on record where they have changed. It
// reports whether the record is right.
func (o *Orchestrator) move(ctx context.Context) (moved bool, err error) {
	now := o.cfg.Self
	now.Replica = o.cfg.Replica
	var same, member bool
	o.View(func(s *engine.State) {
		member = s.IsMember(o.cfg.Replica)
		same = member && o.self(s).OrchestratorMoved == now
	})
	if same || !member {
		return same, nil
	}
	_, err = o.propose(ctx, &eventlog.OrchestratorMoved{
		Replica: now.Replica, Name: now.Name, RaftAddress: now.RaftAddress, AgentAddress: now.AgentAddress, APIAddress: now.APIAddress,
	})
	if isVoid(err) {
		return false, nil // a repeat landed first, or it was removed: look again
	}
	return err == nil, err
}
