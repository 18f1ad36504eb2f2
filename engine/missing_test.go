package engine

import (
	"testing"

	"quorate/eventlog"
)

// A task for hosts that nobody knows fails by being recorded, and keeps nothing else
// from being done.
func TestMissingHosts(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.agent("h0")
	r := l.run(plan(1, eventlog.PlanTask{ID: "a"}, eventlog.PlanTask{ID: "a-unknown-hosts", Driver: "missing", Messages: []string{"ghost is no known host"}}))
	l.decide()
	if task := &r.Tasks[1]; task.Status != TaskFailed || task.Reason != "ghost is no known host" {
		t.Errorf("the task is %s: %s", task.Status, task.Reason)
	}
	l.end(r, 0, 0, eventlog.Succeeded)
	l.decide()
	if r.Outcome != eventlog.Failed || r.Counts.Succeeded != 1 || r.Counts.Failed != 1 {
		t.Errorf("the run ended as %d: %+v", r.Outcome, r.Counts)
	}
}
