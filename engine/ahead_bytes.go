package engine

// What is sent ahead is also bounded by its size: it waits in the agent's memory and
// journal, and over a slow line it would keep everything else waiting.

// aheadBytesMax bounds what an agent was sent ahead and what has not come to its turn on
// record, in bytes of the steps' encoding. One step may always be sent ahead.
const aheadBytesMax = 4 << 20

// bytesOf is what the attempt's step takes at its agent, 0 in plans from before that was
// told.
func (s *State) bytesOf(a *Attempt) uint64 {
	return uint64(s.Run(a.Run).Graph.Tasks[a.Task].Bytes)
}

// aheadBytes is what the agent was sent ahead takes that has not come to its turn. It
// looks at all that the agent holds.
func (s *State) aheadBytes(agent *Agent) (bytes uint64) {
	for _, id := range agent.Open {
		a := s.Attempts[id]
		r := s.Run(a.Run)
		if pos, ok := r.Graph.stepAt(a.Task, a.Host); ok && r.Shipped(a.Task, pos) {
			bytes += s.bytesOf(a)
		}
	}
	return bytes
}

// fits reports whether a step of so many bytes may be sent ahead, too, where so many are.
func fits(held, bytes uint64) bool { return held == 0 || held+bytes <= aheadBytesMax }

// fitsAhead reports whether the agent may be sent the task's step ahead as far as that
// goes by bytes. Mostly all that it holds together is little enough.
func (s *State) fitsAhead(r *Run, task uint32, agent *Agent) bool {
	bytes := uint64(r.Graph.Tasks[task].Bytes)
	return bytes == 0 || agent.openBytes+bytes <= aheadBytesMax || fits(s.aheadBytes(agent), bytes)
}

// fitsAhead does so behind what the decision sends ahead.
func (d *decision) fitsAhead(s *State, r *Run, task uint32, agent *Agent) bool {
	bytes, more := uint64(r.Graph.Tasks[task].Bytes), d.ahead.bytes[agent.ID]
	if bytes == 0 || agent.openBytes+more+bytes <= aheadBytesMax {
		return true
	}
	held, known := d.ahead.held[agent.ID]
	if !known {
		if held = s.aheadBytes(agent); d.ahead.held == nil {
			d.ahead.held = map[uint64]uint64{}
		}
		d.ahead.held[agent.ID] = held
	}
	return fits(held+more, bytes)
}

// weigh notes that the decision sends the task's step ahead.
func (h *ahead) weigh(r *Run, task uint32, agent *Agent) {
	if bytes := uint64(r.Graph.Tasks[task].Bytes); bytes > 0 {
		if h.bytes == nil {
			h.bytes = map[uint64]uint64{}
		}
		h.bytes[agent.ID] += bytes
	}
}
