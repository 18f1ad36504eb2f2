package engine

import (
	"testing"

	"quorate/eventlog"
)

func TestLateEvidence(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name    string
		resolve string
		decide  bool
		late    eventlog.Outcome
		status  TaskStatus
		outcome eventlog.Outcome
		kept    eventlog.Outcome
	}{
		{name: "while it waits", late: eventlog.Succeeded, status: Done, outcome: eventlog.Succeeded},
		{name: "failed, while it waits", late: eventlog.Failed, status: TaskFailed, outcome: eventlog.Failed},
		{name: "never started, while it waits", late: eventlog.NotStarted, status: Ready, outcome: eventlog.NotStarted},
		{name: "before the successor", resolve: "retry", late: eventlog.Succeeded, status: Done, outcome: eventlog.Succeeded},
		{name: "failed, before the successor", resolve: "retry", late: eventlog.Failed, status: TaskFailed, outcome: eventlog.Failed},
		{name: "behind the successor", resolve: "retry", decide: true, late: eventlog.Succeeded, status: Running, outcome: eventlog.Unknown, kept: eventlog.Succeeded},
		{name: "behind an operator's word", resolve: "failed", late: eventlog.Succeeded, status: TaskFailed, outcome: eventlog.Unknown, kept: eventlog.Succeeded},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.agent("h0")
			r := l.run(plan(1, eventlog.PlanTask{}))
			l.decide()
			a := l.attempt(r, 0, 0)
			l.ok(&eventlog.AttemptEnded{Attempt: a.ID, Outcome: eventlog.Unknown, By: "op", Reason: "gone"})
			l.void(&eventlog.AttemptEnded{Attempt: a.ID, Outcome: eventlog.Unknown, By: "op", Reason: "gone"})
			if c.resolve != "" {
				l.ok(&eventlog.StepResolved{Attempt: a.ID, As: c.resolve})
			}
			if c.decide {
				l.decide()
			}
			l.ok(&eventlog.AttemptEnded{Attempt: a.ID, Outcome: c.late})
			l.void(&eventlog.AttemptEnded{Attempt: a.ID, Outcome: c.late})
			if got := r.Step(0, 0).Status; got != c.status {
				t.Errorf("the step is %s, want %s", got, c.status)
			}
			if a.Outcome != c.outcome || a.Late != c.kept {
				t.Errorf("the attempt is %d with %d kept, want %d with %d", a.Outcome, a.Late, c.outcome, c.kept)
			}
		})
	}
}

// TestLateEvidenceInStoppedRun covers what the simulation meets too rarely.
func TestLateEvidenceInStoppedRun(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name       string
		idempotent bool // the step is ready, not waiting
		failFast   bool
		status     TaskStatus
	}{
		{"waiting, cancelled", false, false, TaskCancelled},
		{"ready, cancelled", true, false, TaskCancelled},
		{"waiting, fails fast", false, true, TaskSkipped},
		{"ready, fails fast", true, true, TaskSkipped},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.agent("h0")
			r := l.run(plan(1, eventlog.PlanTask{Idempotent: c.idempotent}, eventlog.PlanTask{}),
				func(e *eventlog.RunCreated) { e.FailFast = c.failFast })
			l.decide()
			l.end(r, 0, 0, eventlog.Unknown)
			if c.failFast {
				l.end(r, 1, 0, eventlog.Failed)
			} else {
				l.ok(&eventlog.RunCancelled{Run: 1})
				l.end(r, 1, 0, eventlog.Cancelled)
			}
			l.end(r, 0, 0, eventlog.NotStarted)
			if got := r.Step(0, 0).Status; got != c.status {
				t.Errorf("the step is %s, want %s", got, c.status)
			}
			if err := recount(l.s); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestReports(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	id := l.agent("h0")
	agent := l.s.Agents[id]
	r := l.run(plan(1, eventlog.PlanTask{Jobs: 2}))
	l.decide()
	a := l.attempt(r, 0, 0).ID
	l.void(&eventlog.JobEnded{Attempt: a + 1, Outcome: eventlog.Succeeded, Seq: 1})
	l.void(&eventlog.JobEnded{Attempt: a, Job: 1, Outcome: eventlog.Succeeded, Seq: 2}) // overtook report 1
	l.ok(&eventlog.JobEnded{Attempt: a, Job: 0, Outcome: eventlog.Succeeded, Seq: 1})
	l.void(&eventlog.JobEnded{Attempt: a, Job: 0, Outcome: eventlog.Succeeded, Seq: 1})
	l.void(&eventlog.JobEnded{Attempt: a, Job: 0, Outcome: eventlog.Failed})
	l.void(&eventlog.JobEnded{Attempt: a, Job: 2, Outcome: eventlog.Succeeded})
	l.ok(&eventlog.JobEnded{Attempt: a, Job: 1, Outcome: eventlog.Skipped, Seq: 2})
	l.void(&eventlog.AttemptEnded{Attempt: a, Outcome: eventlog.Succeeded, By: "op"})
	if agent.Floor() != a-1 {
		t.Errorf("the floor is %d under attempt %d", agent.Floor(), a)
	}
	l.ok(&eventlog.AttemptEnded{Attempt: a, Outcome: eventlog.Succeeded, Seq: 3})
	if agent.Floor() != a || agent.JournalSeq != 3 {
		t.Errorf("the floor is %d, %d reports are committed", agent.Floor(), agent.JournalSeq)
	}
	// A report that says nothing new counts as one: the agent may forget it.
	l.ok(&eventlog.JobEnded{Attempt: a, Job: 0, Outcome: eventlog.Failed, Seq: 4})
	if agent.JournalSeq != 4 || r.Counts.JobsSucceeded != 2 || r.Counts.JobsFailed != 0 || r.Counts.JobsUnchanged != 2 {
		t.Errorf("%d reports, counts %+v", agent.JournalSeq, r.Counts)
	}
}

func TestSuccessWithFailedJob(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.agent("h0")
	r := l.run(plan(1, eventlog.PlanTask{Jobs: 2, KeepGoing: true}))
	l.decide()
	first := l.attempt(r, 0, 0).ID
	l.ok(&eventlog.JobEnded{Attempt: first, Job: 0, Outcome: eventlog.Failed})
	l.end(r, 0, 0, eventlog.Unknown)
	l.ok(&eventlog.StepResolved{Attempt: first, As: "retry"})
	l.decide()
	l.end(r, 0, 0, eventlog.Succeeded)
	if got := r.Step(0, 0).Status; got != TaskFailed {
		t.Errorf("a step is %s that goes on behind a failed job", got)
	}
}
