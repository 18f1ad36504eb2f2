package engine

import (
	"slices"
	"testing"

	"quorate/eventlog"
)

// TestDisproved: what is on record as not started becomes unknown where its agent comes
// with a journal that does not know so. What was to be tried again by itself waits for an
// operator then, unless it may be repeated; what has become of the step otherwise stays.
func TestDisproved(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		idempotent bool
		before     func(l *lab, r *Run)
		status     TaskStatus
	}{
		{name: "to be tried again", status: Waiting},
		{name: "idempotent", idempotent: true, status: Ready},
		{name: "tried again", before: func(l *lab, _ *Run) { l.decide() }, status: Waiting},                              // the successor was under way
		{name: "cancelled before", before: func(l *lab, _ *Run) { l.ok(&eventlog.RunCancelled{Run: 1}) }, status: Ready}, // until it is swept
		{name: "in quarantine before", before: func(l *lab, _ *Run) {
			l.ok(&eventlog.AgentQuarantined{Agent: l.s.AgentByName("h0").ID, Reason: "another"})
		}, status: Waiting},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			agent, other := l.agent("h0"), l.agent("h1")
			r := l.run(plan(1, eventlog.PlanTask{Idempotent: c.idempotent}))
			l.decide()
			a := l.attempt(r, 0, 0)
			disproves := func(by uint64) *eventlog.AgentQuarantined {
				return &eventlog.AgentQuarantined{Agent: by, Reason: "older", JournalID: l.s.Agents[by].JournalID, JournalSeq: 9, Disproved: []uint64{a.ID}}
			}
			l.void(disproves(agent)) // it is under way
			l.end(r, 0, 0, eventlog.NotStarted)
			if c.before != nil {
				c.before(l, r)
			}
			l.void(disproves(other)) // it is not that one's
			if got := l.s.Disproved(l.s.Agents[agent], []uint64{a.ID, 99}, nil); !slices.Equal(got, []uint64{a.ID}) {
				t.Errorf("disproved %d", got)
			}
			if got := l.s.Disproved(l.s.Agents[agent], []uint64{a.ID}, []uint64{a.ID}); got != nil {
				t.Errorf("disproved %d, which the journal forbids", got)
			}
			l.ok(disproves(agent))
			l.void(disproves(agent))
			if got := r.Step(0, 0).Status; got != c.status || a.Outcome != eventlog.Unknown || a.Reason != disprovedEnd {
				t.Errorf("the step is %s, want %s; the attempt's outcome is %d: %s", got, c.status, a.Outcome, a.Reason)
			}
			if err := recount(l.s); err != nil {
				t.Error(err)
			}
			n := r.Step(0, 0).Attempts
			l.ok(&eventlog.AgentRevoked{Agent: agent})
			l.agent("h0")
			l.decide()
			if again := r.Step(0, 0).Attempts > n; again != c.idempotent {
				t.Errorf("tried again: %t", again)
			}
		})
	}
}

// TestDisprovedAhead: a step that was sent ahead and given back waits for an operator as
// well, while what it waits for goes on.
func TestDisprovedAhead(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	agent := l.agent("h0")
	r := l.run(plan(1, eventlog.PlanTask{Idempotent: true}, eventlog.PlanTask{Requires: sameHost(0)}), func(e *eventlog.RunCreated) { e.AheadMax = 4 })
	l.decide()
	a := l.attempt(r, 1, 0)
	l.end(r, 0, 0, eventlog.Unknown)
	l.end(r, 1, 0, eventlog.NotStarted)
	if got := r.Step(1, 0).Status; got != Pending {
		t.Fatalf("the step is %s", got)
	}
	l.ok(&eventlog.AgentQuarantined{Agent: agent, Disproved: []uint64{a.ID}})
	l.ok(&eventlog.AgentRevoked{Agent: agent})
	l.agent("h0")
	l.decide()
	l.end(r, 0, 0, eventlog.Succeeded)
	l.decide()
	if got := r.Step(1, 0); got.Status != Waiting || got.Attempts != 1 {
		t.Fatalf("the step is %s after %d attempts", got.Status, got.Attempts)
	}
	l.ok(&eventlog.StepResolved{Attempt: a.ID, As: "retry"})
	l.decide()
	l.end(r, 1, 0, eventlog.Succeeded)
	l.decide()
	if r.Outcome != eventlog.Succeeded {
		t.Errorf("the run is %s", r.Status())
	}
	if err := recount(l.s); err != nil {
		t.Error(err)
	}
}

// TestOvertakenByWhatCameBefore: what the attempt before has published says nothing of one
// that goes on from there.
func TestOvertakenByWhatCameBefore(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	agent := l.agent("h0")
	r := l.run(plan(1, eventlog.PlanTask{Jobs: 2, Idempotent: true}))
	l.decide()
	first := l.attempt(r, 0, 0)
	published := func(attempt uint64, job uint32, seq uint64) {
		l.ok(&eventlog.ValuesPublished{Attempt: attempt, Job: job, Waits: true, Seq: seq})
	}
	published(first.ID, 0, 1)
	l.ok(&eventlog.AttemptEnded{Attempt: first.ID, Outcome: eventlog.Unknown, Seq: 2})
	l.decide()
	second := l.attempt(r, 0, 0)
	if first == second || first.Reached == 0 || second.Reached != first.Reached {
		t.Fatalf("%d goes on from %d, %d", second.ID, first.Reached, second.Reached)
	}
	if got := l.s.Overtaken(l.s.Agents[agent], []uint64{second.ID}); got != 0 {
		t.Errorf("overtaken: %d", got)
	}
	published(second.ID, 1, 3)
	if got := l.s.Overtaken(l.s.Agents[agent], []uint64{second.ID}); got != second.ID {
		t.Errorf("overtaken: %d, after it has published", got)
	}
}

// TestOvertaken: a journal that holds an attempt as not started is an older copy where the
// agent itself has told how it went, and is sound where only others have given it up.
func TestOvertaken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		told eventlog.Event
		want bool
	}{
		{"nothing is told", &eventlog.AttemptBegan{Seq: 1}, false},
		{"a job has ended", &eventlog.JobEnded{Outcome: eventlog.Failed, Seq: 1}, true},
		{"it has ended", &eventlog.AttemptEnded{Outcome: eventlog.Cancelled, Seq: 1}, true},
		{"nobody knows how", &eventlog.AttemptEnded{Outcome: eventlog.Unknown, Seq: 1}, true},
		{"it never started", &eventlog.AttemptEnded{Outcome: eventlog.NotStarted, Seq: 1}, false},
		{"it was given up", &eventlog.AttemptEnded{Outcome: eventlog.Unknown, By: "op"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			agent, other := l.agent("h0"), l.agent("h1")
			r := l.run(plan(1, eventlog.PlanTask{}))
			l.decide()
			a := l.attempt(r, 0, 0)
			switch e := c.told.(type) {
			case *eventlog.AttemptBegan:
				e.Attempt = a.ID
			case *eventlog.JobEnded:
				e.Attempt = a.ID
			case *eventlog.AttemptEnded:
				e.Attempt = a.ID
			}
			l.ok(c.told)
			if got := l.s.Overtaken(l.s.Agents[agent], []uint64{99, a.ID}); (got == a.ID) != c.want {
				t.Errorf("overtaken: %d", got)
			}
			if got := l.s.Overtaken(l.s.Agents[other], []uint64{a.ID}); got != 0 {
				t.Errorf("another agent's: %d", got)
			}
		})
	}
}
