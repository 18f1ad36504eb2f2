package engine

import (
	"fmt"
	"slices"
)

// fault says why nothing can be folded into a state that was read, or nothing: the
// fold relies on what one part says of another, and a state from outside may say
// anything. It does not prove that a log led to the state.
func (s *State) fault() string {
	for i, r := range s.Runs {
		switch {
		case r.ID != uint64(i)+1:
			return fmt.Sprintf("run %d is in the place of run %d", r.ID, i+1)
		case r.Graph == nil || r.Graph.fault != "":
			return fmt.Sprintf("run %d is of no plan that can be run", r.ID)
		case len(r.Tasks) != len(r.Graph.Tasks):
			return fmt.Sprintf("run %d has %d tasks, and its plan %d", r.ID, len(r.Tasks), len(r.Graph.Tasks))
		}
		if why := s.runFault(r); why != "" {
			return fmt.Sprintf("run %d: %s", r.ID, why)
		}
	}
	for _, a := range s.Attempts {
		if why := s.attemptFault(a); why != "" {
			return fmt.Sprintf("attempt %d: %s", a.ID, why)
		}
	}
	for _, a := range s.Agents {
		for _, id := range a.Open {
			if at := s.Attempts[id]; at == nil || at.Agent != a.ID {
				return fmt.Sprintf("agent %d: attempt %d is not its own", a.ID, id)
			}
		}
		if !ascending(a.Open) || !ascending(a.begun) {
			return fmt.Sprintf("agent %d: its attempts are out of order", a.ID)
		}
		if len(a.Changes) > ChangesMax {
			return fmt.Sprintf("agent %d: more changes of its connection than are kept", a.ID)
		}
	}
	if s.damping != (Damping{}) && !s.damping.sound() {
		return "the damping of agents is out of bounds"
	}
	return s.indexFault()
}

// indexFault is about what finds other parts.
func (s *State) indexFault() string {
	for _, m := range []map[string]uint64{s.names, s.keys} {
		for name, id := range m {
			if s.Agents[id] == nil {
				return fmt.Sprintf("%s is agent %d, which is not there", name, id)
			}
		}
	}
	for _, id := range s.controllers {
		if s.Agents[id] == nil {
			return fmt.Sprintf("controller %d is no agent", id)
		}
	}
	for _, id := range s.active {
		if r := s.Run(id); r == nil || r.Outcome != 0 {
			return fmt.Sprintf("run %d is under way, and not there or ended", id)
		}
	}
	if !ascending(s.controllers) || !ascending(s.active) {
		return "controllers or runs are out of order"
	}
	for i, c := range s.changes {
		if s.Agents[c.agent] == nil || i > 0 && s.changes[i-1].index > c.index {
			return fmt.Sprintf("change %d of a value is of no agent, or out of order", i)
		}
	}
	return ""
}

func (s *State) runFault(r *Run) string {
	tasks := uint32(len(r.Tasks))
	for i := range r.Tasks {
		t := &r.Tasks[i]
		switch {
		case t.Steps != nil && len(t.Steps) != r.Graph.StepCount(uint32(i)):
			return fmt.Sprintf("task %d has %d steps", i, len(t.Steps))
		case r.Outcome != 0 && !t.Status.Settled():
			return fmt.Sprintf("it has ended, and task %d has not", i)
		case t.Status >= statuses || t.Cause >= tasks || t.doom > tasks:
			return fmt.Sprintf("task %d is in no state that there is", i)
		}
		if t.outputs != nil && len(t.outputs.of) != r.Graph.StepCount(uint32(i)) {
			return fmt.Sprintf("task %d tells of %d steps", i, len(t.outputs.of))
		}
		for pos := range t.Steps {
			if why := s.stepFault(r, uint32(i), pos); why != "" {
				return fmt.Sprintf("task %d, step %d: %s", i, pos, why)
			}
		}
	}
	for _, d := range r.dooms {
		if d.task >= tasks || d.cause >= tasks || d.pos != wholeTask && !r.allocated(d.task, d.pos) {
			return "a step that is not there cannot start"
		}
	}
	if r.doomed > len(r.dooms) || r.swept > len(r.Tasks) {
		return "it is further than its end"
	}
	return r.queueFault()
}

