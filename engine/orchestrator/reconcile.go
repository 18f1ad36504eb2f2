package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"quorate/engine"
	"quorate/eventlog"
)

const (
	// reconcileRetry is how soon the leader tries again what Raft did not take.
	reconcileRetry = 500 * time.Millisecond
	// reconcilePeriod is how often it looks where nothing seems to have changed: a
	// leader before it may have finished late what it had begun.
	reconcilePeriod = 30 * time.Second
	// reconcileTimeout bounds one look, with what follows from it.
	reconcileTimeout = 30 * time.Second
)

// reconcile makes Raft's membership that on record, while this replica leads.
// Every step is one that may be repeated by the next leader.
func (o *Orchestrator) reconcile(ctx context.Context) {
	for {
		_, news := o.membership.watch()
		pause := reconcilePeriod
		if err := o.reconcileOnce(ctx); err != nil {
			if ctx.Err() != nil {
				return
			}
			o.logger.Warn("the cluster's members are not yet those on record; trying again", "error", err)
			pause = reconcileRetry
		}
		if !wait(ctx, pause, news) {
			return
		}
	}
}

// wait returns false where ctx has ended; otherwise after the pause, or on news.
func wait(ctx context.Context, pause time.Duration, news <-chan struct{}) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-news:
	}
	return true
}

func (o *Orchestrator) reconcileOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reconcileTimeout)
	defer cancel()
	if err := o.enlist(ctx); err != nil {
		return fmt.Errorf("put this orchestrator on record: %w", err)
	}
	if o.cfg.Cluster == nil {
		return nil
	}
	raft, err := o.members(ctx)
	if err != nil {
		return fmt.Errorf("members: %w", err)
	}
	var members, former []uint64
	o.View(func(s *engine.State) { members, former = s.Members(), s.FormerMembers() })
	// Removal comes first: one that is gone must not count for the majority that
	// takes the next.
	for _, id := range slices.Concat(raft.Voters, raft.Learners) {
		if id == o.cfg.Replica || !slices.Contains(former, id) {
			continue // a leader that is removed ends by itself, and the next one removes it
		}
		if err := o.cfg.Cluster.Remove(ctx, id); err != nil {
			return fmt.Errorf("remove %d: %w", id, err)
		}
		o.logger.Info("removed from the cluster", "replica", id)
	}
	for _, id := range members {
		if slices.Contains(raft.Voters, id) || slices.Contains(raft.Learners, id) {
			continue
		}
		if slices.Contains(raft.Removed, id) {
			o.logger.Error("a member on record was removed from Raft, which takes nobody twice: remove it on record and add another", "replica", id)
			continue
		}
		if err := o.cfg.Cluster.AddLearner(ctx, id); err != nil {
			return fmt.Errorf("add %d: %w", id, err)
		}
		o.logger.Info("added to the cluster; it catches up", "replica", id)
	}
	return nil
}

// members asks Raft and keeps the answer for those who cannot wait for one.
func (o *Orchestrator) members(ctx context.Context) (Membership, error) {
	m, err := o.cfg.Cluster.Members(ctx)
	if err != nil {
		return Membership{}, err
	}
	o.voters.Store(&m.Voters)
	return m, nil
}

// enlist puts a leader on record that is not: the founder of a cluster, or the
// one member that is left of a cluster that was recovered.
func (o *Orchestrator) enlist(ctx context.Context) error {
	if !o.joins() {
		return nil
	}
	var on *engine.Member
	var founded bool
	var head uint64
	o.View(func(s *engine.State) {
		on, founded, head = o.self(s), s.NextReplica() > 1, s.Index
	})
	if on != nil {
		return nil
	}
	me := o.cfg.Self
	var event eventlog.Event = &eventlog.OrchestratorJoined{
		Replica: o.cfg.Replica, Name: me.Name, RaftAddress: me.RaftAddress, AgentAddress: me.AgentAddress, APIAddress: me.APIAddress,
	}
	if founded {
		if !o.alone(ctx) {
			return errors.New("this replica leads and is no member on record: it must not be started")
		}
		event = &eventlog.ClusterRecovered{
			At: head, Replica: o.cfg.Replica, Name: me.Name,
			RaftAddress: me.RaftAddress, AgentAddress: me.AgentAddress, APIAddress: me.APIAddress,
		}
	}
	_, err := o.propose(ctx, event)
	if isVoid(err) {
		o.View(func(s *engine.State) { on = o.self(s) })
		if on != nil {
			return nil
		}
	}
	return err
}

// alone reports whether Raft has this replica and no other.
func (o *Orchestrator) alone(ctx context.Context) bool {
	if o.cfg.Cluster == nil {
		return true
	}
	raft, err := o.members(ctx)
	return err == nil && len(raft.Learners) == 0 && len(raft.Voters) == 1 && raft.Voters[0] == o.cfg.Replica
}
