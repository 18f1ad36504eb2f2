package engine

import "iter"

// The steps that may be scheduled ahead are noted in the order in which that became so.
// A step is noted as long as it is pending and one of those that it waits for has its
// place to give, so that a decision passes over none that cannot follow anything, and
// what is over and done with takes no room.

// notedSpare is how many entries may be left of steps that are noted no more, beside as
// many as are.
const notedSpare = 32

// note adds the step to those that may be scheduled ahead.
func (q *runQueue) note(ref stepRef) {
	if q.noted == nil {
		q.noted = map[stepRef]int{}
	}
	q.noted[ref] = len(q.ahead)
	q.ahead = append(q.ahead, ref)
}

// forget takes the step off them.
func (q *runQueue) forget(ref stepRef) {
	if _, ok := q.noted[ref]; !ok {
		return
	}
	if delete(q.noted, ref); len(q.ahead) > 2*len(q.noted)+notedSpare {
		kept := make([]stepRef, 0, len(q.noted))
		for ref := range q.mayGoAhead() {
			kept = append(kept, ref)
		}
		q.ahead = nil
		for _, ref := range kept {
			q.note(ref)
		}
	}
}

// mayGoAhead yields the steps that are noted, in their order.
func (q *runQueue) mayGoAhead() iter.Seq[stepRef] {
	return func(yield func(stepRef) bool) {
		for i, ref := range q.ahead {
			if at, ok := q.noted[ref]; ok && at == i && !yield(ref) {
				return
			}
		}
	}
}

// lookAhead notes the step for the scheduler where it may be scheduled ahead.
func (s *State) lookAhead(r *Run, task, host uint32) {
	if r.AheadMax == 0 {
		return
	}
	pos, ok := r.Graph.stepAt(task, host)
	if !ok || host == NoHost || r.stopped() || r.Tasks[task].step(pos) != Pending || r.doomedStep(task, pos) {
		return
	}
	ref := stepRef{task, uint32(pos)}
	if _, noted := r.queue.noted[ref]; noted || !s.placeFor(r, task, host) {
		return
	}
	if _, ok := s.predecessors(r, task, host, nobody); ok {
		r.queue.note(ref)
	}
}

// placeFor reports whether one of the steps that the task's step on the host waits for
// there has its place to give. Those of other hosts may have, for all that is looked at.
func (s *State) placeFor(r *Run, task, host uint32) bool {
	for _, e := range r.Graph.needs[task].edges {
		p := &r.Tasks[e.task]
		if e.all && !e.met(p.Status) {
			return true
		}
		k, ok := r.Graph.stepAt(e.task, host)
		if !ok || p.step(k) != Running || p.Steps == nil {
			continue
		}
		if s.Attempts[p.Steps[k].Attempt].heir == 0 {
			return true
		}
	}
	return false
}

// taken forgets what waits on the host for the attempt's step and for no other that has
// its place to give, now that this one has not.
func (s *State) taken(r *Run, place *Attempt) {
	for _, e := range r.Graph.out[place.Task] {
		pos, ok := r.Graph.stepAt(e.task, place.Host)
		ref := stepRef{e.task, uint32(pos)}
		if _, noted := r.queue.noted[ref]; ok && noted && !s.placeFor(r, e.task, place.Host) {
			r.queue.forget(ref)
		}
	}
}

// given notes what may be scheduled ahead on the host since the attempt, which is under
// way, has its place to give again.
func (s *State) given(r *Run, place *Attempt) {
	for _, e := range r.Graph.out[place.Task] {
		s.lookAhead(r, e.task, place.Host)
	}
}
