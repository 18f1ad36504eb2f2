package engine

import (
	"fmt"
	"slices"

	"quorate/eventlog"
)

// Limits of a run that asks for none.
const (
	stepsMaxDefault        = 256 // steps under way in a run
	stepsPerHostMaxDefault = 8   // of them on one host
)

func (s *State) foldPlanRecorded(e *eventlog.PlanRecorded) string {
	if g := s.Plans[e.PlanID]; g != nil {
		return fmt.Sprintf("the plan is on record since %d", g.Index)
	}
	g, why := newGraph(e, s.Index)
	if why != "" {
		return why
	}
	s.Plans[e.PlanID] = g
	return ""
}

func (s *State) foldRunCreated(e *eventlog.RunCreated) string {
	g := s.Plans[e.PlanID]
	switch {
	case g == nil:
		return "unknown plan"
	case g.fault != "":
		return g.fault
	}
	if why := s.retryFault(e); why != "" {
		return why
	}
	r := &Run{
		RunCreated: *e,
		ID:         uint64(len(s.Runs)) + 1,
		Graph:      g,
		CreatedAt:  s.Time,
		Index:      s.Index,
		Tasks:      make([]Task, len(g.Tasks)),
	}
	r.Counts.Steps, r.Counts.Pending = g.steps, g.steps
	r.queue.init(len(g.Hosts)+1, r.StepsMax, r.StepsPerHostMax, r.AheadMax)
	r.queue.bound(r)
	for i := range r.Tasks {
		t := &r.Tasks[i]
		t.tally[Pending] = uint32(g.StepCount(uint32(i)))
	}
	if old := s.Run(e.RetryOf); old != nil {
		s.inherit(r, old)
	}
	for i := range r.Tasks {
		for _, e := range g.needs[i].edges {
			if e.all && !e.met(r.Tasks[e.task].Status) {
				r.Tasks[i].unmet++
			}
		}
	}
	s.Runs = append(s.Runs, r)
	s.active = append(s.active, r.ID)
	for i := range r.Tasks {
		if r.Tasks[i].unmet == 0 && !r.Tasks[i].Status.Settled() {
			r.wake(uint32(i))
		}
	}
	return ""
}

// foldRunCancelled stops the run: nothing starts from here on, and the agents
// are told to cancel what is under way.
func (s *State) foldRunCancelled(e *eventlog.RunCancelled) string {
	r := s.Run(e.Run)
	switch {
	case r == nil:
		return "no such run"
	case r.Outcome != 0:
		return "the run has ended"
	case r.Cancelled != nil:
		return "the run is being cancelled"
	}
	c := *e
	r.Cancelled = &c
	r.stop()
	for i := range r.Tasks {
		if r.Tasks[i].tally[Running] == 0 {
			continue
		}
		for k := range r.Tasks[i].Steps {
			if st := &r.Tasks[i].Steps[k]; st.Status == Running {
				s.Attempts[st.Attempt].Cancel = true
			}
		}
	}
	return ""
}

func (s *State) foldRunEnded(e *eventlog.RunEnded) string {
	r := s.Run(e.Run)
	switch {
	case r == nil:
		return "no such run"
	case r.Outcome != 0:
		return "the run has ended"
	case r.Counts.TasksSettled < len(r.Tasks):
		return "the run has tasks that are not settled"
	case e.Outcome != r.verdict():
		return fmt.Sprintf("the run's outcome is %d", r.verdict())
	}
	r.Outcome = e.Outcome
	r.EndedAt = s.Time
	r.queue, r.dooms, r.doomed = runQueue{}, nil, 0
	if r.Outcome == eventlog.Succeeded { // one that retries it goes on from them
		r.dropOutputs()
	}
	if i, ok := slices.BinarySearch(s.active, r.ID); ok {
		s.active = slices.Delete(s.active, i, i+1)
	}
	return ""
}

// verdict is the outcome of a run whose tasks are all settled. A cancel that
// came when nothing was left to stop changes nothing.
func (r *Run) verdict() eventlog.Outcome {
	switch {
	case r.Counts.Cancelled > 0:
		return eventlog.Cancelled
	case r.Counts.Failed > 0 || r.Counts.Skipped > 0:
		return eventlog.Failed
	}
	return eventlog.Succeeded
}

// stopped says that nothing new starts in the run.
func (r *Run) stopped() bool {
	return r.Cancelled != nil || r.FailFast && r.Counts.Failed > 0
}

// stop drops what was to start; the scheduler skips it task by task.
func (r *Run) stop() {
	r.queue.clear()
	r.dooms, r.doomed = nil, 0
	r.trimSwept()
}
