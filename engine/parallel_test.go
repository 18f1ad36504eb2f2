package engine

import (
	"testing"

	"quorate/eventlog"
)

// twoOfThree is a run that may have less under way than its three hosts may together.
func twoOfThree(e *eventlog.RunCreated) { e.StepsMax, e.StepsPerHostMax = 2, 1 }

func asks(l *lab, r *Run, task uint32) {
	l.t.Helper()
	l.ok(&eventlog.ValuesPublished{Attempt: l.attempt(r, task, 0).ID, Waits: true, Values: []eventlog.PublishedValue{{Key: "k"}}})
	if err := recount(l.s); err != nil {
		l.t.Error(err)
	}
}

// TestParallelAcross: what comes into the line of its host by the place of a step on
// another one keeps that place in the run, or more would be under way than it allows.
func TestParallelAcross(t *testing.T) {
	t.Parallel()
	l, r := siteLab(t, 3, plan(3, on(0), on(1), on(0, all(1)...), on(1, all(0)...), on(2)), twoOfThree)
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

// TestLineEndsEarly: what is in a line by its record, and has ended, gives the room that
// it has in the run to its heir on another host.
func TestLineEndsEarly(t *testing.T) {
	t.Parallel()
	l, r := siteLab(t, 3, plan(3, on(0), on(1), on(0, all(1)...), on(2, all(2)...), on(2)), twoOfThree)
	l.decide()
	l.end(r, 1, 0, eventlog.Succeeded)
	l.end(r, 2, 0, eventlog.Succeeded) // behind t0, whose end comes later
	wantDecided(t, l, "")
	if err := recount(l.s); err != nil || r.queue.running != 2 {
		t.Errorf("%d under way: %v", r.queue.running, err)
	}
}

// TestNoRoomToInherit: what comes behind a step that has waited for other hosts, and has
// no room in the run any more, has none either until there is some.
func TestNoRoomToInherit(t *testing.T) {
	t.Parallel()
	l, r := siteLab(t, 3, plan(3, on(0), on(1), on(1, all(0)...), on(2)), twoOfThree)
	l.decide()
	asks(l, r, 0)
	wantDecided(t, l, "schedule 3@2 from 0")
	l.end(r, 0, 0, eventlog.Succeeded)
	if err := recount(l.s); err != nil {
		t.Error(err)
	}
}

// TestAskingServesTheLine: a step that waits for other hosts leaves its place to the first
// in the line.
func TestAskingServesTheLine(t *testing.T) {
	t.Parallel()
	l, r := siteLab(t, 1, plan(1, on(0), on(0)), func(e *eventlog.RunCreated) { e.StepsPerHostMax = 1 })
	l.decide()
	if !r.Queues(1, 0) {
		t.Fatal("the second step is in no line")
	}
	asks(l, r, 0)
	if r.Queues(1, 0) {
		t.Error("the place is free, and the second step waits for it")
	}
}

// TestFailFastEmptiesLines: an heir that waits for a place is called back when the run
// fails fast.
func TestFailFastEmptiesLines(t *testing.T) {
	t.Parallel()
	l, r := siteLab(t, 3, plan(3, on(0), on(1), on(0, all(1)...), on(2)),
		func(e *eventlog.RunCreated) { e.StepsPerHostMax, e.FailFast = 1, true })
	l.decide()
	l.end(r, 1, 0, eventlog.Succeeded)
	if !r.Queues(2, 0) {
		t.Fatal("the heir is in no line")
	}
	l.end(r, 3, 0, eventlog.Failed)
	if c := l.s.Command(l.attempt(r, 2, 0).ID); !c.Cancel || !c.Unstarted {
		t.Errorf("the heir is told %+v", c)
	}
}

// TestRefusedAhead: a proposal to send a step ahead is void where that may not be, also of
// a leader that lags.
func TestRefusedAhead(t *testing.T) {
	t.Parallel()
	for name, strike := range map[string]func(l *lab, r *Run){
		"another site": func(l *lab, r *Run) { l.relay("other", "h1") },
		"a job has failed": func(l *lab, r *Run) {
			l.ok(&eventlog.JobEnded{Attempt: l.attempt(r, 0, 0).ID, Outcome: eventlog.Failed})
		},
		"given back behind": func(l *lab, r *Run) { l.decide(); l.end(r, 1, 0, eventlog.NotStarted) },
	} {
		l, r := siteLab(t, 2, plan(2, on(0), on(1, all(0)...)))
		l.ok(&eventlog.StepScheduled{Run: r.ID, Task: 0, Host: 0, Agent: l.s.AgentByName("h0").ID, Epoch: l.s.Epoch})
		strike(l, r)
		again := &eventlog.StepScheduled{Run: r.ID, Task: 1, Host: 1, Agent: l.s.AgentByName("h1").ID, Epoch: l.s.Epoch, Supersedes: r.Step(1, 0).Attempt, Ahead: true}
		if l.add(again) == "" {
			t.Errorf("%s: it is sent ahead", name)
		}
	}
}

// TestNothingToDoInVain: a step without a job that was sent ahead of one which fails is
// skipped, and not done.
func TestNothingToDoInVain(t *testing.T) {
	t.Parallel()
	p := plan(1, on(0), on(0, all(0)...))
	p.Tasks[1].Jobs = 0
	l, r := siteLab(t, 1, p)
	l.decide()
	l.end(r, 0, 0, eventlog.Failed)
	l.end(r, 1, 0, eventlog.NotStarted)
	wantStatuses(t, l, r, "failed", "skipped")
}
