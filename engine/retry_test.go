package engine

import (
	"fmt"
	"testing"

	"quorate/eventlog"
)

// retry asks for what the run has left, or would have.
func (w *simWorld) retry(r *Run) {
	e := r.RunCreated
	e.RequestID, e.RetryOf, e.RetryUnknown = fmt.Sprintf("retry-%d", w.rng.IntN(30)), r.ID, w.rng.IntN(2) == 0
	left := w.s.Leftover(r)
	if w.propose(&e) != "" {
		return
	}
	again := w.s.Runs[len(w.s.Runs)-1]
	if n := again.Counts.Succeeded; n != again.Counts.Steps-left.Steps || n != r.Counts.Succeeded {
		w.t.Errorf("run %d begins with %d steps done, run %d ended with %d", again.ID, n, r.ID, r.Counts.Succeeded)
	}
	if again.Counts.Ready+again.Counts.Pending != left.Steps || len(left.Unknown) > 0 && !e.RetryUnknown {
		w.t.Errorf("run %d is left %+v, begins with %+v", again.ID, left, again.Counts)
	}
}

// retryOf asks for a run that does what another one has left.
func retryOf(of *Run, with ...func(*eventlog.RunCreated)) *eventlog.RunCreated {
	e := of.RunCreated
	e.RequestID, e.RetryOf = "", of.ID
	for _, f := range with {
		f(&e)
	}
	return &e
}

// TestRetry: what has succeeded counts as done, host by host, and the rest is done in
// the plan's order.
func TestRetry(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.agent("h0")
	l.agent("h1")
	first := l.run(plan(2, eventlog.PlanTask{}, eventlog.PlanTask{Requires: sameHost(0)}, eventlog.PlanTask{Requires: all(1)}))
	l.decide()
	l.end(first, 0, 0, eventlog.Succeeded)
	l.end(first, 0, 1, eventlog.Failed)
	l.void(retryOf(first)) // it goes on
	l.decide()
	l.end(first, 1, 0, eventlog.Succeeded)
	l.decide()
	if first.Outcome != eventlog.Failed {
		t.Fatalf("the first run is %s", first.Status())
	}
	if left := l.s.Leftover(first); left.Steps != 4 || left.Unknown != nil || left.Missing != nil {
		t.Errorf("left to be done: %+v", left)
	}
	l.void(retryOf(first, func(e *eventlog.RunCreated) { e.Check = true }))
	l.void(retryOf(first, func(e *eventlog.RunCreated) { e.RetryOf = 7 }))
	l.ok(retryOf(first))
	second := l.s.Runs[1]
	l.void(retryOf(first)) // one run does so
	if second.Tasks[0].Status != Ready || second.Counts.Succeeded != 2 || second.Counts.Ready != 1 {
		t.Errorf("the second run begins as %v with %+v", l.statuses(second), second.Counts)
	}
	if events := l.decide(); len(events) != 1 || l.attempt(second, 0, 1).Supersedes != 0 {
		t.Errorf("%d events", len(events))
	}
	if st := second.Step(1, 0); st.Status != Done || st.Reason != "succeeded in run 1" || st.Attempts != 0 {
		t.Errorf("what has succeeded is %+v", st)
	}
	l.end(second, 0, 1, eventlog.Succeeded)
	l.decide()
	l.end(second, 1, 1, eventlog.Succeeded)
	l.decide()
	if err := recount(l.s); err != nil {
		t.Error(err)
	}
	for pos := range 2 {
		l.end(second, 2, pos, eventlog.Succeeded)
	}
	l.decide()
	if second.Outcome != eventlog.Succeeded {
		t.Errorf("the second run is %s: %v", second.Status(), l.statuses(second))
	}
	l.void(retryOf(second)) // nothing is left
}

// TestRetryUnknown: what nobody knows is not done once more unless an operator says so;
// what one has decided, or late evidence has told, is known.
func TestRetryUnknown(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		then    func(l *lab, r *Run)
		unknown bool
	}{
		"nobody knows": {func(*lab, *Run) {}, true},
		"it had failed": {func(l *lab, r *Run) {
			l.ok(&eventlog.AttemptEnded{Attempt: l.attempt(r, 0, 0).ID, Outcome: eventlog.Failed})
		}, false},
		"it had not started": {func(l *lab, r *Run) {
			l.ok(&eventlog.AttemptEnded{Attempt: l.attempt(r, 0, 0).ID, Outcome: eventlog.NotStarted})
		}, false},
		"it had succeeded": {func(l *lab, r *Run) {
			l.ok(&eventlog.AttemptEnded{Attempt: l.attempt(r, 0, 0).ID, Outcome: eventlog.Succeeded})
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.agent("h0")
			r := l.run(plan(1, eventlog.PlanTask{}), func(e *eventlog.RunCreated) { e.FailFast = true })
			l.decide()
			l.ok(&eventlog.RunCancelled{Run: r.ID})
			l.end(r, 0, 0, eventlog.Unknown)
			l.decide()
			tt.then(l, r)
			if left := l.s.Leftover(r); (len(left.Unknown) == 1) != tt.unknown || left.Steps != 1 {
				t.Errorf("left to be done: %+v", left)
			}
			if void := l.add(retryOf(r)); (void != "") != tt.unknown {
				t.Errorf("a retry: %q", void)
			}
			if tt.unknown {
				l.ok(retryOf(r, func(e *eventlog.RunCreated) { e.RetryUnknown = true }))
			}
			if events := l.decide(); len(events) != 1 {
				t.Errorf("%d events", len(events))
			}
		})
	}
}
