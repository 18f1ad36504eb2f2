package journal

import (
	"fmt"
	"slices"

	"quorate/nodeagent/wire"
)

// A wait is what an attempt waits for.
type wait struct {
	after []wire.Predecessor
	// places is how many attempts of its run may be under way when it starts, or 0, and
	// heir is true where it comes behind others.
	places uint32
	heir   bool
	// stranded is true once one of them has ended otherwise: it will never start.
	stranded bool
}

// windowsMax bounds the jobs of attempts that wait, or have just started, that may
// start without another record. It bounds what is unknown after the machine went
// down, as WindowJobs does for one attempt.
const windowsMax = WindowJobs

const strandedReason = "an attempt that it waits for did not end as it had to"

// wellEnded reports whether what waits for an attempt may start after that end.
func wellEnded(p wire.Predecessor, outcome uint8) bool {
	switch outcome {
	case OutcomeSucceeded, OutcomeSkipped:
		return true
	case OutcomeFailed, OutcomeCancelled:
		return p.Any
	}
	return false
}

// waitsFor returns those of the attempts that the dispatched one is to wait for that
// have not ended, whether one of the others has not ended as it had to, and one of
// which nothing is known here, or 0: it has been forgotten, and the cluster knows
// its end, or it is yet to come.
func (s *State) waitsFor(m *wire.Dispatch) (after []wire.Predecessor, stranded bool, missing uint64) {
	for _, p := range m.After {
		if p.Elsewhere.Key != "" {
			after = append(after, p) // its end is told whenever it is known
			continue
		}
		a, ok := s.attempts[p.Attempt]
		if !ok {
			return nil, false, p.Attempt
		}
		if a.Phase == Intent {
			after = append(after, p)
			continue
		}
		i := slices.IndexFunc(s.reports, func(r wire.Report) bool { return r.End && r.Attempt == p.Attempt })
		if i < 0 {
			return nil, false, p.Attempt
		}
		stranded = stranded || !wellEnded(p, s.reports[i].Outcome)
	}
	return after, stranded, 0
}

// firstWindow is how many of an attempt's jobs may start once it is intended. Of
// those that wait only the first few may, see [State.Ahead].
func (s *State) firstWindow(jobs uint32, waits bool) uint32 {
	if waits && s.index.reserved+jobs > windowsMax {
		return 0
	}
	return min(jobs, WindowJobs)
}

// Waits reports whether the attempt waits for another one, or for a place.
func (s *State) Waits(attempt uint64) bool {
	w := s.waits[attempt]
	return w != nil && (len(w.after) > 0 || w.stranded || w.places > 0 && s.queues(attempt))
}

// Behind returns the attempts that wait for one, and those that wait for these.
func (s *State) Behind(attempt uint64) map[uint64]bool {
	found := map[uint64]bool{}
	for ids := []uint64{attempt}; len(ids) > 0; ids = ids[1:] {
		for _, next := range s.behind[ids[0]] {
			if !found[next] {
				found[next] = true
				ids = append(ids, next)
			}
		}
	}
	return found
}

// Stranded returns the attempts that will never start, because of what they waited
// for, in the order in which they are to be given back.
func (s *State) Stranded() (ids []uint64) {
	for id := range s.index.due {
		if s.waits[id].stranded {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for i := 0; i < len(ids); i++ {
		for _, next := range s.behind[ids[i]] {
			if a := s.attempts[next]; a != nil && a.Phase == Intent && !slices.Contains(ids, next) {
				ids = append(ids, next)
			}
		}
	}
	return ids
}

// GiveBack decides that a stranded attempt never starts. The record is to be synced
// before its report is sent.
func (s *State) GiveBack(attempt uint64) Record {
	return &Forbidden{Report: notStarted(s.Seq+1, attempt, strandedReason)}
}

// Runnable returns the attempts that waited and need not any more.
func (s *State) Runnable() (ids []uint64) {
	for id := range s.index.due {
		if !s.waits[id].stranded {
			ids = append(ids, id)
		}
	}
	ids = append(ids, s.nextInLine()...)
	slices.Sort(ids)
	return ids
}

// determined reports whether nothing of the attempt can have happened that is not in
// the records, also if the machine went down since. That holds, too, for one that
// waits for an attempt which cannot have ended, or for one of the places of such.
func (s *State) determined(a *Attempt) bool { return a.determined() || s.barred(a) }

// stuck reports whether the attempt cannot have ended without a record.
func (s *State) stuck(id uint64) bool {
	a := s.attempts[id]
	return a != nil && a.Phase == Intent && (a.unmoved() || !a.Lost && s.barred(a))
}

// unmoved is stuck as far as the attempt's own records tell. One that has started may
// have been cancelled, whose record is lost.
func (a *Attempt) unmoved() bool {
	return !a.Lost && (a.RestartUnder != "" || a.Window == 0 && a.Jobs > 0)
}

// barred reports whether the attempt cannot have started without a record, because of
// what it waits for.
func (s *State) barred(a *Attempt) bool {
	w := s.waits[a.ID]
	if w == nil || a.Ended > 0 || a.Running {
		return false
	}
	return s.occupied(a, w.places) || slices.ContainsFunc(w.after, s.holdsBack)
}

// Ahead decides to let jobs of attempts start that wait, in the order of their
// numbers, when only few may. One sync serves them all, and comes before the disk
// would be waited for.
func (s *State) Ahead() (records []Record) {
	jobs := s.index.reserved
	if jobs > windowsMax/2 {
		return nil
	}
	for _, id := range s.index.closed {
		w := min(s.attempts[id].Jobs, WindowJobs)
		if jobs > 0 && jobs+w > windowsMax {
			break
		}
		jobs += w
		records = append(records, &WindowExtended{Attempt: id, Window: w})
	}
	return records
}

func (s *State) awaits(id uint64) *Awaits {
	w := s.waits[id]
	if w == nil || s.attempts[id].Phase != Intent {
		return nil
	}
	r := &Awaits{Attempt: id, After: w.after, Places: w.places, Heir: w.heir}
	if w.stranded {
		// No attempt has the number 0, and so it never ends well.
		r.After = append(slices.Clone(w.after), wire.Predecessor{})
	}
	return r
}

func (s *State) applyAwaits(r *Awaits) error {
	if s.attempts[r.Attempt] != nil {
		return fmt.Errorf("attempt %d waits after it was intended", r.Attempt)
	}
	w := &wait{after: slices.Clone(r.After), places: r.Places, heir: r.Heir}
	if n := len(w.after); n > 0 && w.after[n-1].Attempt == 0 {
		w.after, w.stranded = w.after[:n-1], true
	}
	s.waits[r.Attempt] = w
	for _, p := range w.after {
		s.behind[p.Attempt] = append(s.behind[p.Attempt], r.Attempt)
		if p.Elsewhere.Key != "" {
			s.elsewhere[p.Attempt] = p.Elsewhere
		}
	}
	return nil
}

// release tells those that wait for the attempt that it has ended.
func (s *State) release(attempt uint64, outcome uint8) {
	for _, id := range s.behind[attempt] {
		w := s.waits[id]
		if w == nil {
			continue
		}
		i := slices.IndexFunc(w.after, func(p wire.Predecessor) bool { return p.Attempt == attempt })
		if i < 0 {
			continue
		}
		from := s.placeOf(id)
		w.stranded = w.stranded || !wellEnded(w.after[i], outcome)
		w.after = slices.Delete(w.after, i, i+1)
		s.move(id, from)
	}
	delete(s.behind, attempt)
	delete(s.elsewhere, attempt)
}
