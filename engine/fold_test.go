package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"quorate/eventlog"
	"quorate/internal/conformance"
	"quorate/planner"
)

func wantStatuses(t *testing.T, l *lab, r *Run, want ...string) {
	t.Helper()
	if got := l.statuses(r); !slices.Equal(got, want) {
		t.Errorf("tasks are %v, want %v", got, want)
	}
}

// events names the kinds of what was decided, with the task where there is one.
func names(events []eventlog.Event) string {
	var out []string
	for _, e := range events {
		switch e := e.(type) {
		case *eventlog.StepScheduled:
			out = append(out, fmt.Sprintf("schedule %d@%d from %d", e.Task, int32(e.Host), e.FromJob))
		case *eventlog.TaskRecorded:
			out = append(out, fmt.Sprintf("record %d", e.Task))
		case *eventlog.TaskSkipped:
			out = append(out, fmt.Sprintf("skip %d@%v for %d", e.Task, e.Hosts, e.Cause))
		case *eventlog.RunEnded:
			out = append(out, fmt.Sprintf("end %d", e.Outcome))
		}
	}
	return strings.Join(out, "; ")
}

func wantDecided(t *testing.T, l *lab, want string) {
	t.Helper()
	if got := names(l.decide()); got != want {
		t.Errorf("decided %q, want %q", got, want)
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.agent("h0")
	l.agent("h1")
	l.agent("ctl", "controller")
	r := l.run(plan(2,
		eventlog.PlanTask{},
		eventlog.PlanTask{Requires: sameHost(0)},
		eventlog.PlanTask{Requires: all(0)},
		eventlog.PlanTask{Driver: string(planner.DriverPrint), Requires: sameHost(0), Messages: []string{"hello"}},
		eventlog.PlanTask{HostSet: 1, Requires: all(3)},
		eventlog.PlanTask{Driver: string(planner.DriverLocal), Requires: all(4)},
	))
	wantDecided(t, l, "schedule 0@0 from 0; schedule 0@1 from 0")
	l.end(r, 0, 1, eventlog.Succeeded)
	wantDecided(t, l, "schedule 1@1 from 0")
	l.end(r, 0, 0, eventlog.Succeeded)
	// The engine's task waits for all hosts though its edge says the same host,
	// and the task without hosts lets those behind it go on.
	wantDecided(t, l, "record 3; schedule 1@0 from 0; schedule 2@1 from 0; schedule 2@0 from 0; record 4; schedule 5@-1 from 0")
	if got := r.Tasks[3].Messages; !slices.Equal(got, []string{"hello"}) {
		t.Errorf("messages %q", got)
	}
	for _, task := range []uint32{1, 2, 5} {
		for pos := range r.Graph.StepCount(task) {
			l.end(r, task, pos, eventlog.Succeeded)
		}
	}
	wantDecided(t, l, "end 1")
	if r.Status() != "succeeded" || r.EndedAt != l.s.Time {
		t.Errorf("the run is %s, ended at %d", r.Status(), r.EndedAt)
	}
}

func TestFailureSkipsDependents(t *testing.T) {
	conformance.Case(t, conformance.TaskCore, "14")
	t.Parallel()
	l := newLab(t)
	l.agent("h0")
	l.agent("h1")
	r := l.run(plan(2,
		eventlog.PlanTask{},
		eventlog.PlanTask{Requires: sameHost(0)},
		eventlog.PlanTask{Requires: all(1)},
		eventlog.PlanTask{Requires: sameHost(2)},
		eventlog.PlanTask{},
	))
	l.decide()
	l.end(r, 0, 0, eventlog.Failed)
	wantDecided(t, l, "skip 1@[0] for 0; skip 2@[] for 0; skip 3@[] for 0")
	if got, want := r.Tasks[3].Reason, "t0 failed"; got != want || r.Tasks[3].Cause != 0 {
		t.Errorf("skipped for %d, %q, want %q", r.Tasks[3].Cause, got, want)
	}
	l.end(r, 0, 1, eventlog.Succeeded)
	wantDecided(t, l, "schedule 1@1 from 0")
	l.end(r, 1, 1, eventlog.Succeeded)
	wantDecided(t, l, "")
	l.end(r, 4, 0, eventlog.Succeeded)
	l.end(r, 4, 1, eventlog.Succeeded)
	wantDecided(t, l, "end 2")
	wantStatuses(t, l, r, "failed", "skipped", "skipped", "skipped", "succeeded")
}

func TestFailFast(t *testing.T) {
	conformance.Case(t, conformance.TaskCore, "14")
	t.Parallel()
	l := newLab(t)
	l.agent("h0")
	l.agent("h1")
	r := l.run(plan(2, eventlog.PlanTask{}, eventlog.PlanTask{}, eventlog.PlanTask{}, eventlog.PlanTask{Requires: all(1)}),
		func(e *eventlog.RunCreated) { e.FailFast, e.StepsMax = true, 3 })
	wantDecided(t, l, "schedule 0@0 from 0; schedule 0@1 from 0; schedule 1@0 from 0")
	l.end(r, 0, 1, eventlog.Unknown)
	l.end(r, 0, 0, eventlog.Failed)
	l.void(&eventlog.StepScheduled{Run: 1, Task: 1, Host: 1, Agent: 6, Epoch: l.s.Epoch})
	wantDecided(t, l, "skip 0@[] for 0; skip 1@[] for 1; skip 2@[] for 2; skip 3@[] for 3")
	if l.attempt(r, 1, 0).Cancel {
		t.Error("what is under way is cancelled")
	}
	l.end(r, 1, 0, eventlog.NotStarted)
	wantDecided(t, l, "end 2")
	wantStatuses(t, l, r, "failed", "skipped", "skipped", "skipped")
	if got := r.Step(0, 1).Reason; !strings.Contains(got, "unknown") {
		t.Errorf("the step whose outcome is unknown failed because %q", got)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.agent("h0")
	r := l.run(plan(1, eventlog.PlanTask{}, eventlog.PlanTask{}, eventlog.PlanTask{}, eventlog.PlanTask{Requires: all(0)}),
		func(e *eventlog.RunCreated) { e.StepsMax = 2 })
	l.decide()
	l.end(r, 1, 0, eventlog.Unknown)
	l.ok(&eventlog.RunCancelled{Run: 1, Reason: "wrong day", RequestID: "c"})
	l.void(&eventlog.RunCancelled{Run: 1, RequestID: "c"})
	l.void(&eventlog.RunCancelled{Run: 1})
	l.void(&eventlog.StepResolved{Attempt: l.attempt(r, 1, 0).ID, As: "retry"})
	if !l.attempt(r, 0, 0).Cancel || l.attempt(r, 1, 0).Cancel {
		t.Error("the cancel is for what is under way, and nothing else")
	}
	wantDecided(t, l, "skip 1@[] for 1; skip 2@[] for 2; skip 3@[] for 3")
	if r.Status() != "cancelling" {
		t.Errorf("the run is %s", r.Status())
	}
	l.end(r, 0, 0, eventlog.Cancelled)
	wantDecided(t, l, "end 4")
	wantStatuses(t, l, r, "cancelled", "cancelled", "cancelled", "cancelled")
}

func TestCancelTooLate(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.agent("h0")
	r := l.run(plan(1, eventlog.PlanTask{}))
	l.decide()
	l.ok(&eventlog.RunCancelled{Run: 1})
	l.end(r, 0, 0, eventlog.Succeeded)
	wantDecided(t, l, "end 1")
}

// TestStaleSchedules proposes schedules that were right once.
func TestStaleSchedules(t *testing.T) {
	t.Parallel()
	fresh := func() (*lab, *Run, eventlog.StepScheduled) {
		l := newLab(t)
		a := l.agent("h0")
		l.agent("h1")
		r := l.run(plan(2, eventlog.PlanTask{HostSet: 2, Jobs: 2}, eventlog.PlanTask{Requires: all(0)},
			eventlog.PlanTask{Driver: string(planner.DriverPrint)}, eventlog.PlanTask{HostSet: 2}),
			func(e *eventlog.RunCreated) { e.StepsPerHostMax = 1 })
		return l, r, eventlog.StepScheduled{Run: 1, Task: 0, Host: 0, Agent: a, Epoch: l.s.Epoch}
	}
	cases := map[string]func(*lab, *Run, *eventlog.StepScheduled){
		"no run":            func(_ *lab, _ *Run, e *eventlog.StepScheduled) { e.Run = 2 },
		"no task":           func(_ *lab, _ *Run, e *eventlog.StepScheduled) { e.Task = 9 },
		"not ready":         func(_ *lab, _ *Run, e *eventlog.StepScheduled) { e.Task = 1 },
		"engine's task":     func(_ *lab, _ *Run, e *eventlog.StepScheduled) { e.Task, e.Host = 2, NoHost },
		"no such host":      func(_ *lab, _ *Run, e *eventlog.StepScheduled) { e.Host = 1 },
		"another's host":    func(_ *lab, _ *Run, e *eventlog.StepScheduled) { e.Agent += 2 },
		"old epoch":         func(l *lab, _ *Run, e *eventlog.StepScheduled) { l.ok(&eventlog.LeaderEstablished{Replica: 2}) },
		"wrong job":         func(_ *lab, _ *Run, e *eventlog.StepScheduled) { e.FromJob = 1 },
		"supersedes none":   func(_ *lab, _ *Run, e *eventlog.StepScheduled) { e.Supersedes = 5 },
		"revoked agent":     func(l *lab, _ *Run, e *eventlog.StepScheduled) { l.ok(&eventlog.AgentRevoked{Agent: e.Agent}) },
		"quarantined agent": func(l *lab, _ *Run, e *eventlog.StepScheduled) { l.ok(&eventlog.AgentQuarantined{Agent: e.Agent}) },
		"under way":         func(l *lab, _ *Run, e *eventlog.StepScheduled) { c := *e; l.ok(&c) },
		"cancelled run":     func(l *lab, _ *Run, _ *eventlog.StepScheduled) { l.ok(&eventlog.RunCancelled{Run: 1}) },
		"host at its limit": func(l *lab, _ *Run, e *eventlog.StepScheduled) { c := *e; c.Task = 3; l.ok(&c) },
		"done": func(l *lab, r *Run, e *eventlog.StepScheduled) {
			c := *e
			l.ok(&c)
			l.end(r, 0, 0, eventlog.Succeeded)
		},
	}
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			l, r, e := fresh()
			l.t = t
			spoil(l, r, &e)
			l.void(&e)
		})
	}
	l, _, e := fresh()
	l.ok(&e)
}

