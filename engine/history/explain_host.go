package history

import (
	"fmt"
	"slices"

	"quorate/engine"
	"quorate/eventlog"
)

// Host explains what a host does in the run, and how its agent is.
func (x *Explainer) Host(name string) *Explanation {
	e := x.begin("host", name)
	counts := map[string]int{}
	var telling []stepKey
	total, last := 0, (*step)(nil)
	x.Run.each(func(k stepKey, st *step) {
		if x.Run.hostOf(k) != name && !(st.newest() != nil && st.newest().agent == name) {
			return
		}
		total++
		counts[st.status().String()]++
		if st.status() != engine.Done {
			telling = append(telling, k)
		} else if last == nil || st.settled().Index > last.settled().Index {
			last = st
		}
	})
	e.Answer = name + ": it has no step in run " + fmt.Sprint(x.Run.ID)
	if total > 0 {
		e.Answer = fmt.Sprintf("%s: of %s %s", name, count(total, "step"), tally(counts))
	}
	x.agent(e, name)
	x.stories(e, telling)
	if last != nil {
		e.say(last.settled().Mark, "%s, the last step that succeeded there%s", x.Run.name(last.key), x.took(last))
	}
	x.order(e)
	return e
}

// agent tells of the host's agent.
func (x *Explainer) agent(e *Explanation, name string) {
	for _, ev := range x.Run.Agents {
		if ev.Agent == name {
			e.say(ev.Mark, "agent %s %s", name, ev.Detail).By = ev.By
		}
	}
	a := x.State.AgentByName(name)
	if a == nil {
		e.Status = "absent"
		e.Answer += "; no agent of that name may connect"
		return
	}
	e.say(Mark{x.State.IndexOf(a.ID), a.EnrolledAt}, "agent %s enrolled, from %s", name, orUnknown(a.Hostname))
	if a.Connection != 0 {
		at := Mark{Index: x.State.IndexOf(a.Connection)}
		if !slices.ContainsFunc(x.Run.Agents, func(ev AgentEvent) bool { return ev.Index == at.Index && ev.Kind == eventlog.KindAgentConnected }) {
			e.say(at, "agent %s connected to orchestrator %d", name, a.Gateway)
		}
	}
	switch {
	case a.Quarantined != "":
		e.Status = "quarantined"
		e.Answer += "; its agent is quarantined: " + a.Quarantined
		e.Hint = "quorate agent show " + name
	case a.Pending:
		e.Status = "pending"
		e.Answer += "; its agent is not approved"
		e.Hint = "quorate agent approve " + name
	case !a.Connected:
		e.Status = "disconnected"
		e.Answer += fmt.Sprintf("; its agent is not connected since %s", timeOf(a.SeenAt).Format("15:04:05Z"))
	default:
		e.Status = "connected"
		e.Answer += fmt.Sprintf("; its agent is connected to orchestrator %d", a.Gateway)
	}
	if a.Flapping {
		e.Answer += ", and " + x.flaps(a)
	}
}

func orUnknown(text string) string {
	if text == "" {
		return "a host that it does not name"
	}
	return text
}
