package engine

import (
	"testing"

	"quorate/eventlog"
)

// What a run under way has on record stays, and so does what is not signed.
func TestRetired(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.agent("h0")
	l.agent("h1")
	want := func(what string, index, run uint64) {
		t.Helper()
		if i, r := l.s.Retired(); i != index || r != run {
			t.Errorf("%s: up to %d, held by run %d; want %d and %d", what, i, r, index, run)
		}
	}
	sign := func() uint64 {
		size := l.s.Index
		l.ok(&eventlog.CheckpointSigned{Size: size, Note: []byte("note")})
		return size
	}
	want("nothing is signed", 0, 0)
	signed := sign()
	want("nothing runs", signed, 0)
	first := l.run(plan(2, eventlog.PlanTask{}))
	want("a run behind the checkpoint", signed, 0)
	second := l.run(plan(2, eventlog.PlanTask{}))
	sign()
	want("two runs", first.Index-1, first.ID)
	l.ok(&eventlog.RunCancelled{Run: first.ID})
	l.decide()
	if first.Outcome == 0 {
		t.Fatal("the first run goes on")
	}
	want("the first has ended", second.Index-1, second.ID)
}
