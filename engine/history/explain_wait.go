package history

import (
	"cmp"
	"fmt"
	"strings"

	"quorate/engine"
	"quorate/planner"
)

// dependsMax is how many of the steps that one waits for are told one by one.
const dependsMax = 12

// waits tells what the step waited for, each task that it requires with the step that
// came last.
func (x *Explainer) waits(e *Explanation, k stepKey) {
	told, until := 0, x.decided(k)
	for _, d := range x.Run.Graph.Tasks[k.task].Requires {
		if told == dependsMax {
			e.say(Mark{}, "and %d more tasks that it requires", len(x.Run.Graph.Tasks[k.task].Requires)-told)
			break
		}
		if last, text := x.provider(k, d.Task, planner.Scope(d.Scope), until); last != nil {
			e.say(last.settled().Mark, "%s", text).Source = x.taskSource(d.Task)
			told++
		}
	}
	st := x.Run.step(k)
	if at, behind, ok := st.ready(); ok && (behind != nil || len(x.Run.Graph.Tasks[k.task].Requires) == 0) {
		if a := st.newest(); a != nil && a.ahead && a.turn == at {
			return // which the attempt tells
		}
		e.say(at, "%s was ready: %s", x.Run.name(k), x.behind(behind))
	}
}

// behind says what let a step become ready.
func (x *Explainer) behind(st *step) string {
	if st == nil {
		return "it waits for nothing"
	}
	return fmt.Sprintf("the last that it waited for was %s", x.Run.name(st.key))
}

// decided is the record behind which a step had nothing to wait for any more: it was
// ready, or settled without ever being so.
func (x *Explainer) decided(k stepKey) uint64 {
	st := x.Run.step(k)
	if at, _, ok := st.ready(); ok {
		return at.Index
	}
	if m := st.settled(); m != nil {
		return m.Index
	}
	return x.Run.At.Index
}

// provider is the step of a required task that was settled last, of those that count
// for the step and were settled by then.
func (x *Explainer) provider(k stepKey, task uint32, scope planner.Scope, until uint64) (last *step, text string) {
	g, host := x.Run.Graph, x.Run.hostOf(k)
	n := 0
	for pos := range g.StepCount(task) {
		p := stepKey{task, pos}
		if scope != planner.ScopeAll && x.sameHost(k.task, task) && x.Run.hostOf(p) != host {
			continue
		}
		n++
		st := x.Run.step(p)
		if m := st.settled(); m != nil && m.Index <= until && (last == nil || m.Index > last.settled().Index) {
			last = st
		}
	}
	if last == nil {
		return nil, ""
	}
	verb := "requires"
	if scope == planner.ScopeAfterSameHost {
		verb = "comes after"
	}
	text = fmt.Sprintf("%s %s %s, which %s", x.Run.Graph.Tasks[k.task].ID, verb, x.Run.name(last.key), settledAs(last.status()))
	if n > 1 && last.status() == engine.Done {
		text += fmt.Sprintf(" (the last of %d)", n)
	}
	return last, text
}

func settledAs(s engine.TaskStatus) string {
	switch s {
	case engine.TaskSkipped, engine.TaskCancelled:
		return "was " + s.String()
	}
	return s.String()
}

// sameHost reports whether steps of the two tasks are compared by host: where one of
// them has none of its own all of the other count.
func (x *Explainer) sameHost(task, required uint32) bool {
	g := x.Run.Graph
	own := func(t uint32) bool { return !g.IsEngine(t) && !g.IsLocal(t) }
	return own(task) && own(required)
}

// pending says for what the step waits.
func (x *Explainer) pending(e *Explanation, name string, k stepKey) string {
	g := x.Run.Graph
	var open []string
	more := 0
	for _, d := range g.Tasks[k.task].Requires {
		scope := planner.Scope(d.Scope)
		for pos := range g.StepCount(d.Task) {
			p := stepKey{d.Task, pos}
			if scope != planner.ScopeAll && x.sameHost(k.task, d.Task) && x.Run.hostOf(p) != x.Run.hostOf(k) {
				continue
			}
			status := x.Run.step(p).status()
			if status == engine.Done || scope == planner.ScopeAfterSameHost && status.Settled() {
				continue
			}
			if len(open) == dependsMax {
				more++
				continue
			}
			at := x.Run.Created
			if st := x.Run.step(p); st != nil && len(st.moves) > 0 {
				at = st.moves[len(st.moves)-1].Mark
			}
			e.say(at, "%s waits for %s, which is %s", name, x.Run.name(p), status).Source = x.taskSource(d.Task)
			open = append(open, fmt.Sprintf("%s (%s)", x.Run.name(p), status))
		}
	}
	switch {
	case len(open) == 0:
		return name + " waits for what comes next: all that it requires has ended"
	case more > 0:
		open = append(open, fmt.Sprintf("and %d more", more))
	}
	return name + " waits for " + strings.Join(open, ", ")
}

