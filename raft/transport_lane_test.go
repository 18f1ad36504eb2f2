package raft

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftpb"
)

func entryBatch(from, to, index uint64, bytes int) raftpb.MessageBatch {
	b := heartbeat(from, to, 9)
	m := &b.Requests[0]
	m.Type, m.LogIndex, m.LogTerm = raftpb.Replicate, index-1, 9
	m.Entries = []raftpb.Entry{{Term: 9, Index: index, Cmd: make([]byte, bytes)}}
	return b
}

// TestHeartbeatsPassEntries: a peer that takes entries slowly hears from its
// leader all the same, and who sends to it does not wait.
func TestHeartbeatsPassEntries(t *testing.T) {
	ctx, p := deadline(t), newPorts(t)
	a := p.end(1)
	release := make(chan struct{})
	beats := make(chan raftpb.Message, 100)
	var entries atomic.Int64
	slow := (&portTransports{port: p.open(2)}).Create(config.NodeHostConfig{RaftAddress: addressOf(2)}, func(b raftpb.MessageBatch) {
		for _, m := range b.Requests {
			if m.Type == raftpb.Replicate {
				<-release
				entries.Add(int64(len(m.Entries)))
			} else {
				beats <- m
			}
		}
	}, nil)
	if err := slow.Start(); err != nil {
		t.Fatal(err)
	}
	conn := a.reach(ctx, t, 2)
	const large = 6 // of 8 MiB each: more than the sockets take
	for i := range uint64(large) {
		if err := conn.SendMessageBatch(entryBatch(1, 2, 1+i, 8<<20)); err != nil {
			t.Fatal(err)
		}
		beat := heartbeat(1, 2, 100+i)
		beat.Requests = append(beat.Requests, entryBatch(1, 2, 100, 10).Requests...) // of one batch, both ways
		if err := conn.SendMessageBatch(beat); err != nil {
			t.Fatal(err)
		}
		select {
		case m := <-beats:
			if m.Term != 100+i {
				t.Fatalf("heartbeat %d, want %d", m.Term, 100+i)
			}
		case <-ctx.Done():
			t.Fatal("a heartbeat waits behind entries")
		}
	}
	close(release)
	for entries.Load() < 2*large {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%d of %d entries arrive", entries.Load(), 2*large)
		}
	}
	if err := slow.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestEntriesKeepTheirOrder: small ones, which are sent at once, never pass large
// ones, which wait.
func TestEntriesKeepTheirOrder(t *testing.T) {
	ctx, p := deadline(t), newPorts(t)
	a, b := p.end(1), p.end(2)
	conn := a.reach(ctx, t, 2)
	const rounds = 300
	for i := range uint64(rounds) {
		size := 10
		if i%7 == 0 {
			size = 2 * inlineBytesMax
		}
		if err := conn.SendMessageBatch(entryBatch(1, 2, 1+i, size)); err != nil {
			t.Fatal(err)
		}
	}
	for next := uint64(1); next <= rounds; {
		for _, m := range b.next(ctx, t).Requests {
			if m.Entries[0].Index != next {
				t.Fatalf("entry %d where %d is to be", m.Entries[0].Index, next)
			}
			next++
		}
	}
}

// TestLaneIsBounded: what waits for a replica that takes nothing has an end.
func TestLaneIsBounded(t *testing.T) {
	tr := (&portTransports{port: newPorts(t).open(1)}).Create(config.NodeHostConfig{RaftAddress: addressOf(1)}, nil, nil).(*transport)
	l := &tr.to(2).entries
	l.busy = true // somebody sends, and does not come to an end
	for i := range uint64(100) {
		l.post(t.Context(), entryBatch(1, 2, 1+i, 1<<20))
	}
	if want := laneBytesMax >> 20; len(l.queue) != want || l.queued != laneBytesMax {
		t.Errorf("%d batches of %d bytes wait, want %d", len(l.queue), l.queued, want)
	}
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
}
