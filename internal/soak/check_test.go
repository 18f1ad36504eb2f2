package soak

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"quorate/engine"
	"quorate/eventlog"
)

func TestHistory(t *testing.T) {
	tests := []struct {
		name string
		play func(h *History)
		ok   bool
	}{
		{"in order", func(h *History) {
			h.Call(1, true)(1)
			h.Call(2, false)(1)
			h.Call(1, true)(2)
			h.Call(2, false)(2)
		}, true},
		{"overlapping, in the other order", func(h *History) {
			one, two := h.Call(1, true), h.Call(2, true)
			one(2)
			two(1)
		}, true},
		{"a read that may come before or after", func(h *History) {
			read, submit := h.Call(1, false), h.Call(2, true)
			submit(1)
			read(0)
		}, true},
		{"a stale read", func(h *History) {
			h.Call(1, true)(1)
			h.Call(2, false)(0)
		}, false},
		{"a read that goes back", func(h *History) {
			submit := h.Call(1, true)
			h.Call(2, false)(1)
			h.Call(3, false)(0)
			submit(1)
		}, false},
		{"a run started twice", func(h *History) {
			h.Call(1, true)(1)
			h.Call(1, true)(3)
		}, false},
		{"an acknowledged run lost", func(h *History) {
			h.Call(1, true)(1)
			h.Call(1, true)(1)
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := NewHistory()
			tt.play(h)
			err := h.Check(filepath.Join(t.TempDir(), "history.html"))
			if (err == nil) != tt.ok {
				t.Errorf("Check: %v, want ok %t", err, tt.ok)
			}
		})
	}
}

