package engine

import (
	"testing"

	"quorate/eventlog"
	"quorate/planner"
)

// TestAfterAnyEnd: what only comes after a step starts when that is settled, on
// each host by itself, and whatever became of it; not while it is unknown.
func TestAfterAnyEnd(t *testing.T) {
	t.Parallel()
	const next = "schedule 1@0 from 0"
	cases := []struct {
		name    string
		outcome eventlog.Outcome
		resolve string
		want    string // decided when the first host's step has ended
		then    string // and when its outcome, unknown, was resolved
	}{
		{name: "succeeded", outcome: eventlog.Succeeded, want: next},
		{name: "failed", outcome: eventlog.Failed, want: next},
		{name: "cancelled by the agent", outcome: eventlog.Cancelled, want: next},
		{name: "not started", outcome: eventlog.NotStarted, want: "schedule 0@0 from 0"},
		{name: "unknown, then failed", outcome: eventlog.Unknown, resolve: "failed", then: next},
		{name: "unknown, then succeeded", outcome: eventlog.Unknown, resolve: "succeeded", then: next},
		{name: "unknown, then retried", outcome: eventlog.Unknown, resolve: "retry", then: "schedule 0@0 from 0"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.agent("h0")
			l.agent("h1")
			r := l.run(plan(2, eventlog.PlanTask{}, eventlog.PlanTask{Requires: after(0)}))
			wantDecided(t, l, "schedule 0@0 from 0; schedule 0@1 from 0")
			l.end(r, 0, 0, c.outcome)
			wantDecided(t, l, c.want)
			if c.resolve != "" {
				l.ok(&eventlog.StepResolved{Attempt: l.attempt(r, 0, 0).ID, As: c.resolve, By: "op"})
				wantDecided(t, l, c.then)
			}
			if got := r.Step(1, 1).Status; got != Pending {
				t.Errorf("the step on the other host is %s", got)
			}
			if err := recount(l.s); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAfterLateEvidence: a step that waits for an operator may still be settled
// by its agent.
func TestAfterLateEvidence(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.agent("h0")
	r := l.run(plan(1, eventlog.PlanTask{}, eventlog.PlanTask{Requires: after(0)}))
	l.decide()
	l.end(r, 0, 0, eventlog.Unknown)
	wantDecided(t, l, "")
	l.end(r, 0, 0, eventlog.Failed)
	wantDecided(t, l, "schedule 1@0 from 0")
	l.end(r, 1, 0, eventlog.Succeeded)
	wantDecided(t, l, "end 2")
	wantStatuses(t, l, r, "failed", "succeeded")
}

// TestAfterSkipped: skipped steps are settled too, be it one by one or as a
// whole task that was never looked at; and a failure goes no further than to
// those that require it.
func TestAfterSkipped(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.agent("h0")
	l.agent("h1")
	l.agent("ctl", ControllerLabel)
	r := l.run(plan(2,
		eventlog.PlanTask{},
		eventlog.PlanTask{Requires: sameHost(0)},                 // skipped on h0
		eventlog.PlanTask{Requires: all(0)},                      // skipped whole
		eventlog.PlanTask{Requires: after(1)},                    // host by host
		eventlog.PlanTask{Requires: after(2)},                    // at once
		eventlog.PlanTask{Requires: append(all(0), after(4)...)}, // skipped after all
		eventlog.PlanTask{Driver: string(planner.DriverPrint), Requires: after(1)},
		eventlog.PlanTask{HostSet: 3, Requires: after(1)}, // h1 only
	))
	l.decide()
	l.end(r, 0, 0, eventlog.Failed)
	wantDecided(t, l, "skip 1@[0] for 0; skip 2@[] for 0; skip 5@[] for 0; schedule 3@0 from 0; schedule 4@1 from 0; schedule 4@0 from 0")
	l.end(r, 0, 1, eventlog.Succeeded)
	wantDecided(t, l, "schedule 1@1 from 0")
	l.end(r, 1, 1, eventlog.Succeeded)
	wantDecided(t, l, "record 6; schedule 3@1 from 0; schedule 7@1 from 0")
	for _, task := range []uint32{3, 4, 7} {
		for pos := range r.Graph.StepCount(task) {
			l.end(r, task, pos, eventlog.Succeeded)
		}
	}
	wantDecided(t, l, "end 2")
	wantStatuses(t, l, r, "failed", "skipped", "skipped", "succeeded", "succeeded", "skipped", "succeeded", "succeeded")
	if err := recount(l.s); err != nil {
		t.Error(err)
	}
}

// TestAfterElsewhere: where the provider has no such host there is nothing to
// wait for.
func TestAfterElsewhere(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.agent("h0")
	l.agent("h1")
	l.run(plan(2, eventlog.PlanTask{HostSet: 2}, eventlog.PlanTask{Requires: after(0)}))
	wantDecided(t, l, "schedule 0@0 from 0; schedule 1@1 from 0")
}

// TestAfterAndRequired: of two edges to one task the stricter counts.
func TestAfterAndRequired(t *testing.T) {
	t.Parallel()
	for name, deps := range map[string][]eventlog.PlanDep{
		"after first":   append(after(0), sameHost(0)...),
		"after last":    append(sameHost(0), after(0)...),
		"after and all": append(after(0), all(0)...),
	} {
		l := newLab(t)
		l.agent("h0")
		r := l.run(plan(1, eventlog.PlanTask{}, eventlog.PlanTask{Requires: deps}))
		l.decide()
		l.end(r, 0, 0, eventlog.Failed)
		if got := r.Step(1, 0).Status; got != Pending {
			t.Errorf("%s: the step is %s", name, got)
		}
		l.decide()
		wantStatuses(t, l, r, "failed", "skipped")
	}
}

// TestAfterInStoppedRun: an order lets nothing start in a run that stops.
func TestAfterInStoppedRun(t *testing.T) {
	t.Parallel()
	tasks := []eventlog.PlanTask{{}, {Requires: after(0)}, {Requires: after(1)}}
	t.Run("fail fast", func(t *testing.T) {
		t.Parallel()
		l := newLab(t)
		l.agent("h0")
		r := l.run(plan(1, tasks...), func(e *eventlog.RunCreated) { e.FailFast = true })
		l.decide()
		l.end(r, 0, 0, eventlog.Failed)
		wantStatuses(t, l, r, "failed", "pending", "pending")
		wantDecided(t, l, "skip 1@[] for 1; skip 2@[] for 2; end 2")
		wantStatuses(t, l, r, "failed", "skipped", "skipped")
	})
	t.Run("cancel", func(t *testing.T) {
		t.Parallel()
		l := newLab(t)
		l.agent("h0")
		r := l.run(plan(1, tasks...))
		l.decide()
		l.ok(&eventlog.RunCancelled{Run: 1})
		l.end(r, 0, 0, eventlog.Cancelled)
		wantStatuses(t, l, r, "cancelled", "pending", "pending")
		wantDecided(t, l, "skip 1@[] for 1; skip 2@[] for 2; end 4")
		wantStatuses(t, l, r, "cancelled", "cancelled", "cancelled")
	})
}
