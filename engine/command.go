package engine

import "slices"

// A Command is what the agent of an attempt under way is to be told. It follows
// from the folded state alone, so a gateway that lags can only repeat old ones.
type Command struct {
	Attempt, Supersedes uint64
	Epoch               uint64 // of the state that it follows from
	Cancel              bool   // end it, rather than run it
	Unstarted           bool   // cancel it only where it has not started
	Reason              string // of a cancel
	After               []Predecessor
	// Places is how many attempts of its run may be under way on its host, or 0.
	Places uint32
	// Elsewhere are those of After that other agents have under way. Once they have ended
	// on record the agent is to be told so, see [State.ElsewhereOf].
	Elsewhere []Elsewhere
	// Inputs are what the step follows from on other hosts, as far as that is known.
	Inputs []Input
}

// Command returns what to tell the agent about its attempt, which is under way.
func (s *State) Command(attempt uint64) Command {
	a := s.Attempts[attempt]
	c := Command{Attempt: attempt, Epoch: s.Epoch, Cancel: a.Cancel}
	// An agent can speak for its own attempts alone: it must not forbid, and report
	// on, one of the agent that its host had before.
	if p := s.Attempts[a.Supersedes]; p != nil && p.Agent == a.Agent {
		c.Supersedes = p.ID
	}
	r := s.Run(a.Run)
	if a.Recall && !a.Cancel {
		c.Cancel, c.Unstarted, c.Reason = true, true, "what it waits for will not end as it has to"
		if r.stopped() {
			c.Reason = "the run starts nothing more"
		}
		if agent := s.Agents[a.Agent]; agent.Drained() {
			c.Reason = "the agent is drained: " + agent.drained()
		}
	}
	if r.AheadMax > 0 && a.Host != NoHost {
		c.Places = r.PlacesOn(a.Host)
	}
	for _, p := range a.After {
		// What has ended on record the agent may have forgotten.
		if s.Attempts[p.Attempt].Outcome == 0 {
			c.After = append(c.After, p)
		}
	}
	c.Elsewhere = slices.DeleteFunc(s.ElsewhereOf(a), func(e Elsewhere) bool { return s.Attempts[e.Attempt].Outcome != 0 })
	if !c.Cancel {
		c.Inputs = s.inputs(r, a, c.After)
	}
	if a.Cancel {
		c.Reason = "the run was cancelled"
		if r.Cancelled != nil && r.Cancelled.Reason != "" {
			c.Reason = r.Cancelled.Reason
		}
	}
	return c
}