// underWay says with whom the step is.
func (x *Explainer) underWay(name string, st *step) string {
	a := st.newest()
	text := fmt.Sprintf("%s is under way on %s as attempt %d since #%d", name, a.agent, a.id, a.Index)
	switch {
	case a.ahead && a.turn.Index == 0 && len(a.jobs) == 0:
		left := "what is under way before it"
		if at := x.State.Attempts[a.id]; at != nil {
			left = cmp.Or(x.State.WaitsFor(at), left)
		}
		text = fmt.Sprintf("%s was sent to %s ahead of its turn, and waits there for %s", name, a.agent, left)
	case a.queued && a.seated.Index == 0 && len(a.jobs) == 0:
		text = fmt.Sprintf("%s was sent to %s, and waits there for one of the run's %d places", name, a.agent, x.places(st.key))
	case a.waits.Index != 0 && len(a.jobs) == 0:
		text += "; it waits for other hosts"
	case a.began.Index == 0 && len(a.jobs) == 0:
		text += "; the agent has not said yet that it began"
	default:
		text += fmt.Sprintf("; %d of %s have ended", len(a.jobs), count(int(x.Run.Graph.Tasks[st.key.task].Jobs), "job"))
	}
	if agent := x.State.AgentByName(a.agent); agent != nil && !agent.Connected {
		text += "; the agent is not connected"
	}
	return text
}

// drained says of an agent that it is given nothing.
func drained(a *engine.Agent) string {
	text := fmt.Sprintf("agent %s is drained since #%d, by %s", a.Name, a.Drain.Index, a.Drain.By)
	if a.Drain.Reason != "" {
		text += ": " + a.Drain.Reason
	}
	return text
}

// ready says why a step that could be given to an agent is not.
func (x *Explainer) ready(name string, k stepKey, st *step) (answer, hint string) {
	at, _, _ := st.ready()
	if len(st.moves) > 0 {
		at = st.moves[len(st.moves)-1].Mark
	}
	since := fmt.Sprintf("%s is ready since #%d", name, at.Index)
	if x.Run.Graph.IsEngine(k.task) {
		return since + ", and waits for the orchestrator that leads to record it", ""
	}
	if !x.Run.Graph.IsLocal(k.task) {
		agent := x.State.AgentByName(st.host)
		switch {
		case agent == nil:
			return fmt.Sprintf("%s, and no agent of that name is enrolled", since), fmt.Sprintf("quorate token create --name %s", st.host)
		case !agent.Usable():
			why := "not approved"
			if agent.Quarantined != "" {
				why = "quarantined: " + agent.Quarantined
			}
			return fmt.Sprintf("%s, and agent %s may not work: it is %s", since, agent.Name, why), "quorate agent show " + agent.Name
		case agent.Drained():
			return since + ", and " + drained(agent), "quorate agent undrain " + agent.Name
		}
	} else if agent, ok := x.State.Controller(); !ok {
		return since + ", and no agent that may work has the label controller", "quorate agent ls"
	} else if agent.Drained() {
		return since + ", and " + drained(agent), "quorate agent undrain " + agent.Name
	}
	if answer, hint := x.held(since, k); answer != "" {
		return answer, hint
	}
	here, all := 0, 0
	x.Run.each(func(_ stepKey, other *step) {
		if other.status() == engine.Running && !other.newest().shipped() {
			all++
			if other.host == st.host {
				here++
			}
		}
	})
	if r := x.State.Run(x.Run.ID); r != nil && r.Undealt(r.Step(k.task, k.pos).Host) {
		return fmt.Sprintf("%s, and %s has no place yet: other hosts have all %d of the run, each until nothing of it is under way there",
			since, st.host, x.Run.StepsMax), ""
	}
	return fmt.Sprintf("%s, and waits for a slot: %d of at most %d steps of the run are under way, %d of at most %d on %s",
		since, all, x.Run.StepsMax, here, x.places(k), st.host), ""
}

// places is how many steps of the run may be under way on the step's host.
func (x *Explainer) places(k stepKey) uint32 {
	if r := x.State.Run(x.Run.ID); r != nil {
		return r.PlacesOn(r.Step(k.task, k.pos).Host)
	}
	return x.Run.StepsPerHostMax
}
