package engine

import (
	"fmt"
	"strings"

	"quorate/eventlog"
)

// task finds a task of a run that is under way.
func (s *State) task(run uint64, task uint32) (*Run, *Task, string) {
	r := s.Run(run)
	switch {
	case r == nil:
		return nil, nil, "no such run"
	case r.Outcome != 0:
		return nil, nil, "the run has ended"
	case int(task) >= len(r.Tasks):
		return nil, nil, "no such task"
	}
	return r, &r.Tasks[task], ""
}

func (s *State) foldTaskRecorded(e *eventlog.TaskRecorded) string {
	r, t, void := s.task(e.Run, e.Task)
	switch {
	case void != "":
		return void
	case !r.Graph.IsEngine(e.Task):
		return "the task is for agents"
	case r.stopped():
		return "the run is being stopped"
	case !mayMove(t.step(0), eventlog.KindTaskRecorded):
		return "the task is " + t.step(0).String()
	}
	t.Messages = e.Messages
	t.StartedAt = s.Time
	if r.Graph.isMissing(e.Task) {
		t.Reason = strings.Join(e.Messages, "; ")
		s.finish(r, e.Task, 0, TaskFailed, t.Reason)
		return ""
	}
	s.finish(r, e.Task, 0, Done, "")
	r.keepEngineOutput(e.Task)
	return ""
}

func (s *State) foldTaskSkipped(e *eventlog.TaskSkipped) string {
	r, t, void := s.task(e.Run, e.Task)
	if void != "" {
		return void
	}
	if int(e.Cause) >= len(r.Tasks) {
		return "no such cause"
	}
	steps := make([]int, 0, len(e.Hosts))
	for i, h := range e.Hosts {
		pos, ok := r.Graph.stepAt(e.Task, h)
		if !ok || i > 0 && e.Hosts[i-1] >= h {
			return "the hosts are not ascending hosts of the task"
		}
		if !r.skippable(e.Task, pos, e.Cause) {
			return fmt.Sprintf("the step on %s cannot be skipped", r.Graph.HostName(e.Task, h))
		}
		steps = append(steps, pos)
	}
	if len(e.Hosts) == 0 {
		for pos := range r.Graph.StepCount(e.Task) {
			if r.skippable(e.Task, pos, e.Cause) {
				steps = append(steps, pos)
			}
		}
	}
	if len(steps) == 0 {
		return "no step of the task can be skipped"
	}
	if t.Reason == "" {
		t.Cause, t.Reason = e.Cause, e.Reason
	}
	s.skip(r, e.Task, steps, e.Reason)
	return ""
}

// skippable says whether the step may be skipped for this cause: a task's
// failure that keeps it from ever becoming ready, or the run's stop.
func (r *Run) skippable(task uint32, pos int, cause uint32) bool {
	t := &r.Tasks[task]
	status := t.step(pos)
	if !mayMove(status, eventlog.KindTaskSkipped) {
		return false
	}
	if r.stopped() && cause == task {
		return true
	}
	doomed := t.doom == cause+1 || t.Steps != nil && t.Steps[pos].doom == cause+1
	return doomed && status == Pending
}

func (s *State) skip(r *Run, task uint32, steps []int, reason string) {
	t := &r.Tasks[task]
	to := TaskSkipped
	if r.Cancelled != nil {
		to = TaskCancelled
	}
	if t.Steps == nil && len(steps) == r.Graph.StepCount(task) {
		s.skipAll(r, task, to)
	} else {
		r.allocate(task)
		for _, pos := range steps {
			st := &t.Steps[pos]
			if st.Status == Waiting && r.Cancelled == nil {
				s.finish(r, task, pos, TaskFailed, "the outcome is unknown, and the run fails fast: "+st.Reason)
				continue
			}
			if st.Status == Waiting {
				reason += "; the outcome is unknown: " + st.Reason
			}
			s.finish(r, task, pos, to, reason)
		}
	}
	r.trimDooms()
	r.trimSwept()
}

// skipAll settles a task none of whose steps was ever looked at, without making them.
func (s *State) skipAll(r *Run, task uint32, to TaskStatus) {
	t := &r.Tasks[task]
	n := t.tally[Pending]
	t.tally[Pending], t.tally[to] = 0, n
	*r.Counts.of(Pending) -= int(n)
	*r.Counts.of(to) += int(n)
	s.retally(r, t)
	for pos := range r.Graph.StepCount(task) {
		r.queue.forget(stepRef{task, uint32(pos)})
		r.releaseStep(task, pos)
	}
	r.releaseTask(task)
}
