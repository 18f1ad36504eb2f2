package raft

import (
	"errors"
	"fmt"
	"time"

	"github.com/lni/dragonboat/v4"

	"quorate/eventlog"
)

const (
	// proposeTimeout is how long an answer may take until a proposal is made again
	// to the same leader. A new one is asked at once.
	proposeTimeout = 2 * time.Second
	// leaderWait bounds one wait for a leader, after which it is looked whether
	// somebody still waits for the answer.
	leaderWait = 100 * time.Millisecond
	// carryRate, in bytes a second, is how fast a proposal gets to a majority at
	// least: several times over a network, and into logs.
	carryRate = 4 << 20
)

// try proposes once, to the leader that is known. The session is one without
// memory, the only kind for a state machine on disk (D17).
func (n *Node) try(cmd []byte) (first uint64, next then, err error) {
	leader, term, changed := n.leader.get()
	if leader == 0 {
		n.awaitLeader(changed)
		return 0, atOnce, n.Err()
	}
	request, err := n.host.Propose(n.session, cmd, proposeTimeout+carryTime(cmd))
	switch {
	case errors.Is(err, dragonboat.ErrPayloadTooBig), errors.Is(err, dragonboat.ErrInvalidSession):
		return 0, never, fmt.Errorf("%w: %w", eventlog.ErrRefused, err)
	case errors.Is(err, dragonboat.ErrClosed), errors.Is(err, dragonboat.ErrShardClosed), errors.Is(err, dragonboat.ErrShardNotFound):
		return 0, n.whenGone(), n.gone()
	case err != nil: // busy, or not ready yet
		return 0, later, nil
	}
	var overdue <-chan time.Time
	for {
		select {
		case result := <-request.ResultC():
			defer request.Release()
			return n.answer(result)
		case <-overdue:
			return 0, atOnce, n.Err()
		case <-changed:
		}
		if err := n.Err(); err != nil {
			return 0, atOnce, err
		}
		// What went to the leader before may be lost with it, or be applied yet: the
		// window of proposals tells. The library still holds the request.
		var now, of uint64
		now, of, changed = n.leader.get()
		switch {
		case now == 0 || now == leader && of == term: // it was only not heard of for a while
		case len(cmd) < largeEntryBytes:
			return 0, atOnce, nil
		default:
			// To send it again costs more than to wait whether it has survived.
			leader, term = now, of
			overdue = time.After(carryTime(cmd))
		}
	}
}

// carryTime is how long a proposal may take for its size alone.
func carryTime(cmd []byte) time.Duration {
	return time.Duration(len(cmd)) * time.Second / carryRate
}

func (n *Node) answer(result dragonboat.RequestResult) (first uint64, next then, err error) {
	switch {
	case result.Completed():
		applied := result.GetResult()
		if applied.Value == 0 {
			return 0, never, fmt.Errorf("proposal was not applied: %s", applied.Data)
		}
		return applied.Value, never, nil
	case result.Terminated():
		return 0, n.whenGone(), n.gone()
	}
	return 0, later, nil // timed out, dropped, aborted
}

func (n *Node) awaitLeader(changed <-chan struct{}) {
	timer := time.NewTimer(leaderWait)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-n.appends.stop:
	case <-n.ending.done:
	}
}
