package engine

import (
	"cmp"
	"fmt"
	"slices"

	"quorate/eventlog"
)

// Run returns the run, or nil.
func (s *State) Run(id uint64) *Run {
	if id == 0 || id > uint64(len(s.Runs)) {
		return nil
	}
	return s.Runs[id-1]
}

// RunByRequest returns the run that the client's request created.
func (s *State) RunByRequest(requestID string) (*Run, bool) {
	at, ok := s.requests[requestID]
	if !ok {
		return nil, false
	}
	i, ok := slices.BinarySearchFunc(s.Runs, at, func(r *Run, at uint64) int {
		switch {
		case r.Index < at:
			return -1
		case r.Index > at:
			return 1
		}
		return 0
	})
	if !ok {
		return nil, false
	}
	return s.Runs[i], true
}

// Status returns running, waiting (nothing goes on until an operator decides),
// cancelling, succeeded, failed or cancelled.
func (r *Run) Status() string {
	switch r.Outcome {
	case eventlog.Succeeded:
		return "succeeded"
	case eventlog.Failed:
		return "failed"
	case eventlog.Cancelled:
		return "cancelled"
	}
	c := &r.Counts
	switch {
	case r.Cancelled != nil:
		return "cancelling"
	case c.Waiting > 0 && c.Running == 0 && c.Ready == 0:
		return "waiting"
	}
	return "running"
}

// Limits are how many steps of the run may be under way at once, and how many of them
// on one host.
func (r *Run) Limits() (steps, perHost uint32) {
	return cmp.Or(r.StepsMax, stepsMaxDefault), cmp.Or(r.StepsPerHostMax, stepsPerHostMaxDefault)
}

// WaitingFor says what the run cannot go on without, in the plan's order:
// operators' words on unknown outcomes, and agents that are absent, drained, may not work,
// or are held as they flap.
func (r *Run) WaitingFor(s *State) []string {
	if r.Outcome != 0 {
		return nil
	}
	var out []string
	for i := range r.Tasks {
		t := &r.Tasks[i]
		if t.tally[Waiting] == 0 {
			continue
		}
		for k := range t.Steps {
			if st := &t.Steps[k]; st.Status == Waiting {
				out = append(out, fmt.Sprintf("step %s@%s: the outcome of attempt %d is unknown: %s",
					r.Graph.Tasks[i].ID, r.Graph.HostName(uint32(i), st.Host), st.Attempt, st.Reason))
			}
		}
	}
	holds := s.holds(r)
	for i := range r.queue.slots {
		if why := s.absent(r, i, holds); why != "" {
			out = append(out, why)
		}
	}
	return out
}

// absent says what is missing for the host's steps that are ready or under way, in a run
// that holds agents which flap or does not.
func (s *State) absent(r *Run, slot int, holds bool) string {
	sl := &r.queue.slots[slot]
	if len(sl.refs) == 0 && sl.running == 0 {
		return ""
	}
	name, host := ControllerLabel, NoHost
	if slot < len(r.Graph.Hosts) {
		name, host = r.Graph.Hosts[slot], uint32(slot)
	}
	a := s.agentOf(r, host, 0)
	switch {
	case a != nil && a.Drained() && len(sl.refs) > 0:
		return fmt.Sprintf("agent %s: it is drained: %s", a.Name, a.drained())
	case a != nil && a.Connected && a.Flapping && holds && len(sl.refs) > 0:
		return fmt.Sprintf("agent %s: it flaps, and is given nothing while the run gets on with others", a.Name)
	case a != nil && a.Connected:
		return ""
	case a != nil:
		return fmt.Sprintf("agent %s: not connected", a.Name)
	}
	if a = s.AgentByName(name); a != nil {
		return fmt.Sprintf("agent %s: %s", name, a.barred())
	}
	return fmt.Sprintf("agent %s: none is enrolled", name)
}
