package raft

import (
	"testing"
	"time"

	"github.com/lni/dragonboat/v4/raftpb"
)

// TestWhoSavesIsHeardOf: others hear from a replica while its library is busy, and
// what they hear confirms no read.
func TestWhoSavesIsHeardOf(t *testing.T) {
	ctx, p := deadline(t), newPorts(t)
	a, b := p.end(1), p.end(2)
	conn := a.reach(ctx, t, 2)
	for len(b.received) > 0 {
		<-b.received
	}
	beat := heartbeat(1, 2, 77)
	beat.Requests[0].Hint, beat.Requests[0].HintHigh = 5, 6
	if err := conn.SendMessageBatch(beat); err != nil {
		t.Fatal(err)
	}
	a.to(2).sign.when = time.Now().Add(time.Hour) // however slow this machine is
	var s signs
	s.of(a.transport)
	end := s.during(time.Minute)
	for i := range 4 {
		select {
		case got := <-b.received:
			m := got.Requests[0]
			if m.Type != raftpb.Heartbeat || m.Term != 77 || (m.Hint != 0) != (i == 0) || (m.HintHigh != 0) != (i == 0) {
				t.Errorf("message %d is %+v", i, m)
			}
		case <-ctx.Done():
			t.Fatal("nothing is heard")
		}
	}
	end()
	end()

	// Who asks for votes leads no more.
	vote := heartbeat(1, 2, 78)
	vote.Requests[0].Type = raftpb.RequestVote
	if err := conn.SendMessageBatch(vote); err != nil {
		t.Fatal(err)
	}
	if _, fresh := a.to(2).sign.at(time.Now()); fresh {
		t.Error("the heartbeat of a term that ended is sent again")
	}
}

// TestEntriesOnTheirWayAreNotSentAgain: until a follower answers, or could have.
func TestEntriesOnTheirWayAreNotSentAgain(t *testing.T) {
	now := time.Now()
	replicate := func(term, after uint64, bytes int) *raftpb.Message {
		return &raftpb.Message{Type: raftpb.Replicate, Term: term, LogIndex: after, Entries: []raftpb.Entry{{Index: after + 1, Term: term, Cmd: make([]byte, bytes)}}}
	}
	const large = 4 << 20
	for _, c := range []struct {
		name   string
		m      *raftpb.Message
		later  time.Duration
		before func(l *lane)
		want   bool
	}{
		{name: "the same", m: replicate(3, 9, large), want: true},
		{name: "and more", m: replicate(3, 9, 2*large), want: true},
		{name: "of another term", m: replicate(4, 9, large)},
		{name: "behind them", m: replicate(3, 10, large)},
		{name: "small", m: replicate(3, 9, 100)},
		{name: "a proposal", m: &raftpb.Message{Type: raftpb.Propose, Term: 3, LogIndex: 9, Entries: replicate(3, 9, large).Entries}},
		{name: "just in time", m: replicate(3, 9, large), later: 1900 * time.Millisecond, want: true},
		{name: "too late", m: replicate(3, 9, large), later: 2100 * time.Millisecond},
		{name: "after an answer", m: replicate(3, 9, large), before: (*lane).answered},
	} {
		l := &lane{}
		if l.repeats(replicate(3, 9, large), now) {
			t.Errorf("%s: the first are held back", c.name)
		}
		if c.before != nil {
			c.before(l)
		}
		if got := l.repeats(c.m, now.Add(c.later)); got != c.want {
			t.Errorf("%s: held back is %v", c.name, got)
		}
	}
}
