package engine

import (
	"strings"
	"testing"

	"quorate/eventlog"
)

// drain has an operator drain the agent, or give it steps again.
func (w *simWorld) drain(a *simAgent) {
	if w.s.Agents[a.id].Drained() {
		w.propose(&eventlog.AgentUndrained{Agent: a.id, By: "operator"})
		return
	}
	w.propose(&eventlog.AgentDrained{Agent: a.id, By: "operator"})
}

// undrainAll gives all agents steps again.
func (w *simWorld) undrainAll() {
	for _, a := range w.agents {
		if w.s.Agents[a.id].Drained() {
			w.ok(&eventlog.AgentUndrained{Agent: a.id, By: "operator"})
		}
	}
}

// TestDrain: an agent that is drained is given nothing, gives back what it has not
// started, and goes on where that is taken back; the run says that it waits.
func TestDrain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.agent("h0")
	l.agent("h1")
	r := l.run(plan(2, eventlog.PlanTask{}, eventlog.PlanTask{HostSet: 2}), func(e *eventlog.RunCreated) { e.StepsPerHostMax = 1 })
	l.decide()
	first := l.attempt(r, 0, 0)
	l.ok(&eventlog.AgentDrained{Agent: a, By: "ops", Reason: "a new disk", RequestID: "d"})
	for name, e := range map[string]eventlog.Event{
		"again":               &eventlog.AgentDrained{Agent: a, By: "ops", RequestID: "e"},
		"the same request":    &eventlog.AgentUndrained{Agent: a, By: "ops", RequestID: "d"},
		"nobody":              &eventlog.AgentDrained{Agent: 999, By: "ops"},
		"a step of before":    &eventlog.StepScheduled{Run: 1, Task: 1, Host: 0, Agent: a, Epoch: l.s.Epoch},
		"one that is not":     &eventlog.AgentUndrained{Agent: l.s.AgentByName("h1").ID},
		"nobody is undrained": &eventlog.AgentUndrained{Agent: 999},
	} {
		if l.void(e) == "" {
			t.Errorf("%s counts", name)
		}
	}
	if c := l.s.Command(first.ID); !c.Cancel || !c.Unstarted || !strings.Contains(c.Reason, "a new disk") {
		t.Errorf("what is not started is told %+v", c)
	}
	if c := l.s.Command(l.attempt(r, 0, 1).ID); c.Cancel {
		t.Errorf("what another agent has is told %+v", c)
	}
	l.end(r, 0, 0, eventlog.NotStarted)
	if events := l.s.Decide(); len(events) != 0 || r.Counts.Ready != 2 || r.Status() != "running" {
		t.Errorf("given back: %d events, %+v", len(events), r.Counts)
	}
	if why := r.WaitingFor(l.s); len(why) != 2 || why[0] != "agent h0: it is drained: a new disk" {
		t.Errorf("the run waits for %q", why)
	}
	if st := r.Step(0, 0); st.unstarted != 0 {
		t.Error("being drained counts against the step")
	}
	l.ok(&eventlog.AgentUndrained{Agent: a, By: "ops"})
	l.decide()
	l.end(r, 1, 0, eventlog.Succeeded) // which had been ready for longer
	l.decide()
	if at := l.attempt(r, 0, 0); at == first || at.Recall || at.Supersedes != first.ID {
		t.Errorf("given steps again: %+v", at)
	}
}

// TestDrainController: local tasks go to another controller, but for a step that an
// attempt of has run on the one that is drained: two of one step must not overlap.
func TestDrainController(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	first, second := l.agent("c0", ControllerLabel), l.agent("c1", ControllerLabel)
	local := eventlog.PlanTask{Driver: "local", HostSet: 1, Idempotent: true}
	r := l.run(plan(0, local))
	l.decide()
	if l.attempt(r, 0, 0).Agent != first {
		t.Fatal("the oldest controller comes first")
	}
	l.ok(&eventlog.AgentDrained{Agent: first, By: "ops"})
	l.end(r, 0, 0, eventlog.Unknown)
	if events := l.s.Decide(); len(events) != 0 {
		t.Errorf("the step moves to another agent: %+v", events[0])
	}
	other := l.run(plan(0, local))
	l.decide()
	if l.attempt(other, 0, 0).Agent != second {
		t.Error("a new step waits for the controller that is drained")
	}
	l.ok(&eventlog.AgentDrained{Agent: second, By: "ops"})
	if third := l.run(plan(0, local)); len(l.decide()) != 0 || len(third.WaitingFor(l.s)) != 1 {
		t.Errorf("with both drained a step waits for %q", third.WaitingFor(l.s))
	}
}
