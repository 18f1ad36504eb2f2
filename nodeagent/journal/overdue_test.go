package journal

import (
	"testing"

	"quorate/nodeagent/wire"
)

// awaiting takes a dispatch of a step that waits for an attempt of another agent.
func awaiting(t *testing.T, s *State, attempt, supersedes uint64) Decision {
	t.Helper()
	fence := wire.Fence{ClusterID: "c", Session: "s", JournalID: s.JournalID}
	d := s.Dispatch(Here{ClusterID: "c", Session: "s"}, &wire.Dispatch{
		Fence: fence, Attempt: attempt, Supersedes: supersedes, Spec: []byte("spec"),
		After: []wire.Predecessor{{Attempt: attempt - 1, Elsewhere: wire.Elsewhere{Key: "k", Run: 1, Task: "t", Host: "a"}}},
	}, Work{Step: StepName(1, "u", "b"), Jobs: 1})
	applyAll(t, s, d.Records...)
	return d
}

// TestGivesWay: an attempt that waits for another agent's, which nobody may ever tell of,
// does not keep a newer one of its step from starting.
func TestGivesWay(t *testing.T) {
	s := NewState("j")
	awaiting(t, s, 10, 0)
	d := awaiting(t, s, 20, 10)
	if a, _ := s.Attempt(10); a.Phase != Tombstone || d.Effects[len(d.Effects)-1].Reply.Status != wire.StatusBusy {
		t.Fatalf("the first is in phase %d, and the second is answered with %+v", a.Phase, d.Effects)
	}
	if d = awaiting(t, s, 20, 10); d.Effects[0].Action != Start || !s.Waits(20) {
		t.Errorf("the second is answered with %+v", d.Effects)
	}
}

// TestOverdue: what the cluster has settled without a word from here is given back where
// it waits for another agent's attempt, also once the file was read again.
func TestOverdue(t *testing.T) {
	s := NewState("j")
	awaiting(t, s, 10, 0)
	applyAll(t, s, &Acked{Seq: s.Seq, Floor: 9})
	if len(s.Stranded()) > 0 {
		t.Fatal("it is under way on record, and is given back")
	}
	d, err := s.Ack(&wire.Ack{Seq: s.Seq, Floor: 10})
	if err != nil || len(d.Effects) != 1 || d.Effects[0].Action != Release {
		t.Fatalf("the floor passes it: %+v, %v", d, err)
	}
	applyAll(t, s, d.Records...)
	again := newState()
	applyAll(t, again, s.Records()...)
	for _, s := range []*State{s, again} {
		if ids := s.Stranded(); len(ids) != 1 || ids[0] != 10 {
			t.Errorf("%v are given back", ids)
		}
	}
}
