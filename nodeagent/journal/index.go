package journal

import "slices"

// An index finds attempts by what they are, so that what is asked after each end of
// an attempt costs no look at all the others. It follows from the records like the
// rest of the state; only Apply changes it.
type index struct {
	// steps are the attempts of each step, by [Work.Step].
	steps map[string][]uint64
	// due are the attempts that waited and may start, or never will, but for those that
	// wait for a place.
	due map[uint64]bool
	// closed are the attempts that wait of which no job may start, ascending.
	closed []uint64
	// reserved counts the jobs that may start of attempts that wait, or have just started.
	reserved uint32
	// pools are of the runs of which something is under way here, by [poolOf].
	pools map[poolKey]*pool
}

func newIndex() index {
	return index{steps: map[string][]uint64{}, due: map[uint64]bool{}, pools: map[poolKey]*pool{}}
}

// A place is where the index has an attempt.
type place struct {
	due, closed bool
	reserved    uint32
	// pool is where the others are of, see there.
	pool                 poolKey
	under, stuck, inLine bool
}

// placeOf says where the attempt belongs, which is in its pool alone unless it waits,
// or did, and nothing of it has started.
func (s *State) placeOf(id uint64) (p place) {
	a := s.attempts[id]
	if a == nil || a.Phase != Intent {
		return place{}
	}
	p.pool = poolOf(a.Step)
	w := s.waits[id]
	if w == nil || a.Ended > 0 || a.Running {
		p.under = !s.yielded[id]
	} else {
		ready := !w.stranded && len(w.after) == 0
		p.inLine = ready && w.places > 0 && p.pool.run != ""
		p.under = ready && !p.inLine
		p.due = w.stranded || p.under
		p.closed = a.Window == 0 && a.Jobs > 0
		p.reserved = a.Window
	}
	p.stuck = p.under && a.unmoved()
	return p
}

// move keeps the index right about an attempt that a record has changed.
func (s *State) move(id uint64, from place) {
	to := s.placeOf(id)
	x := &s.index
	x.reserved += to.reserved - from.reserved
	s.movePool(id, from, to)
	switch {
	case to.due:
		x.due[id] = true
	case from.due:
		delete(x.due, id)
	}
	at, found := slices.BinarySearch(x.closed, id)
	switch {
	case to.closed && !found:
		x.closed = slices.Insert(x.closed, at, id)
	case to.closed || !found:
	case len(x.closed) == 1:
		x.closed = nil
	case at == 0:
		x.closed = x.closed[1:]
	default:
		x.closed = slices.Delete(x.closed, at, at+1)
	}
}

// hold notes an attempt as one of its step.
func (s *State) hold(a *Attempt) {
	s.attempts[a.ID] = a
	if a.Step != "" {
		s.index.steps[a.Step] = append(s.index.steps[a.Step], a.ID)
	}
}

// drop forgets an attempt.
func (s *State) drop(a *Attempt) {
	delete(s.attempts, a.ID)
	delete(s.waits, a.ID)
	if a.Step == "" {
		return
	}
	rest := slices.DeleteFunc(s.index.steps[a.Step], func(id uint64) bool { return id == a.ID })
	if len(rest) == 0 {
		delete(s.index.steps, a.Step)
		return
	}
	s.index.steps[a.Step] = rest
}

// attemptOf returns the attempt that a record is of, or 0 where it is of none, or
// changes nothing about where that belongs.
func attemptOf(r Record) uint64 {
	switch r := r.(type) {
	case *Kept:
		return r.Attempt.ID
	case *Intended:
		return r.Attempt
	case *WindowExtended:
		return r.Attempt
	case *JobStarted:
		return r.Attempt
	case *RestartAsked:
		return r.Attempt
	case *Doubted:
		return r.Attempt
	case *Yielded:
		return r.Attempt
	case *Published:
		return r.Report.Attempt
	case *JobEnded:
		return r.Report.Attempt
	case *AttemptEnded:
		return r.Report.Attempt
	case *Forbidden:
		return r.Report.Attempt
	}
	return 0
}
