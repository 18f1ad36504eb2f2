package engine

import (
	"testing"

	"quorate/eventlog"
)

// TestParallelAcross: what comes into the line of its host by the place of a step on
// another one keeps that place in the run, or more would be under way than it allows.
func TestParallelAcross(t *testing.T) {
	t.Parallel()
	l, r := siteLab(t, 3, plan(3, on(0), on(1), on(0, all(1)...), on(1, all(0)...), on(2)),
		func(e *eventlog.RunCreated) { e.StepsMax, e.StepsPerHostMax = 2, 1 })
	wantDecided(t, l, "schedule 0@0 from 0; schedule 3@1 from 0; schedule 1@1 from 0; schedule 2@0 from 0")
	sound := func() {
		t.Helper()
		if err := recount(l.s); err != nil {
			t.Error(err)
		}
	}
	l.end(r, 1, 0, eventlog.Succeeded) // t2 waits on h0 for t0 to end
	sound()
	wantDecided(t, l, "")
	l.end(r, 0, 0, eventlog.Succeeded) // t2 and t3 go on
	sound()
	wantDecided(t, l, "")
	l.end(r, 2, 0, eventlog.Succeeded)
	sound()
	wantDecided(t, l, "schedule 4@2 from 0")
}

// TestGivenBackForOthers: a step that is given back again and again, since what it waits
// for on another host does not come to its end, has not failed by that.
func TestGivenBackForOthers(t *testing.T) {
	t.Parallel()
	for _, first := range []uint32{0, 1} {
		l, r := siteLab(t, 2, plan(2, on(0), on(1, all(0)...)))
		a := l.s.AgentByName("h0").ID
		for range 2 * unstartedMax {
			l.decide()
			l.ok(&eventlog.AgentDrained{Agent: a})
			l.end(r, first, 0, eventlog.NotStarted)
			l.end(r, 1-first, 0, eventlog.NotStarted)
			l.ok(&eventlog.AgentUndrained{Agent: a})
		}
		l.decide()
		if err := recount(l.s); err != nil {
			t.Error(err)
		}
		wantStatuses(t, l, r, "running", "running")
	}
}
