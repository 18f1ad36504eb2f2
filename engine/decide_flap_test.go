package engine

import (
	"slices"
	"testing"

	"quorate/eventlog"
)

// unsteadyLab has the agents h0 and h1, both connected, of which h0 flaps and is held.
func unsteadyLab(t *testing.T) (*lab, *flapper, *flapper) {
	t.Helper()
	l := newLab(t)
	l.ok(&eventlog.DampingSet{Work: WorkHeld, By: "ann"})
	one, other := newFlapper(l, "h0"), newFlapper(l, "h1")
	other.connect(1)
	for range 6 {
		one.connect(1)
	}
	if !one.agentOf().Flapping || other.agentOf().Flapping {
		t.Fatal("not h0 alone flaps")
	}
	return l, one, other
}

// starts are the hosts, or "controller", of the steps that are decided to start next.
func (l *lab) starts(r *Run) (hosts []string) {
	l.t.Helper()
	for _, e := range l.decide() {
		if e, ok := e.(*eventlog.StepScheduled); ok {
			hosts = append(hosts, r.Graph.HostName(e.Task, e.Host))
		}
	}
	return hosts
}

func wantHosts(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: started on %q, want %q", what, got, want)
	}
}

// TestHeld: an agent that flaps is given nothing while its run gets on with others, and
// everything when nothing else is left that does.
func TestHeld(t *testing.T) {
	t.Parallel()
	for what, release := range map[string]func(l *lab, r *Run, one, other *flapper){
		"the others are done":        func(l *lab, r *Run, _, _ *flapper) { l.end(r, 0, 1, eventlog.Succeeded) },
		"the others' end is unknown": func(l *lab, r *Run, _, _ *flapper) { l.end(r, 0, 1, eventlog.Unknown) },
		"the other is gone":          func(_ *lab, _ *Run, _, other *flapper) { other.lose() },
		"the other flaps, too": func(_ *lab, _ *Run, _, other *flapper) {
			for range 5 {
				other.connect(1)
			}
		},
		"the other waits": func(l *lab, r *Run, _, _ *flapper) {
			l.ok(&eventlog.ValuesPublished{Attempt: l.attempt(r, 0, 1).ID, Values: []eventlog.PublishedValue{{Key: "k"}}, Waits: true, Seq: 1})
		},
		"an operator calms it": func(l *lab, _ *Run, one, _ *flapper) { l.ok(&eventlog.AgentCalmed{Agent: one.id, By: "ann"}) },
		"the rule is another":  func(l *lab, _ *Run, _, _ *flapper) { l.ok(&eventlog.DampingSet{Work: WorkNormal, By: "ann"}) },
	} {
		t.Run(what, func(t *testing.T) {
			l, one, other := unsteadyLab(t)
			r := l.run(plan(2, eventlog.PlanTask{Jobs: 2}))
			wantHosts(t, "at first", l.starts(r), "h1")
			if !l.s.Held(r, 0) || l.s.Held(r, 1) {
				t.Error("not the step on h0 alone is held")
			}
			const heldUp = "agent h0: it flaps, and is given nothing while the run gets on with others"
			if got := r.WaitingFor(l.s); !slices.Equal(got, []string{heldUp}) {
				t.Errorf("the run waits for %q", got)
			}
			if release(l, r, one, other); l.s.Held(r, 0) || slices.Contains(r.WaitingFor(l.s), heldUp) {
				t.Error("it is held once nothing speaks for it")
			}
			wantHosts(t, "then", l.starts(r), "h0")
		})
	}
}

// TestHeldAhead: nor is anything sent ahead to it, behind what it has been given.
func TestHeldAhead(t *testing.T) {
	t.Parallel()
	l, one, other := unsteadyLab(t)
	l.ok(&eventlog.AgentCalmed{Agent: one.id, By: "ann"})
	r := l.run(plan(2, eventlog.PlanTask{}, eventlog.PlanTask{Requires: sameHost(0)}, eventlog.PlanTask{Requires: sameHost(1)}),
		func(e *eventlog.RunCreated) { e.AheadMax = 2 })
	if got := l.starts(r); len(got) != 4 {
		t.Fatalf("started on %q", got)
	}
	for range 6 {
		one.connect(1)
	}
	l.end(r, 0, 0, eventlog.Succeeded)
	wantHosts(t, "while h1 gets on", l.starts(r))
	l.end(r, 0, 1, eventlog.Succeeded)
	wantHosts(t, "behind h1's own", l.starts(r), "h1")
	other.lose()
	wantHosts(t, "when h1 is gone", l.starts(r), "h0")
}

// TestLast: it gets what room the others leave.
func TestLast(t *testing.T) {
	t.Parallel()
	l, _, _ := unsteadyLab(t)
	l.ok(&eventlog.DampingSet{Work: WorkLast, By: "ann"})
	r := l.run(plan(2, eventlog.PlanTask{}, eventlog.PlanTask{}), func(e *eventlog.RunCreated) { e.StepsMax = 3 })
	wantHosts(t, "with room for three", l.starts(r), "h1", "h0", "h1")
}

// TestUnsteadyController: local tasks are held like others.
func TestUnsteadyController(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.ok(&eventlog.DampingSet{Work: WorkHeld, By: "ann"})
	f := &flapper{lab: l, id: l.agent("ctl", ControllerLabel)}
	for range 6 {
		f.connect(1)
	}
	newFlapper(l, "h0").connect(1)
	r := l.run(plan(1, eventlog.PlanTask{Driver: "local"}, eventlog.PlanTask{}))
	wantHosts(t, "at first", l.starts(r), "h0")
	if !l.s.Held(r, NoHost) {
		t.Error("the local task is not held")
	}
	l.end(r, 1, 0, eventlog.Succeeded)
	wantHosts(t, "then", l.starts(r), ControllerLabel)
}
