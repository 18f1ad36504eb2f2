package raft

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lni/dragonboat/v4"
)

const (
	// memberAttempt bounds one question to the library, and changeAttempt one
	// change: a leader drops a change while another is under way.
	memberAttempt = 500 * time.Millisecond
	changeAttempt = time.Second
	memberPause   = 20 * time.Millisecond
)

// ErrNotMember is wrapped where a replica has to be a member for what was asked.
var ErrNotMember = errors.New("not a member of the cluster")

// A Membership is who takes part in Raft, by replica number, ascending.
type Membership struct {
	Voters   []uint64
	Learners []uint64 // they get the log and have no vote
	Removed  []uint64 // their numbers are never used again

	version uint64 // of the library; a change names the one that it changes
}

func (m *Membership) voter(replica uint64) bool   { return slices.Contains(m.Voters, replica) }
func (m *Membership) learner(replica uint64) bool { return slices.Contains(m.Learners, replica) }
func (m *Membership) removed(replica uint64) bool { return slices.Contains(m.Removed, replica) }

// Members returns who takes part in Raft. It asks a majority as long as ctx
// allows; the error then wraps ctx's, and the membership is what this replica
// knew last.
func (n *Node) Members(ctx context.Context) (Membership, error) {
	m, err := n.askMembers(ctx)
	if err != nil {
		n.known.Lock()
		defer n.known.Unlock()
		return n.known.members, fmt.Errorf("members: %w", err)
	}
	return m, nil
}

func (n *Node) askMembers(ctx context.Context) (Membership, error) {
	for {
		attempt, cancel := n.attempt(ctx, memberAttempt)
		got, err := n.host.SyncGetShardMembership(attempt, controlShard)
		cancel()
		if err == nil {
			m := membershipOf(got)
			n.known.Lock()
			defer n.known.Unlock()
			if m.version >= n.known.members.version {
				n.known.members = m
			}
			return m, nil
		}
		if err := n.rest(ctx, memberPause); err != nil {
			return Membership{}, err
		}
	}
}

// Votes reports whether a replica votes, by what this replica has applied, which may be
// old, and whether anything is known. It asks nobody.
func (n *Node) Votes(replica uint64) (votes, known bool) {
	info := n.host.GetNodeHostInfo(dragonboat.NodeHostInfoOption{SkipLogInfo: true})
	if info == nil { // it is closed
		return false, false
	}
	for _, shard := range info.ShardInfoList {
		if shard.ShardID == controlShard && len(shard.Replicas) > 0 {
			_, votes = shard.Replicas[replica]
			return votes, true
		}
	}
	return false, false
}

func membershipOf(got *dragonboat.Membership) Membership {
	return Membership{
		Voters:   slices.Sorted(maps.Keys(got.Nodes)),
		Learners: slices.Sorted(maps.Keys(got.NonVotings)),
		Removed:  slices.Sorted(maps.Keys(got.Removed)),
		version:  got.ConfigChangeID,
	}
}

// AddLearner makes the replica a member without a vote. It returns when that is
// so, at once where it votes already.
func (n *Node) AddLearner(ctx context.Context, replica uint64) error {
	return n.change(ctx, "add", replica, func(ctx context.Context, m *Membership) (bool, error) {
		switch {
		case m.removed(replica):
			return false, fmt.Errorf("%w: replica %d", ErrRemoved, replica)
		case m.voter(replica), m.learner(replica):
			return true, nil
		}
		return false, retry(n.host.SyncRequestAddNonVoting(ctx, controlShard, replica, addressOf(replica), m.version))
	})
}

// Promote gives a learner a vote, and returns when it has one.
func (n *Node) Promote(ctx context.Context, replica uint64) error {
	return n.change(ctx, "promote", replica, func(ctx context.Context, m *Membership) (bool, error) {
		switch {
		case m.voter(replica):
			return true, nil
		case !m.learner(replica):
			return false, fmt.Errorf("%w: replica %d", ErrNotMember, replica)
		}
		return false, retry(n.host.SyncRequestAddReplica(ctx, controlShard, replica, addressOf(replica), m.version))
	})
}

// Remove ends the replica's part in Raft for ever, and returns when that is so.
// The last voter cannot be removed.
func (n *Node) Remove(ctx context.Context, replica uint64) error {
	err := n.change(ctx, "remove", replica, func(ctx context.Context, m *Membership) (bool, error) {
		switch {
		case m.removed(replica), !m.voter(replica) && !m.learner(replica):
			return true, nil
		case len(m.Voters) == 1 && m.voter(replica):
			return false, fmt.Errorf("replica %d is the only one that votes", replica)
		}
		return false, retry(n.host.SyncRequestDeleteReplica(ctx, controlShard, replica, m.version))
	})
	if replica == n.cfg.Replica && errors.Is(err, ErrRemoved) {
		return nil
	}
	return err
}

// Transfer makes the replica, which has to vote, the leader, and returns when
// this replica knows it as such.
func (n *Node) Transfer(ctx context.Context, replica uint64) error {
	return n.change(ctx, "transfer", replica, func(ctx context.Context, m *Membership) (bool, error) {
		if !m.voter(replica) {
			return false, fmt.Errorf("%w with a vote: replica %d", ErrNotMember, replica)
		}
		leader, _, changed := n.leader.get()
		if leader == replica {
			return true, nil
		}
		if err := n.host.RequestLeaderTransfer(controlShard, replica); err != nil {
			return false, errRetry
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
		return false, errRetry
	})
}

// errRetry asks change to look again and go on.
var errRetry = errors.New("again")

// retry is errRetry whatever the library says: its answers tell nothing that the
// next look at the membership does not tell better.
func retry(error) error { return errRetry }

// change takes steps until one says that the membership is as it should be.
func (n *Node) change(ctx context.Context, what string, replica uint64, step func(context.Context, *Membership) (bool, error)) error {
	if replica == 0 {
		return fmt.Errorf("%s: replica 0", what)
	}
	for {
		m, err := n.askMembers(ctx)
		if err != nil {
			return fmt.Errorf("%s replica %d: %w", what, replica, err)
		}
		attempt, cancel := n.attempt(ctx, changeAttempt)
		done, err := step(attempt, &m)
		cancel()
		if done {
			return nil
		}
		if !errors.Is(err, errRetry) {
			return fmt.Errorf("%s: %w", what, err)
		}
		if err := n.rest(ctx, memberPause); err != nil {
			return fmt.Errorf("%s replica %d: %w", what, replica, err)
		}
	}
}

// attempt bounds one question to the library by time, and by who leads: an
// answer from a leader that is gone never comes.
func (n *Node) attempt(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	bounded, cancel := context.WithTimeout(ctx, limit)
	known, changed := n.leader.known()
	if !known {
		return bounded, cancel
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-changed:
			cancel()
		case <-bounded.Done():
		}
	}()
	return bounded, func() { cancel(); <-watched }
}

// rest waits a little; it ends with ctx, and with the node.
func (n *Node) rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	case <-n.ending.done:
		return n.ending.err
	case <-n.appends.stop:
		return errClosing
	}
}
