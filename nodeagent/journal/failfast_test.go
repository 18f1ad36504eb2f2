package journal

import (
	"fmt"
	"slices"
	"testing"

	"quorate/internal/job"
	"quorate/nodeagent/wire"
)

// hurried dispatches a step of one job of a run that fails fast, or does not, and
// returns what follows.
func hurried(t *testing.T, s *State, run, attempt uint64, failFast bool, after ...wire.Predecessor) Decision {
	t.Helper()
	step := &wire.Step{Run: run, Task: fmt.Sprint(attempt), Host: "h", FailFast: failFast, Jobs: []job.Job{{Verb: "RUN"}}}
	spec, err := wire.EncodeStep(step)
	if err != nil {
		t.Fatal(err)
	}
	fence := wire.Fence{ClusterID: "c", Session: "s", JournalID: s.JournalID}
	d := s.Dispatch(Here{ClusterID: "c", Session: "s"}, &wire.Dispatch{Fence: fence, Attempt: attempt, Spec: spec, After: after, Places: 2},
		Work{Step: StepName(run, step.Task, step.Host), Jobs: 1, FailFast: failFast})
	applyAll(t, s, d.Records...)
	return d
}

// TestFailFast: when an attempt of a run that fails fast has failed, what waits of it is
// given back, and what comes later, and nothing else.
func TestFailFast(t *testing.T) {
	for _, c := range []struct {
		name     string
		failFast bool
		outcome  uint8
		back     []uint64 // is given back
		later    Action   // what becomes of what comes later
	}{
		{"a failure", true, OutcomeFailed, []uint64{3, 4, 5}, Resend},
		{"it was cancelled", true, OutcomeCancelled, []uint64{3, 4, 5}, Resend},
		{"a success", true, OutcomeSucceeded, nil, Start},
		{"nobody knows", true, OutcomeUnknown, nil, Start},
		{"the run goes on", false, OutcomeFailed, nil, Start},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := NewState("j")
			do := apply1(t, s)
			for id := uint64(1); id <= 4; id++ {
				hurried(t, s, 1, id, c.failFast)
			}
			hurried(t, s, 1, 5, c.failFast, wire.Predecessor{Attempt: 2})
			hurried(t, s, 2, 6, true) // of another run
			do(s.StartJob(1, 0, 0))
			do(s.StartJob(2, 0, 0))
			do(s.EndJob(wire.Report{Attempt: 1, Outcome: c.outcome}))
			do(s.End(1, c.outcome, "", nil))
			again := newState()
			applyAll(t, again, s.Records()...)
			if got := s.Stranded(); !slices.Equal(got, c.back) || !slices.Equal(again.Stranded(), got) {
				t.Fatalf("%v are given back, and %v from the rewritten file, want %v", got, again.Stranded(), c.back)
			}
			if _, err := s.StartJob(3, 0, 0); (err != nil) != (c.back != nil) {
				t.Errorf("the next one starts: %v", err)
			}
			for len(s.Stranded()) > 0 {
				applyAll(t, s, s.GiveBack(s.Stranded()[0]))
			}
			if d := hurried(t, s, 1, 7, c.failFast); d.Effects[0].Action != c.later {
				t.Errorf("what comes later: %+v", d)
			}
			if d := hurried(t, s, 2, 8, true); d.Effects[0].Action != Start {
				t.Errorf("what comes later of another run: %+v", d)
			}
			if s.Waits(2) || s.Waits(6) {
				t.Error("what is under way waits")
			}
		})
	}
}