func (s *State) stepFault(r *Run, task uint32, pos int) string {
	st := &r.Tasks[task].Steps[pos]
	switch {
	case st.Host != r.Graph.hostAt(task, pos):
		return "it is on another host"
	case r.Outcome != 0 && !st.Status.Settled():
		return "it goes on in a run that has ended"
	case st.Status >= statuses || st.doom > uint32(len(r.Tasks)):
		return "it is in no state that there is"
	case st.Attempt == 0 && st.Status != Running && st.Status != Waiting:
		return ""
	}
	a := s.Attempts[st.Attempt]
	if a == nil && !r.Graph.IsEngine(task) || a != nil && (a.Run != r.ID || a.Task != task || a.Host != st.Host) {
		return "its attempt is not there, or of another step"
	}
	return ""
}

func (s *State) attemptFault(a *Attempt) string {
	r := s.Run(a.Run)
	if r == nil || int(a.Task) >= len(r.Tasks) || s.Agents[a.Agent] == nil {
		return "its run, task or agent is not there"
	}
	pos, ok := r.Graph.stepAt(a.Task, a.Host)
	if !ok || !r.allocated(a.Task, pos) || r.Graph.IsEngine(a.Task) {
		return "its step is not there"
	}
	for _, id := range []uint64{a.Supersedes, a.Successor, a.heir, a.place} {
		if id != 0 && s.Attempts[id] == nil {
			return fmt.Sprintf("attempt %d before or behind it is not there", id)
		}
	}
	for _, p := range a.After {
		if s.Attempts[p.Attempt] == nil {
			return fmt.Sprintf("attempt %d, which it waits for, is not there", p.Attempt)
		}
	}
	return ""
}

// allocated reports whether the step is there and made.
func (r *Run) allocated(task uint32, pos int) bool {
	return int(task) < len(r.Tasks) && pos >= 0 && pos < len(r.Tasks[task].Steps)
}

// queueFault says what is wrong with the run's queues.
func (r *Run) queueFault() string {
	q := &r.queue
	if r.Outcome != 0 && len(q.slots) == 0 && q.first == 0 && len(q.engine) == 0 {
		return "" // it gave its queues back
	}
	if len(q.slots) != len(r.Graph.Hosts)+1 {
		return "it has not one queue for each host"
	}
	for _, task := range q.engine {
		if !r.allocated(task, 0) || !r.Graph.IsEngine(task) {
			return "a task that is not there is ready"
		}
	}
	for _, ref := range q.ahead {
		if int(ref.task) >= len(r.Tasks) || int(ref.pos) >= r.Graph.StepCount(ref.task) {
			return "a step that is not there may be scheduled ahead"
		}
	}
	dealt := uint64(0)
	for i := range q.slots {
		if dealt += uint64(q.slots[i].places); q.slots[i].places > q.stepsPerHostMax || dealt > uint64(q.stepsMax) {
			return "more places are dealt than it has"
		}
		for _, ref := range q.slots[i].refs {
			if !r.allocated(ref.task, int(ref.pos)) {
				return "a step that is not there is ready"
			}
		}
		for _, ref := range q.slots[i].line {
			if !r.allocated(ref.task, int(ref.pos)) || !r.Tasks[ref.task].Steps[ref.pos].inLine {
				return "a step that is not there waits for a place"
			}
		}
	}
	return q.listFault()
}

// listFault walks the list of hosts, which a circle would make endless.
func (q *runQueue) listFault() string {
	listed := 0
	for i := range q.slots {
		if q.slots[i].listed {
			listed++
		}
	}
	before := int32(0)
	for at := q.first; at != 0; at = q.slots[at-1].next {
		if at < 0 || int(at) > len(q.slots) || !q.slots[at-1].listed || q.slots[at-1].prev != before || listed == 0 {
			return "its hosts are in no order"
		}
		before = at
		listed--
	}
	if q.last != before || listed != 0 {
		return "its hosts are in no order"
	}
	return ""
}

func ascending(ids []uint64) bool {
	return slices.IsSorted(ids)
}
