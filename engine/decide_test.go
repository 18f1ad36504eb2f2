package engine

import (
	"testing"

	"quorate/eventlog"
)

// TestHostsTakeTurns: where the run's limit is below what is ready, steps are
// spread over the hosts.
func TestHostsTakeTurns(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for _, h := range []string{"h0", "h1", "h2"} {
		l.agent(h)
	}
	l.run(plan(3, eventlog.PlanTask{}, eventlog.PlanTask{}), func(e *eventlog.RunCreated) { e.StepsMax = 4 })
	wantDecided(t, l, "schedule 0@0 from 0; schedule 0@1 from 0; schedule 0@2 from 0; schedule 1@0 from 0")
	l.end(l.s.Runs[0], 0, 0, eventlog.Succeeded)
	wantDecided(t, l, "schedule 1@1 from 0")
}

// TestAbsentAgentsDoNotBlock: ready steps that nobody may run leave the room to others.
func TestAbsentAgentsDoNotBlock(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.agent("h1")
	l.run(plan(2, eventlog.PlanTask{Driver: "local"}, eventlog.PlanTask{HostSet: 2}, eventlog.PlanTask{HostSet: 3}),
		func(e *eventlog.RunCreated) { e.StepsMax = 1 })
	wantDecided(t, l, "schedule 2@1 from 0")
}

func TestDecisionIsBounded(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	tasks := make([]eventlog.PlanTask, 3*decideEventsMax)
	for i := range tasks {
		tasks[i].Driver = "noop"
	}
	l.run(plan(1, tasks...))
	if got := len(l.s.Decide()); got != decideEventsMax {
		t.Errorf("decided %d events at once", got)
	}
	if got := len(l.decide()); got != len(tasks)+1 {
		t.Errorf("decided %d events", got)
	}
}

// TestControllers: a local task goes to the oldest controller that may work, and
// a successor stays where the attempt before it was.
func TestControllers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	first := l.agent("c1", "controller")
	second := l.agent("c2", "controller")
	r := l.run(plan(1, eventlog.PlanTask{Driver: "local", Idempotent: true}))
	l.ok(&eventlog.StepScheduled{Run: 1, Host: NoHost, Agent: second, Epoch: l.s.Epoch})
	before := l.attempt(r, 0, 0).ID
	l.end(r, 0, 0, eventlog.Unknown)
	l.void(&eventlog.StepScheduled{Run: 1, Host: NoHost, Agent: first, Epoch: l.s.Epoch, Supersedes: before})
	l.decide()
	if got := l.attempt(r, 0, 0); got.Agent != second || got.Supersedes != before || l.s.Attempts[before].Successor != got.ID {
		t.Errorf("the successor is %+v", got)
	}
	l.ok(&eventlog.AgentRevoked{Agent: second})
	l.decide()
	if got := l.attempt(r, 0, 0).Agent; got != first {
		t.Errorf("the successor is on agent %d", got)
	}
}

func TestNothingBeforeALeader(t *testing.T) {
	t.Parallel()
	s := NewState()
	for i, e := range []eventlog.Event{plan(1, eventlog.PlanTask{HostSet: 1}), &eventlog.RunCreated{PlanID: "plan"}} {
		rec := eventlog.Record{Index: uint64(i) + 1}
		if void, err := s.Apply(rec, e); void != "" || err != nil {
			t.Fatal(void, err)
		}
	}
	if got := s.Decide(); got != nil {
		t.Errorf("decided %v without a leader", got)
	}
}
