package journal

import (
	"testing"

	"quorate/internal/job"
	"quorate/nodeagent/wire"
)

// TestSpelledBefore: an attempt that came before the agent was upgraded is known again
// when the orchestrator says more of its step than it did.
func TestSpelledBefore(t *testing.T) {
	whole := &wire.Step{Run: 1, Task: "t", Host: "h", Jobs: []job.Job{{Verb: "RUN"}}, Service: true, FailFast: true}
	other := *whole
	other.Jobs = []job.Job{{Verb: "RUN", Text: "another"}}
	s := NewState("j")
	send := func(step *wire.Step) Decision {
		spec, err := wire.EncodeStep(step)
		if err != nil {
			t.Fatal(err)
		}
		fence := wire.Fence{ClusterID: "c", Session: "s", JournalID: s.JournalID}
		return s.Dispatch(Here{ClusterID: "c", Session: "s"}, &wire.Dispatch{Fence: fence, Attempt: 7, Spec: spec}, Work{Step: StepName(1, "t", "h"), Jobs: 1})
	}
	applyAll(t, s, send(wire.Previous.Step(whole)).Records...)
	for _, c := range []struct {
		step *wire.Step
		want wire.Status
	}{{whole, wire.StatusRunning}, {wire.Previous.Step(whole), wire.StatusRunning}, {&other, wire.StatusRejected}} {
		if d := send(c.step); len(d.Records) > 0 || len(d.Effects) != 1 || d.Effects[0].Reply.Status != c.want {
			t.Errorf("%+v: %+v, want the status %d", c.step, d, c.want)
		}
	}
}
