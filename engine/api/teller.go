package api

import (
	"slices"

	"quorate/engine"
	"quorate/eventlog"
)

// A teller makes the events of one run that one record leads to.
type teller struct {
	s   *engine.State
	r   *engine.Run
	rec *eventlog.Record
	t   *tale
	out []RunEvent
}

func (w *teller) add(kind string) *RunEvent {
	w.out = append(w.out, RunEvent{Schema: Schema, Seq: w.rec.Index, Time: timeOf(w.rec.Time), Type: kind, Run: w.r.ID, Check: w.r.Check})
	return &w.out[len(w.out)-1]
}

func (w *teller) summary() *Summary {
	s := SummaryView(w.r)
	return &s
}

func (w *teller) tell(event eventlog.Event) {
	switch e := event.(type) {
	case *eventlog.RunCreated:
		w.add("run-started").Summary = w.summary()
	case *eventlog.StepScheduled:
		w.scheduled(e)
	case *eventlog.JobEnded:
		w.job(e)
		return // moves no step
	case *eventlog.AttemptEnded:
		w.attempt(e.Attempt)
	case *eventlog.StepResolved:
		w.resolved(e)
	case *eventlog.TaskRecorded:
		w.task(e.Task)
	case *eventlog.TaskSkipped:
		w.skipped(e)
	case *eventlog.RunCancelled:
		w.add("run-cancelling").Reason = e.Reason
	case *eventlog.RunEnded:
		ev := w.add("run-ended")
		ev.Outcome, ev.Summary = w.r.Status(), w.summary()
		return
	}
	w.waits()
}

func (w *teller) scheduled(e *eventlog.StepScheduled) {
	if w.t.waiting { // before what goes on
		w.waits()
	}
	ev := w.add("step-started")
	ev.Task, ev.Host, ev.Attempt = w.r.Graph.Tasks[e.Task].ID, w.r.Graph.HostName(e.Task, e.Host), w.s.Serial(w.rec.Index)
	delete(w.t.open, e.Supersedes)
	w.t.open[ev.Attempt] = true
	w.attempt(ev.Attempt) // it may have ended with that
}

// job tells of a job's end, unless the record only repeats or comes too late.
func (w *teller) job(e *eventlog.JobEnded) {
	at := w.s.Attempts[e.Attempt]
	if at.Jobs.Newest() != w.rec.Index {
		return
	}
	job := jobView(&engine.JobResult{
		Job: e.Job, Outcome: e.Outcome, Changed: e.Changed, Exit: e.Exit, Index: w.rec.Index, Duration: e.Duration,
	})
	ev := w.add("job-ended")
	ev.Task, ev.Host, ev.Attempt = w.r.Graph.Tasks[at.Task].ID, w.r.Graph.HostName(at.Task, at.Host), at.ID
	ev.Job = &job
}

// attempt tells of the end of an attempt, once, and again where one that was
// unknown has become definite.
func (w *teller) attempt(id uint64) {
	at := w.s.Attempts[id]
	fresh, told := w.t.open[id]
	if !told || at.Outcome == 0 || at.Outcome == eventlog.Unknown && !fresh {
		return
	}
	st := w.step(at)
	if at.Outcome == eventlog.Unknown && !st.Status.Settled() {
		w.t.open[id] = false // told as unknown; a definite end may follow
	} else {
		delete(w.t.open, id)
	}
	w.stepEnded(at, st)
}

// disproved tells that an attempt of the run may have started after all, while its step
// is not settled or tried again.
func (w *teller) disproved(id uint64) {
	at := w.s.Attempts[id]
	if at == nil || at.Run != w.r.ID || at.Outcome != eventlog.Unknown || at.Successor != 0 {
		return
	}
	if st := w.step(at); !st.Status.Settled() {
		w.t.open[id] = false
		w.stepEnded(at, st)
	}
}

func (w *teller) stepEnded(at *engine.Attempt, st engine.Step) {
	ev := w.add("step-ended")
	ev.Task, ev.Host, ev.Attempt = w.r.Graph.Tasks[at.Task].ID, w.r.Graph.HostName(at.Task, at.Host), at.ID
	ev.Outcome, ev.Reason = at.Outcome.String(), at.Reason
	if st.Status.Settled() {
		ev.Outcome, ev.Reason = st.Status.String(), st.Reason
	}
	if at.Outcome == eventlog.Succeeded && ev.Reason == "" {
		ev.Reason = at.Reason // why it ran
	}
	w.task(at.Task)
}

// step returns the step of an attempt.
func (w *teller) step(at *engine.Attempt) engine.Step {
	return w.stepOn(at.Task, at.Host)
}

func (w *teller) stepOn(task, host uint32) engine.Step {
	pos := 0
	if host != engine.NoHost {
		g := w.r.Graph
		pos, _ = slices.BinarySearch(g.HostSets[g.Tasks[task].HostSet], host)
	}
	return w.r.Step(task, pos)
}

// resolved tells of the step's end where the operator's word was one.
func (w *teller) resolved(e *eventlog.StepResolved) {
	at := w.s.Attempts[e.Attempt]
	st := w.step(at)
	if st.Status.Settled() {
		delete(w.t.open, e.Attempt)
		w.stepEnded(at, st)
	}
}

// skipped tells of hosts that were skipped by themselves; where all were, the
// task's end says so.
func (w *teller) skipped(e *eventlog.TaskSkipped) {
	for _, host := range e.Hosts {
		ev := w.add("step-ended")
		ev.Task, ev.Host = w.r.Graph.Tasks[e.Task].ID, w.r.Graph.HostName(e.Task, host)
		st := w.stepOn(e.Task, host)
		ev.Outcome, ev.Reason = st.Status.String(), st.Reason
	}
	w.task(e.Task)
}

// task tells of the task's end, once.
func (w *teller) task(task uint32) {
	t := &w.r.Tasks[task]
	if w.t.ended[task] || !t.Status.Settled() {
		return
	}
	w.t.ended[task] = true
	ev := w.add("task-ended")
	ev.Task, ev.Outcome, ev.Reason, ev.Messages = w.r.Graph.Tasks[task].ID, t.Status.String(), t.Reason, t.Messages
	ev.Summary = w.summary()
}

// waits tells when the run comes to wait for an operator, and when it goes on.
func (w *teller) waits() {
	stuck := w.t.stuck(w.s, w.r)
	if stuck == w.t.waiting {
		return
	}
	w.t.waiting = stuck
	if !stuck {
		if w.r.Outcome == 0 && w.r.Cancelled == nil {
			w.add("run-resumed")
		}
		return
	}
	ev := w.add("run-waiting")
	ev.Reason, ev.Summary = waitingReason(w.s, w.r), w.summary()
}
