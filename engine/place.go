package engine

// What is under way of a run on a host is bounded, and so is how much that is over all.
// A step that is ready and finds its host's places taken may be sent ahead all the same:
// it waits in its host's line, for a place to become free, and starts there without a
// word from here, since the agent keeps to the bound, too. In the line it takes no room
// in the run. It has the next place on its host that becomes free and that no heir
// takes; so while there is a line all places of its host are taken, and no more is ever
// under way than the run allows.
//
// An heir may find its host's places taken, too, in any run that sends steps ahead. In a
// run that is tight it keeps the room that it inherits while it is in the line: its agent
// starts it as soon as the host has a place, whether or not the run has one.
//
// The agent knows first what has ended, and may let another one start than is next here:
// what counts is how many.

// queues reports whether steps of the run may be sent to wait in line. Where the run as
// a whole binds before the hosts do, what has the next place on one host would take room
// from others, unless hosts have places of their own; and where the run fails fast agents
// have to know it, who then give back what is in line as soon as a step of theirs fails.
func (r *Run) queues() bool { return r.AheadMax > 0 && (!r.FailFast || r.Lines) && !r.queue.tight }

// full reports whether one more step would have to wait in the host's line.
func (q *runQueue) full(slot int) bool {
	s := &q.slots[slot]
	return s.running >= q.placesOf(slot) || len(s.line) > 0
}

// bequeath gives what the attempt, which ends, has of the run's places to its heir: its
// place, its own in the line, or its turn to have one, where it has none itself yet.
func (s *State) bequeath(r *Run, a *Attempt) {
	h, p := s.Attempts[a.heir], s.Attempts[a.place]
	if p != nil {
		p.heir = a.heir
	}
	if h != nil {
		h.place = a.place
	}
	a.heir, a.place = 0, 0
	if h == nil && p != nil {
		s.given(r, p)
	}
	if h == nil || p != nil {
		return
	}
	st, own := r.stepOf(a)
	heir, ref := r.stepOf(h)
	switch {
	case st.inLine && h.Host == a.Host:
		r.queue.replace(a.Host, own, ref)
		st.inLine, heir.inLine = false, true
		return
	case st.inLine:
		st.inLine = false
		r.queue.leave(a.Host, own)
	case !st.parked:
		st.parked = true
		r.queue.ended(a.Host)
		if h.Host == a.Host {
			heir.parked = false
			r.queue.started(h.Host)
			return
		}
	}
	s.seat(r, h)
}

// seat gives the attempt, which waits for nothing else, a place on its host, or one in
// the line for it. Where there is no room in the run it takes none: nor did the one that
// it comes behind.
func (s *State) seat(r *Run, a *Attempt) {
	st, ref := r.stepOf(a)
	q := &r.queue
	switch full := q.full(q.slot(a.Host)); {
	case full && (!q.tight || q.running < q.stepsMax):
		st.inLine = true
		q.join(a.Host, ref)
	case !full && q.running < q.stepsMax:
		st.parked = false
		q.started(a.Host)
	}
}

// serve gives places that are free on the host to the first in its line.
func (s *State) serve(r *Run, host uint32) {
	q := &r.queue
	sl := &q.slots[q.slot(host)]
	for len(sl.line) > 0 && sl.running < q.placesOf(q.slot(host)) {
		ref := sl.line[0]
		st := &r.Tasks[ref.task].Steps[ref.pos]
		q.leave(host, ref)
		st.inLine, st.parked = false, false
		q.started(host)
	}
}

// stepOf returns the step of an attempt.
func (r *Run) stepOf(a *Attempt) (*Step, stepRef) {
	pos, _ := r.Graph.stepAt(a.Task, a.Host)
	return &r.Tasks[a.Task].Steps[pos], stepRef{a.Task, uint32(pos)}
}

// Queues reports whether the step was sent to its agent ahead of a place on its host,
// and has none on record.
func (r *Run) Queues(task uint32, pos int) bool {
	t := &r.Tasks[task]
	return t.Steps != nil && t.Steps[pos].inLine
}

// InLine reports whether the attempt is under way, and has no place on its host on record.
func (s *State) InLine(attempt uint64) bool {
	a := s.Attempts[attempt]
	if a == nil || a.Outcome != 0 {
		return false
	}
	st, _ := s.Run(a.Run).stepOf(a)
	return st.Attempt == attempt && st.inLine
}
