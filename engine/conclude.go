package engine

import (
	"fmt"

	"quorate/eventlog"
)

// Bounds on what the scheduler does again by itself.
const (
	retriesMax   = 3  // successors of unknown attempts of an idempotent step
	unstartedMax = 16 // successors of attempts that were given back unasked
)

// conclude moves the step to where the outcome of its newest attempt puts it.
func (s *State) conclude(a *Attempt) {
	r := s.Run(a.Run)
	pos, _ := r.Graph.stepAt(a.Task, a.Host)
	st := &r.Tasks[a.Task].Steps[pos]
	to, reason := s.consequence(r, a, st)
	if to == Ready && a.Outcome == eventlog.Unknown {
		st.retries++
	}
	if to == Ready && a.Outcome == eventlog.NotStarted && !a.Recall && !s.aheadOfRecord(a) {
		st.unstarted++
	}
	to, reason = r.sentBack(a.Task, pos, to, reason)
	s.finish(r, a.Task, pos, to, reason)
}

func (s *State) consequence(r *Run, a *Attempt, st *Step) (TaskStatus, string) {
	switch a.Outcome {
	case eventlog.Succeeded, eventlog.Skipped:
		return done(a)
	case eventlog.Cancelled:
		if r.Cancelled != nil {
			return TaskCancelled, a.Reason
		}
		return TaskFailed, reasonOr(a.Reason, "the agent cancelled it")
	case eventlog.NotStarted:
		return s.afterNotStarted(r, a, st)
	case eventlog.Unknown:
		return s.afterUnknown(r, a, st)
	}
	return TaskFailed, a.Reason
}

// done is what a step is when all its jobs have run.
func done(a *Attempt) (TaskStatus, string) {
	if a.JobFailed {
		return TaskFailed, reasonOr(a.Reason, "a job failed")
	}
	return Done, ""
}

// known settles an attempt whose end was not seen where the results of its jobs
// say all: a job has failed behind which none runs, or none is left to run.
func (s *State) known(r *Run, a *Attempt) (to TaskStatus, reason string, ok bool) {
	if a.JobFailed && !r.Graph.Tasks[a.Task].KeepGoing {
		return TaskFailed, "a job failed", true
	}
	pos, _ := r.Graph.stepAt(a.Task, a.Host)
	idle := a.Jobs.Len() == 0 && (r.unmet(a.Task, pos) || r.doomedStep(a.Task, pos)) // it was sent ahead in vain
	if r.resume(a) >= r.Graph.Tasks[a.Task].Jobs && !idle {
		to, reason = done(a)
		return to, reason, true
	}
	return 0, "", false
}

func (s *State) afterNotStarted(r *Run, a *Attempt, st *Step) (TaskStatus, string) {
	if r.Cancelled != nil {
		return TaskCancelled, a.Reason
	}
	if to, reason, ok := s.known(r, a); ok {
		return to, reason
	}
	switch {
	case r.stopped():
		return TaskSkipped, "not started, and the run fails fast"
	case st.unstarted < unstartedMax:
		return Ready, a.Reason
	}
	return TaskFailed, fmt.Sprintf("not started in %d attempts: %s", unstartedMax+1, a.Reason)
}

func (s *State) afterUnknown(r *Run, a *Attempt, st *Step) (TaskStatus, string) {
	if to, reason, ok := s.known(r, a); ok {
		return to, reason
	}
	switch {
	case r.Cancelled != nil:
		return TaskCancelled, "the outcome is unknown: " + a.Reason
	case r.stopped():
		return TaskFailed, "the outcome is unknown, and the run fails fast: " + a.Reason
	case (r.Check || r.Graph.Tasks[a.Task].Idempotent) && st.retries < retriesMax: // a check has no effect to repeat
		return Ready, a.Reason
	}
	return Waiting, a.Reason
}

// resume returns the job whose outcome is not known, or that comes next: what a
// successor of the attempt starts with.
func (r *Run) resume(a *Attempt) uint32 {
	from := a.FromJob
	for j := range a.Jobs.All() {
		switch j.Outcome {
		case eventlog.Unknown, eventlog.NotStarted:
			return j.Job
		default:
			from = max(from, j.Job+1)
		}
	}
	return r.Graph.nextJob(a.Task, a.Host, from)
}

// nextJob returns the job that the step's next attempt has to start with.
func (s *State) nextJob(r *Run, task uint32, st *Step) uint32 {
	a := s.Attempts[st.Attempt]
	if a == nil {
		return 0
	}
	return max(r.resume(a), a.NextJob)
}

func reasonOr(reason, otherwise string) string {
	if reason == "" {
		return otherwise
	}
	return reason
}

// foldStepResolved takes an operator's word on the step that waits for it.
func (s *State) foldStepResolved(e *eventlog.StepResolved) string {
	a := s.Attempts[e.Attempt]
	if a == nil {
		return "no such attempt"
	}
	r, t, void := s.task(a.Run, a.Task)
	if void != "" {
		return void
	}
	pos, _ := r.Graph.stepAt(a.Task, a.Host)
	st := &t.Steps[pos]
	switch {
	case r.stopped():
		return "the run is being stopped"
	case st.Attempt != a.ID:
		return fmt.Sprintf("the step's newest attempt is %d", st.Attempt)
	case !mayMove(st.Status, eventlog.KindStepResolved):
		return "the step is " + st.Status.String()
	}
	switch e.As {
	case "retry", "failed":
	case "succeeded":
		a.NextJob = r.Graph.nextJob(a.Task, a.Host, r.resume(a)+1)
	default:
		return "unknown resolution " + e.As
	}
	a.Resolved, a.ResolvedBy = e.As, e.By
	switch {
	case e.As == "failed":
		s.finish(r, a.Task, pos, TaskFailed, reasonOr(e.Reason, "resolved as failed"))
	case e.As == "succeeded" && a.NextJob >= r.Graph.Tasks[a.Task].Jobs:
		to, reason := done(a)
		s.finish(r, a.Task, pos, to, reason)
	default:
		to, reason := r.sentBack(a.Task, pos, Ready, "resolved: "+e.As)
		s.finish(r, a.Task, pos, to, reason)
	}
	return ""
}