func TestUnknown(t *testing.T) {
	t.Parallel()
	const jobs = 3
	cases := []struct {
		name       string
		idempotent bool
		keepGoing  bool
		jobs       []eventlog.Outcome // of the first jobs
		resolve    string
		want       string // decided afterwards
		status     TaskStatus
	}{
		{name: "nothing known", want: "", status: Waiting},
		{name: "nothing known, idempotent", idempotent: true, want: "schedule 0@0 from 0", status: Running},
		{name: "one job done", jobs: []eventlog.Outcome{1}, resolve: "retry", want: "schedule 0@0 from 1", status: Running},
		{name: "the agent says which", jobs: []eventlog.Outcome{1, 6}, resolve: "retry", want: "schedule 0@0 from 1", status: Running},
		{name: "taken as done", jobs: []eventlog.Outcome{1, 6}, resolve: "succeeded", want: "schedule 0@0 from 2", status: Running},
		{name: "last job taken as done", jobs: []eventlog.Outcome{1, 3, 6}, resolve: "succeeded", want: "end 1", status: Done},
		{name: "failed by an operator", resolve: "failed", want: "end 2", status: TaskFailed},
		{name: "a job had failed", jobs: []eventlog.Outcome{1, 2}, want: "end 2", status: TaskFailed},
		{name: "a job had failed, keep going", keepGoing: true, jobs: []eventlog.Outcome{1, 2}, resolve: "retry", want: "schedule 0@0 from 2", status: Running},
		{name: "all jobs are done", jobs: []eventlog.Outcome{1, 1, 1}, want: "end 1", status: Done},
		{name: "all jobs have run, one failed", keepGoing: true, jobs: []eventlog.Outcome{1, 2, 1}, want: "end 2", status: TaskFailed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.agent("h0")
			r := l.run(plan(1, eventlog.PlanTask{Jobs: jobs, Idempotent: c.idempotent, KeepGoing: c.keepGoing}))
			l.decide()
			id := l.attempt(r, 0, 0).ID
			for j, o := range c.jobs {
				l.ok(&eventlog.JobEnded{Attempt: id, Job: uint32(j), Outcome: o})
			}
			l.end(r, 0, 0, eventlog.Unknown)
			if c.resolve != "" {
				if got := r.Status(); got != "waiting" || len(r.WaitingFor(l.s)) != 1 {
					t.Errorf("the run is %s for %q", got, r.WaitingFor(l.s))
				}
				l.ok(&eventlog.StepResolved{Attempt: id, As: c.resolve, By: "op", RequestID: "r"})
				l.void(&eventlog.StepResolved{Attempt: id, As: c.resolve, By: "op", RequestID: "r"})
				l.void(&eventlog.StepResolved{Attempt: id, As: "failed", By: "op"})
			}
			wantDecided(t, l, c.want)
			if got := r.Step(0, 0).Status; got != c.status {
				t.Errorf("the step is %s, want %s", got, c.status)
			}
		})
	}
}

