package engine

// A leaning is how a decision deals with agents that flap, in one run.
type leaning struct {
	work string
	// elsewhere is true where the run gets on with agents that do not flap; it is known
	// once looked is true.
	elsewhere, looked bool
}

// unsteady reports whether the agent is one that others come before.
func (d *decision) unsteady(a *Agent) bool { return a.Flapping && d.leaning.work != WorkNormal }

// steady reports whether work that the agent has, or is given, lets a run get on.
func (a *Agent) steady() bool { return a != nil && a.Connected && !a.Flapping }

// held reports whether the agent is given nothing of the run: it flaps, and the run
// gets on without it. What it has been given it goes on with in any case, and a run
// that waits for nothing else goes on with it, so that no run is stuck by this.
func (d *decision) held(s *State, r *Run, a *Agent) bool {
	if !a.Flapping || d.leaning.work != WorkHeld {
		return false
	}
	if !d.leaning.looked {
		d.leaning.looked, d.leaning.elsewhere = true, s.getsOn(r)
	}
	return d.leaning.elsewhere
}

// heldBehind reports whether the agent is held where its step would come behind one that
// another agent has, or is just given.
func (d *decision) heldBehind(s *State, r *Run, a, before *Agent) bool {
	return a.Flapping && d.leaning.work == WorkHeld && before.steady() || d.held(s, r, a)
}

// getsOn reports whether a step is under way, and does not wait for others, on an
// agent that is connected and does not flap.
func (s *State) getsOn(r *Run) bool {
	if r.queue.running == 0 {
		return false
	}
	for i := range r.queue.slots {
		if r.queue.slots[i].running == 0 {
			continue
		}
		host := NoHost
		if i < len(r.Graph.Hosts) {
			host = uint32(i)
		}
		if s.agentFor(r, host, 0).steady() {
			return true
		}
	}
	return false
}

// Held reports whether a step of the run that is ready on the host, a position in the
// plan's hosts or [NoHost], is kept from its agent because that flaps.
func (s *State) Held(r *Run, host uint32) bool {
	a := s.agentFor(r, host, 0)
	return a != nil && a.Flapping && s.holds(r)
}

// holds reports whether the run gives nothing to agents that flap.
func (s *State) holds(r *Run) bool {
	return r.Outcome == 0 && !r.stopped() && s.Damping().Work == WorkHeld && s.getsOn(r)
}

// order puts the hosts whose agents flap behind the others, as far as there is room for
// them, or leaves them out.
func (d *decision) order(s *State, r *Run, turn, unsteady []candidate, most int) []candidate {
	if len(unsteady) == 0 {
		return turn
	}
	for _, c := range turn {
		if c.agent.steady() {
			d.leaning.looked, d.leaning.elsewhere = true, true
		}
	}
	if d.held(s, r, unsteady[0].agent) {
		return turn
	}
	return append(turn, unsteady[:min(len(unsteady), max(0, most-len(turn)))]...)
}
