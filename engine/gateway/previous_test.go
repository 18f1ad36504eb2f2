package gateway_test

import (
	"slices"
	"sync"
	"testing"

	"quorate/engine"
	"quorate/engine/gateway/gatewaytest"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
	"quorate/nodeagent/wire"
)

// TestPreviousProtocol: an agent of the protocol before the newest works for the run, and
// is told nothing that it does not know; what follows from its steps on an agent of the
// newest is not told of them.
func TestPreviousProtocol(t *testing.T) {
	t.Parallel()
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	plan := rig.Plan(t, []string{"n1", "n2"},
		gatewaytest.Task{ID: "conf", Jobs: 1, Hosts: []uint32{0}},
		gatewaytest.Task{ID: "repo", Jobs: 1, Hosts: []uint32{1}},
		gatewaytest.Task{ID: "proxy", Jobs: 2, After: []uint32{0, 1}},
	)
	var mu sync.Mutex
	got := map[string]dispatched{}
	for _, name := range plan.Hosts {
		a := rig.Enrol(t, name)
		a.Previous = name == "n1"
		a.MustConnect(t).ServeOn(t, func(d *wire.Dispatch, step *wire.Step) []wire.Report {
			mu.Lock()
			defer mu.Unlock()
			got[step.Task+"@"+step.Host] = dispatched{*d, step}
			reports := gatewaytest.Succeed(d.Attempt, step)
			reports[len(reports)-1].Output = slices.Repeat([]byte{1}, wire.OutputBytes)
			return reports
		})
	}
	rig.O.View(func(s *engine.State) {
		for name, want := range map[string]uint8{"n1": uint8(wire.Previous), "n2": uint8(wire.Newest)} {
			if version, protocol := s.AgentByName(name).Program(); version != "test" || protocol != want {
				t.Errorf("%s is on record with %q and protocol %d, want %d", name, version, protocol, want)
			}
		}
	})
	if status := rig.UntilEnded(t, rig.Run(t, plan)); status != "succeeded" {
		t.Fatalf("the run %s", status)
	}
	mu.Lock()
	defer mu.Unlock()
	for step, want := range map[string]struct {
		service bool
		inputs  int
	}{
		"conf@n1": {}, "proxy@n1": {}, "repo@n2": {service: true}, "proxy@n2": {service: true},
	} {
		if d := got[step]; d.step == nil || d.step.Service != want.service || len(d.Inputs) != want.inputs || len(d.step.Requires) > 0 && !want.service {
			t.Errorf("of %s the agent was told %+v", step, d)
		}
	}
	rig.Replay(t)
}

// TestPreviousProtocolRelay: a relay of the protocol before the newest is welcomed.
func TestPreviousProtocolRelay(t *testing.T) {
	t.Parallel()
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	relay := rig.EnrolRelay(t, "site")
	relay.Previous = true
	relay.MustConnect(t)
}

// TestPreviousProtocolForbids: an agent whose protocol has no word for what never starts
// is welcomed with the attempts that it has given back.
func TestPreviousProtocolForbids(t *testing.T) {
	t.Parallel()
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	a := rig.Enrol(t, "n1")
	a.Previous = true
	l := a.MustConnect(t)
	first := make(chan struct{})
	var once sync.Once
	l.ServeOn(t, func(d *wire.Dispatch, step *wire.Step) []wire.Report {
		given := false
		once.Do(func() { given = true })
		if !given {
			return nil // stays open, so that the agent's floor stays below
		}
		defer close(first)
		return []wire.Report{{Attempt: d.Attempt, Began: true}, {Attempt: d.Attempt, End: true, Outcome: uint8(eventlog.NotStarted), Reason: "test"}}
	})
	rig.Run(t, rig.Plan(t, []string{"n1"}, gatewaytest.Task{ID: "one", Jobs: 1}))
	<-first
	rig.Until(t, "the attempt on record as given back", func(s *engine.State) bool {
		for _, at := range s.Attempts {
			if at.Outcome == eventlog.NotStarted {
				return true
			}
		}
		return false
	})
	l.Close()
	a.MustConnect(t)
}

// TestPreviousProtocolFailsFast: of a run that fails fast an agent that cannot know it is
// sent no step ahead of its place.
func TestPreviousProtocolFailsFast(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		previous bool
		want     []string
	}{
		{false, []string{"one", "two", "other"}},
		{true, []string{"one", "other"}},
	} {
		rig := gatewaytest.Start(t, gatewaytest.Options{})
		a := rig.Enrol(t, "n1")
		a.Previous = c.previous
		sent := make(chan dispatched, 8)
		l := a.MustConnect(t)
		l.ServeOn(t, func(d *wire.Dispatch, step *wire.Step) []wire.Report {
			sent <- dispatched{*d, step}
			return nil
		})
		plan := rig.Plan(t, []string{"n1"}, gatewaytest.Task{ID: "one", Jobs: 1}, gatewaytest.Task{ID: "two", Jobs: 1})
		rig.Record(t, plan)
		run := gatewaytest.Must(rig.O.CreateRun(t.Context(), orchestrator.RunRequest{
			PlanID: plan.ID(), RequestID: rig.RequestID(), By: "test", FailFast: true, StepsPerHostMax: 1, AheadMax: 8,
		}))
		rig.Until(t, "a step in line", func(s *engine.State) bool { return slices.ContainsFunc(s.Agent(a.ID).Open, s.InLine) })
		// What is sent comes in the order of its numbers.
		rig.Run(t, rig.Plan(t, []string{"n1"}, gatewaytest.Task{ID: "other", Jobs: 1}))
		var got []string
		var first dispatched
		for len(got) == 0 || got[len(got)-1] != "other" {
			d := <-sent
			if got = append(got, d.step.Task); len(got) == 1 {
				first = d
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("previous protocol: %v: it was sent %q, want %q", c.previous, got, c.want)
		}
		if err := l.Send(a.Record(wire.Report{Attempt: first.Attempt, End: true, Outcome: uint8(eventlog.Failed)})...); err != nil {
			t.Fatal(err)
		}
		if status := rig.UntilEnded(t, run); status != "failed" {
			t.Errorf("previous protocol: %v: the run %s", c.previous, status)
		}
	}
}

// TestPreviousProtocolGetsItsTurn: what was withheld is sent when its place is free.
func TestPreviousProtocolGetsItsTurn(t *testing.T) {
	t.Parallel()
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	a := rig.Enrol(t, "n1")
	a.Previous = true
	free := make(chan struct{})
	a.MustConnect(t).ServeOn(t, func(d *wire.Dispatch, step *wire.Step) []wire.Report {
		<-free
		return gatewaytest.Succeed(d.Attempt, step)
	})
	plan := rig.Plan(t, []string{"n1"}, gatewaytest.Task{ID: "one", Jobs: 1}, gatewaytest.Task{ID: "six", Jobs: 1}, gatewaytest.Task{ID: "two", Jobs: 1})
	rig.Record(t, plan)
	run := gatewaytest.Must(rig.O.CreateRun(t.Context(), orchestrator.RunRequest{
		PlanID: plan.ID(), RequestID: rig.RequestID(), By: "test", FailFast: true, StepsPerHostMax: 1, AheadMax: 8,
	}))
	rig.Until(t, "a step in line", func(s *engine.State) bool { return slices.ContainsFunc(s.Agent(a.ID).Open, s.InLine) })
	close(free)
	if status := rig.UntilEnded(t, run); status != "succeeded" {
		t.Errorf("the run %s", status)
	}
	rig.Replay(t)
}