func TestWitness(t *testing.T) {
	records := []eventlog.Record{{Index: 1, Hash: eventlog.Hash{0xa}}, {Index: 2, Hash: eventlog.Hash{0xb}}}
	const first, second = "0a00000000000000000000000000000000000000000000000000000000000000", "0b00000000000000000000000000000000000000000000000000000000000000"
	tests := []struct {
		name string
		see  func(w *Witness)
		want string
	}{
		{"as it is", func(w *Witness) { w.Saw("o1", 1, first); w.Saw("o2", 2, second); w.Saw("o1", 2, second) }, ""},
		{"another record in the same place", func(w *Witness) { w.Saw("o1", 1, first); w.Saw("o2", 1, second) }, "o2 showed record 1"},
		{"a record that is gone", func(w *Witness) { w.Saw("o1", 1, first); w.Saw("o1", 2, second); w.Saw("o1", 3, first) }, "ends at 2"},
		{"a record that changed", func(w *Witness) { w.Saw("o1", 1, second) }, "has record 1"},
		{"a hole", func(w *Witness) { w.Saw("o1", 2, second) }, "showed record 2 after 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := &Witness{}
			tt.see(w)
			got := strings.Join(w.Check("o1", records), "; ")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}

// judged is a run of one task with two jobs on one host, whose only attempt is 10.
func judged(idempotent bool, a *engine.Attempt, status engine.TaskStatus) *engine.State {
	s := engine.NewState()
	g := &engine.Graph{PlanRecorded: eventlog.PlanRecorded{Tasks: []eventlog.PlanTask{{ID: "t", Jobs: 2, Idempotent: idempotent}}}}
	a.ID, a.Run = 10, 1
	s.Attempts[10] = a
	s.Runs = []*engine.Run{{ID: 1, Graph: g, Outcome: eventlog.Succeeded, Tasks: []engine.Task{{Steps: []engine.Step{{Status: status, Attempt: 10}}}}}}
	return s
}

func TestJudge(t *testing.T) {
	success := func() *engine.Attempt {
		return &engine.Attempt{Outcome: eventlog.Succeeded, Jobs: engine.ResultsOf(engine.JobResult{Job: 0, Outcome: eventlog.Succeeded}, engine.JobResult{Job: 1, Outcome: eventlog.Succeeded})}
	}
	second := func(s *engine.State, resolved string) {
		s.Attempts[10].Resolved = resolved
		s.Attempts[20] = &engine.Attempt{ID: 20, Run: 1, Supersedes: 10, Outcome: eventlog.Succeeded, Jobs: engine.ResultsOf(engine.JobResult{Job: 1, Outcome: eventlog.Succeeded})}
		s.Runs[0].Tasks[0].Steps[0].Attempt = 20
	}
	unknown := func() *engine.Attempt {
		return &engine.Attempt{Outcome: eventlog.Unknown, Jobs: engine.ResultsOf(engine.JobResult{Job: 0, Outcome: eventlog.Succeeded}, engine.JobResult{Job: 1, Outcome: eventlog.Unknown})}
	}
	tests := []struct {
		name    string
		state   func() *engine.State
		effects map[Place]int
		want    string
	}{
		{"as it ought to be", func() *engine.State { return judged(false, success(), engine.Done) }, map[Place]int{{10, 0}: 1, {10, 1}: 1}, ""},
		{"an effect twice", func() *engine.State { return judged(false, success(), engine.Done) }, map[Place]int{{10, 0}: 2, {10, 1}: 1}, "took effect 2 times"},
		{"success without effect", func() *engine.State { return judged(false, success(), engine.Done) }, map[Place]int{{10, 0}: 1}, "succeeded with 0 effects"},
		{"an effect of nobody", func() *engine.State { return judged(false, success(), engine.Done) }, map[Place]int{{10, 0}: 1, {10, 1}: 1, {11, 0}: 1}, "attempt 11"},
		{"an effect of what was not started", func() *engine.State {
			return judged(false, &engine.Attempt{Outcome: eventlog.NotStarted}, engine.TaskCancelled)
		}, map[Place]int{{10, 0}: 1}, "is not started on record"},
		{"never ended", func() *engine.State { return judged(false, &engine.Attempt{}, engine.Running) }, nil, "never ended"},
		{"a decided retry", func() *engine.State {
			s := judged(false, unknown(), engine.Done)
			second(s, "retry")
			return s
		}, map[Place]int{{10, 0}: 1, {20, 1}: 1}, ""},
		{"a retry that nobody decided", func() *engine.State {
			s := judged(false, unknown(), engine.Done)
			second(s, "")
			return s
		}, map[Place]int{{10, 0}: 1, {20, 1}: 1}, "nobody decided"},
		{"a second effect by a retry", func() *engine.State {
			s := judged(false, unknown(), engine.Done)
			second(s, "retry")
			return s
		}, map[Place]int{{10, 0}: 1, {10, 1}: 1, {20, 1}: 1}, "took effect 2 times"},
		{"a second effect where that is allowed", func() *engine.State {
			s := judged(true, unknown(), engine.Done)
			second(s, "")
			return s
		}, map[Place]int{{10, 0}: 1, {10, 1}: 1, {20, 1}: 1}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join((&Judge{State: tt.state(), Effects: tt.effects}).Faults(), "; ")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}

func TestScheduleIsOfItsSeed(t *testing.T) {
	one, again, other := Schedule(7, 10*time.Minute, true), Schedule(7, 10*time.Minute, true), Schedule(8, 10*time.Minute, true)
	if !reflect.DeepEqual(one, again) {
		t.Error("the same seed gives different faults")
	}
	if reflect.DeepEqual(one, other) {
		t.Error("different seeds give the same faults")
	}
	kinds := map[string]bool{}
	last := time.Duration(0)
	for _, f := range one {
		kinds[f.Kind] = true
		if f.At < last || f.At >= 10*time.Minute || f.For < 0 {
			t.Errorf("fault out of order or bounds: %s", f)
		}
		last = f.At
	}
	if len(one) < 100 || len(kinds) < 15 {
		t.Errorf("%d faults of %d kinds in ten minutes", len(one), len(kinds))
	}
}
