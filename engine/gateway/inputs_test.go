package gateway_test

import (
	"reflect"
	"slices"
	"sync"
	"testing"

	"quorate/engine"
	"quorate/engine/gateway/gatewaytest"
	"quorate/nodeagent/wire"
)

// A dispatched is what an agent was told of one step.
type dispatched struct {
	wire.Dispatch
	step *wire.Step
}

// TestDispatchTellsWhatAStepFollows: an agent is told which tasks that its step requires
// have one on its host, and what the others have led to.
func TestDispatchTellsWhatAStepFollows(t *testing.T) {
	t.Parallel()
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	plan := rig.Plan(t, []string{"n1", "n2", "n3"},
		gatewaytest.Task{ID: "conf", Jobs: 1, Hosts: []uint32{0, 1}},
		gatewaytest.Task{ID: "repo", Jobs: 1},
		gatewaytest.Task{ID: "later", Jobs: 1, Hosts: []uint32{2}, After: []uint32{0, 1}},
		gatewaytest.Task{ID: "part", Jobs: 1, Hosts: []uint32{2}, After: []uint32{0}, Partial: true},
		gatewaytest.Task{ID: "proxy", Jobs: 2, Hosts: []uint32{1, 2}, After: []uint32{0, 1}, Always: true},
	)
	plan.Tasks[2].Symbols = nil // it comes after them, and asks for nothing of theirs
	gatewaytest.Must(rig.O.Blobs().PutBytes(plan.Encode()))
	var mu sync.Mutex
	got := map[string]dispatched{}
	outputs := map[string][]byte{"n1": slices.Repeat([]byte{1}, wire.OutputBytes), "n2": slices.Repeat([]byte{2}, wire.OutputBytes)}
	for _, name := range plan.Hosts {
		rig.Enrol(t, name).MustConnect(t).ServeOn(t, func(d *wire.Dispatch, step *wire.Step) []wire.Report {
			mu.Lock()
			defer mu.Unlock()
			got[step.Task+"@"+step.Host] = dispatched{*d, step}
			reports := gatewaytest.Succeed(d.Attempt, step)
			reports[len(reports)-1].Output = outputs[step.Host]
			return reports
		})
	}
	if status := rig.UntilEnded(t, rig.Run(t, plan)); status != "succeeded" {
		t.Fatalf("the run %s", status)
	}
	mu.Lock()
	defer mu.Unlock()
	var sum wire.Sum
	sum.Add("n1", outputs["n1"])
	sum.Add("n2", outputs["n2"])
	for step, want := range map[string]struct {
		service  bool
		requires []string
		inputs   []wire.Input
	}{
		"conf@n1":  {service: true},
		"proxy@n2": {service: true, requires: []string{"conf", "repo"}},
		"proxy@n3": {service: true, requires: []string{"repo"}, inputs: []wire.Input{{Task: "conf", Output: sum}}},
		"part@n3":  {},
		"later@n3": {service: true},
	} {
		d, ok := got[step]
		switch {
		case !ok:
			t.Errorf("%s was never sent", step)
		case d.step.Service != want.service || !slices.Equal(d.step.Requires, want.requires) || !slices.EqualFunc(d.Inputs, want.inputs, sameInput):
			t.Errorf("%s is judged by its record: %v, requires %v and follows %+v", step, d.step.Service, d.step.Requires, d.Inputs)
		}
		for _, j := range d.step.Jobs {
			if j.SkipCache != (d.step.Task == "proxy") {
				t.Errorf("job %d of %s is never left alone: %v", j.Index, step, j.SkipCache)
			}
		}
	}
	rig.Replay(t)
}

func sameInput(a, b wire.Input) bool {
	return a.Task == b.Task && a.Output == b.Output && slices.Equal(a.Open, b.Open)
}

// TestPlanStaysAsItIs: what a step is made of its plan, which others use, does not change.
func TestPlanStaysAsItIs(t *testing.T) {
	t.Parallel()
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	plan := rig.Plan(t, []string{"n1"}, gatewaytest.Task{ID: "one", Jobs: 2, Always: true})
	rig.Enrol(t, "n1").Work(t)
	rig.UntilEnded(t, rig.Run(t, plan))
	if kept := gatewaytest.Must(rig.O.Plan(plan.ID())); !reflect.DeepEqual(kept, plan) {
		t.Errorf("the plan is %+v now", kept)
	}
}

// TestOutputsOutOfBoundsAreRefused: no sound agent says them.
func TestOutputsOutOfBoundsAreRefused(t *testing.T) {
	t.Parallel()
	for name, output := range map[string]func(end, job *wire.Report){
		"too short":  func(end, _ *wire.Report) { end.Output = []byte("short") },
		"of the job": func(_, job *wire.Report) { job.Output = make([]byte, wire.OutputBytes) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rig := gatewaytest.Start(t, gatewaytest.Options{})
			rig.Enrol(t, "n1").MustConnect(t).ServeOn(t, func(d *wire.Dispatch, step *wire.Step) []wire.Report {
				reports := gatewaytest.Succeed(d.Attempt, step)
				output(&reports[len(reports)-1], &reports[0])
				return reports
			})
			rig.Run(t, rig.Plan(t, []string{"n1"}, gatewaytest.Task{ID: "one", Jobs: 1}))
			rig.Until(t, "quarantine", func(s *engine.State) bool { return s.AgentByName("n1").Quarantined != "" })
		})
	}
}
