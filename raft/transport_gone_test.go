package raft

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/dragonboat/v4/raftpb"
)

// led makes a transport one of a follower of the replica.
func (e *end) led(leader uint64) *atomic.Uint64 {
	now := &atomic.Uint64{}
	now.Store(leader)
	e.haste = newHaste(now.Load)
	e.haste.attach(e.self, 1, func(b raftpb.MessageBatch) { e.received <- b })
	return now
}

// ticks counts the ticks that the library was given, of this replica only.
func (e *end) ticks(t *testing.T, batch raftpb.MessageBatch) (n int) {
	t.Helper()
	for _, m := range batch.Requests {
		if m.Type != raftpb.LocalTick {
			continue
		}
		if m.From != e.self || m.To != e.self || m.ShardID != controlShard || batch.SourceAddress != "" {
			t.Errorf("a tick of another: %+v in a batch from %q", m, batch.SourceAddress)
		}
		n++
	}
	return n
}

// Where the leader's process is gone a follower's clock goes faster, until it has had
// an election, or somebody else leads.
func TestClockHurriesBehindALeaderThatIsGone(t *testing.T) {
	p := newPorts(t)
	follower := p.end(1)
	leader := follower.led(2)
	q := p.open(2)
	other := p.endAt(2, q)
	ctx := deadline(t)
	if err := other.reach(ctx, t, 1).SendMessageBatch(heartbeat(2, 1, 1)); err != nil {
		t.Fatal(err)
	}
	<-follower.received
	if err := errors.Join(other.Close(), q.Close()); err != nil { // all connections end, and nobody listens
		t.Fatal(err)
	}
	for ticks := 0; ticks < 2*electionRTTs; { // as many as any follower waits for
		select {
		case batch := <-follower.received:
			ticks += follower.ticks(t, batch)
		case <-ctx.Done():
			t.Fatalf("%d ticks, and no more", ticks)
		}
	}
	leader.Store(3)
	hurries := func() bool {
		follower.haste.mu.Lock()
		defer follower.haste.mu.Unlock()
		return follower.haste.asking[2]
	}
	for hurries() {
		select {
		case <-follower.received:
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			t.Fatal("the clock hurries on behind a new leader")
		}
	}
}

// A connection that ends says nothing of a leader whose port listens, nor does the end
// of another follower.
func TestClockKeepsItsPace(t *testing.T) {
	p := newPorts(t)
	for _, row := range []struct {
		name   string
		leader uint64
	}{
		{"the leader listens", 2},
		{"it was a follower", 3},
		{"nobody leads", raftio.NoLeader},
	} {
		t.Run(row.name, func(t *testing.T) {
			follower := p.end(1)
			leader := follower.led(row.leader)
			p.open(2)
			follower.haste.suspect(follower.transport, 2)
			ctx, cancel := context.WithTimeout(t.Context(), testDeadline)
			defer cancel()
			for asking := true; asking; {
				select {
				case batch := <-follower.received:
					t.Fatalf("%d ticks", follower.ticks(t, batch))
				case <-ctx.Done():
					t.Fatal("the question has no end")
				case <-time.After(time.Millisecond):
				}
				follower.haste.mu.Lock()
				asking = follower.haste.asking[leader.Load()]
				follower.haste.mu.Unlock()
			}
		})
	}
}
