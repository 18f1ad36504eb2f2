package engine

import (
	"fmt"
	"slices"

	"quorate/eventlog"
)

// A Leftover is what a run that has ended leaves to be done.
type Leftover struct {
	// Steps counts those that failed, were cancelled or skipped, the unknown ones too.
	Steps int
	// Unknown are those of them whose outcome nobody knows, as "task@host": they may
	// have had their effect.
	Unknown []string
	// Missing are the hosts that have such a step and no agent that may work.
	Missing []string
}

// Leftover returns what the run leaves to be done again by a run that retries it.
func (s *State) Leftover(r *Run) (left Leftover) {
	for i := range r.Tasks {
		task, t := uint32(i), &r.Tasks[i]
		n := r.Graph.StepCount(task)
		if int(t.tally[Done]) == n {
			continue
		}
		for pos := range n {
			st := r.Step(task, pos)
			if st.Status == Done {
				continue
			}
			left.Steps++
			host := r.Graph.HostName(task, st.Host)
			if s.unsettled(r, task, &st) {
				left.Unknown = append(left.Unknown, r.Graph.Tasks[i].ID+"@"+host)
			}
			if r.Graph.IsEngine(task) || s.agentOf(r, st.Host, 0) != nil {
				continue
			}
			if !slices.Contains(left.Missing, host) {
				left.Missing = append(left.Missing, host)
			}
		}
	}
	return left
}

// unsettled reports whether nobody knows what the step of a run that has ended did,
// and no operator has decided what it counts for.
func (s *State) unsettled(r *Run, task uint32, st *Step) bool {
	a := s.Attempts[st.Attempt]
	switch {
	case a == nil || a.Outcome != eventlog.Unknown || a.Resolved != "":
		return false
	case a.JobFailed && !r.Graph.Tasks[task].KeepGoing:
		return false // what came before the failure is known
	}
	return a.Late != eventlog.Failed && a.Late != eventlog.Cancelled && a.Late != eventlog.NotStarted
}

// RetriedBy returns the run that retries the other one, or 0.
func (s *State) RetriedBy(run uint64) uint64 {
	for i := int(run); i < len(s.Runs); i++ {
		if s.Runs[i].RetryOf == run {
			return s.Runs[i].ID
		}
	}
	return 0
}

// retryFault says why a run may not retry the one that it names. Only one may retry
// another, and the next one retries that: or a step could be done twice at a time.
func (s *State) retryFault(e *eventlog.RunCreated) string {
	if e.RetryOf == 0 {
		return ""
	}
	old := s.Run(e.RetryOf)
	switch {
	case old == nil:
		return "no such run to be retried"
	case old.Outcome == 0:
		return "the run to be retried goes on"
	case old.PlanID != e.PlanID:
		return "the run to be retried is of another plan"
	case old.Check != e.Check:
		return "a run and a check do not retry each other"
	}
	if by := s.RetriedBy(old.ID); by != 0 {
		return fmt.Sprintf("run %d retries it already", by)
	}
	switch left := s.Leftover(old); {
	case left.Steps == 0:
		return "the run to be retried leaves nothing to be done"
	case len(left.Unknown) > 0 && !e.RetryUnknown:
		return fmt.Sprintf("the outcome of step %s is unknown", left.Unknown[0])
	}
	return ""
}

// inherit lets what has succeeded in the run that is retried count as done. It comes
// before anything is counted that waits for it.
func (s *State) inherit(r, old *Run) {
	reason := fmt.Sprintf("succeeded in run %d", old.ID)
	for i := range r.Tasks {
		task, t, before := uint32(i), &r.Tasks[i], &old.Tasks[i]
		n := before.tally[Done]
		if n == 0 {
			continue
		}
		t.tally[Pending] -= n
		t.tally[Done] = n
		r.Counts.Pending -= int(n)
		r.Counts.Succeeded += int(n)
		t.outputs = before.outputs
		s.retally(r, t)
		if t.Status.Settled() {
			t.Reason, t.Messages = reason, before.Messages
			continue // steps that do not change are not made
		}
		t.Steps = make([]Step, r.Graph.StepCount(task))
		for pos := range t.Steps {
			t.Steps[pos].Host = r.Graph.hostAt(task, pos)
			if old.Step(task, pos).Status == Done {
				t.Steps[pos].Status, t.Steps[pos].Reason = Done, reason
			}
		}
	}
	old.dropOutputs()
	for i := range r.Tasks {
		if r.Tasks[i].Steps != nil {
			r.countUnmet(uint32(i))
		}
	}
}
