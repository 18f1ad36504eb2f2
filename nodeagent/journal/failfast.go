package journal

import (
	"slices"

	"quorate/nodeagent/wire"
)

// Of a run that starts nothing behind a failure, what an agent was sent ahead is given
// back as soon as an attempt of the run fails on the same host, and so is what comes
// later, until the cluster has the report: from then on it sends nothing more.

const failFastReason = "a step of the run has failed here, and it fails fast"

// failing reports whether the end of an attempt is a failure of its run.
func failing(outcome uint8) bool { return outcome == OutcomeFailed || outcome == OutcomeCancelled }

// failedIn reports whether an attempt of the run has failed on the host, and the cluster
// may not know it.
func (s *State) failedIn(key poolKey) bool {
	return slices.ContainsFunc(s.reports, func(r wire.Report) bool {
		a := s.attempts[r.Attempt]
		return r.End && failing(r.Outcome) && a != nil && poolOf(a.Step) == key
	})
}

// failFast strands what waits of the run that the attempt is of, which has ended, where
// nothing is to start behind that.
func (s *State) failFast(a *Attempt, spec []byte, outcome uint8) {
	if !failing(outcome) || len(s.waits) == 0 {
		return
	}
	if step, err := wire.DecodeStep(spec); err != nil || !step.FailFast {
		return
	}
	for id, w := range s.waits {
		if b := s.attempts[id]; b == nil || b.Phase != Intent || b.Ended > 0 || b.Running || poolOf(b.Step) != poolOf(a.Step) {
			continue
		}
		from := s.placeOf(id)
		w.stranded = true
		s.move(id, from)
	}
}

// Hurried reports whether the attempt waits for a place, or has and may start, in a run
// that starts nothing behind a failure, and comes behind no other: the word of a failure
// elsewhere reaches it by a connection alone.
func (s *State) Hurried(attempt uint64) bool {
	if !s.placeOf(attempt).inLine || s.waits[attempt].heir {
		return false
	}
	step, err := wire.DecodeStep(s.attempts[attempt].Spec)
	return err == nil && step.FailFast
}
