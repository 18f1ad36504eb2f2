package engine

import "quorate/eventlog"

// A Drain is an operator's word that an agent is given no new steps.
type Drain struct {
	By, Reason string
	Index      uint64 // of the record; 0 where the agent is not drained
	Time       int64  // unix nanoseconds
}

// Drained reports whether the agent is given no new steps. What it has started goes on.
func (a *Agent) Drained() bool { return a.Drain.Index != 0 }

// drained says why the agent is given nothing, for people.
func (a *Agent) drained() string {
	return reasonOr(a.Drain.Reason, "no reason given")
}

// foldAgentDrained takes back what the agent has not started: a call that never stops
// what has.
func (s *State) foldAgentDrained(e *eventlog.AgentDrained) string {
	a, void := s.standing(e.Agent)
	switch {
	case void != "":
		return void
	case a.Relay:
		return "a relay is given no steps in any case"
	case a.Drained():
		return "the agent is drained"
	}
	a.Drain = Drain{By: e.By, Reason: e.Reason, Index: s.Index, Time: s.Time}
	for _, id := range a.Open {
		s.Attempts[id].Recall = true
	}
	return ""
}

func (s *State) foldAgentUndrained(e *eventlog.AgentUndrained) string {
	a, void := s.standing(e.Agent)
	switch {
	case void != "":
		return void
	case !a.Drained():
		return "the agent is not drained"
	}
	a.Drain = Drain{}
	return ""
}

// versionDrain is the first version that knows of agents that are drained.
const versionDrain = 4

func (c *codec) drain(d *Drain) {
	if c.version < versionDrain {
		return
	}
	c.text(&d.By)
	c.text(&d.Reason)
	number(c, &d.Index)
	c.since(&d.Time)
}

func (d digest) drain(x *Drain) {
	if *x == (Drain{}) { // as before there was any
		return
	}
	d.str("drain", x.By, x.Reason)
	d.u64(x.Index, uint64(x.Time))
}