func TestRetriesAreBounded(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.agent("h0")
	r := l.run(plan(1, eventlog.PlanTask{Idempotent: true}))
	for range 1 + retriesMax {
		wantDecided(t, l, "schedule 0@0 from 0")
		l.end(r, 0, 0, eventlog.Unknown)
	}
	wantDecided(t, l, "")
	if got := r.Step(0, 0); got.Status != Waiting || got.Attempts != 1+retriesMax {
		t.Errorf("the step is %s after %d attempts", got.Status, got.Attempts)
	}
}

func TestNotStartedIsBounded(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.agent("h0")
	r := l.run(plan(1, eventlog.PlanTask{}))
	for range 1 + unstartedMax {
		wantDecided(t, l, "schedule 0@0 from 0")
		l.end(r, 0, 0, eventlog.NotStarted)
	}
	wantDecided(t, l, "end 2")
}

// TestJobsElsewhere: a job for other hosts is neither resumed with nor waited for.
func TestJobsElsewhere(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.agent("h0")
	l.agent("h1")
	r := l.run(plan(2, eventlog.PlanTask{Jobs: 3, JobHostSets: []uint32{0, 3, 2}}))
	l.decide()
	for pos := range 2 {
		l.ok(&eventlog.JobEnded{Attempt: l.attempt(r, 0, pos).ID, Job: 0, Outcome: eventlog.Succeeded})
		l.end(r, 0, pos, eventlog.Unknown)
	}
	l.ok(&eventlog.StepResolved{Attempt: l.attempt(r, 0, 0).ID, As: "retry"})
	wantDecided(t, l, "schedule 0@0 from 2")
	l.ok(&eventlog.StepResolved{Attempt: l.attempt(r, 0, 1).ID, As: "succeeded"})
	wantDecided(t, l, "")
	if got := r.Step(0, 1).Status; got != Done {
		t.Errorf("the step with no job left is %s", got)
	}
}
