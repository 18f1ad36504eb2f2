package nodeagent

import (
	"cmp"
	"context"
	"math"
	"slices"

	"quorate/nodeagent/facts"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/verb"
	"quorate/nodeagent/wire"
)

// What follows keeps the records of steps, by which the agent decides which jobs have to
// run, and the journal's notes of what is not in them yet.

// begin begins the attempt's course by the record of its step, in the memory, where it
// is one of a service.
func (r *attemptRun) begin(memory *facts.Store) (err error) {
	if !r.step.Service {
		return nil
	}
	from := uint32(0)
	if len(r.step.Jobs) > 0 {
		from = r.step.Jobs[0].Index
	}
	var inputs []facts.Input
	for _, in := range r.inputs {
		if len(in.Open) == 0 {
			inputs = append(inputs, facts.Input{Task: in.Task, Output: in.Output})
		}
	}
	r.loads = verb.Loads(r.step.Jobs)
	r.course, err = memory.Begin(r.step.Task, r.id, from, r.step.Requires, inputs, r.before)
	return err
}

// begunBefore says what an earlier agent has done of the attempt.
func begunBefore(at *journal.Attempt) facts.Before {
	switch {
	case len(at.Notes) > 0:
		return facts.BegunAndNoted
	case at.Ended > 0 || at.Running:
		return facts.Begun
	}
	return facts.NotBegun
}

// finish ends the course, if there is one, and returns the output of the attempt's end.
func (r *attemptRun) finish(outcome uint8) []byte {
	c := r.course
	if c == nil {
		return nil
	}
	r.course = nil
	how := facts.EndedOtherwise
	switch outcome {
	case journal.OutcomeSucceeded:
		how = facts.EndedWell
	case journal.OutcomeUnknown:
		how = facts.EndedUnknown
	}
	output := c.End(how)
	if how != facts.EndedWell {
		return nil
	}
	return output[:]
}

// end adds the records of the attempt's end.
func (r *attemptRun) end(s *journal.State, add func(journal.Record), outcome uint8, reason string) error {
	at, ok := s.Attempt(r.id)
	if !ok || at.Phase != journal.Intent {
		return journal.ErrEnded
	}
	if at.Lost {
		outcome = journal.OutcomeUnknown
	}
	if reason == "" && outcome == journal.OutcomeSucceeded && r.course != nil {
		reason = bounded(r.course.Why(), wire.InfoBytesMax)
	}
	rec, err := s.End(r.id, outcome, reason, r.finish(outcome))
	if err != nil {
		return err
	}
	noted := len(at.Notes) > 0
	add(rec)
	if noted && r.agent.facts.StepWritten(r.step.Task) {
		add(&journal.Remembered{Attempts: []uint64{r.id}})
	}
	return nil
}

// note adds what the journal is to hold of a job before its end.
func (r *attemptRun) note(note []byte, add func(journal.Record)) {
	if len(note) > 0 && !r.step.Check {
		add(&journal.Noted{Attempt: r.id, Note: note})
	}
}

// unseen tells the record of a job that an earlier agent began and that was not executed
// to its end: it may have changed anything.
func (r *attemptRun) unseen(index uint32, res *verb.Result) (err error) {
	if r.course != nil && res.Note == nil {
		res.Note, err = r.course.Ended(facts.Ending{Job: index, Changed: true})
	}
	return err
}

// recollect brings the records of steps up to date, where an earlier agent was killed, or
// the machine went down, before they were written.
func (a *agent) recollect() error {
	var ended []uint64
	past := map[string][]*journal.Attempt{}
	a.journal.View(func(s *journal.State) {
		ended = s.Unremembered()
		for _, id := range s.Attempts() {
			at, _ := s.Attempt(id)
			if len(at.Notes) == 0 && at.Phase != journal.Unknown && at.Phase != journal.Intent {
				continue
			}
			if _, task, _, err := journal.ParseStepName(at.Step); err == nil { // else it never was a step
				kept := *at
				past[task] = append(past[task], &kept)
			}
		}
	})
	for task, attempts := range past {
		// One that was given out earlier may have begun later.
		slices.SortStableFunc(attempts, func(x, y *journal.Attempt) int { return cmp.Compare(x.BeganSeq, y.BeganSeq) })
		if err := a.recollectStep(task, attempts); err != nil {
			return err
		}
	}
	if err := a.facts.Flush(); err != nil || len(ended) == 0 {
		return err
	}
	return a.journal.Append(func(_ *journal.State, add func(journal.Record)) error {
		add(&journal.Remembered{Attempts: ended})
		return nil
	})
}

// recollectStep does that for a task's step by its attempts, in the order in which they began.
func (a *agent) recollectStep(task string, attempts []*journal.Attempt) error {
	var redone []*journal.Attempt
	for _, at := range attempts {
		lacked, err := a.facts.Recollect(task, at.ID, at.Notes, at.Phase == journal.Unknown)
		if err != nil {
			return err
		}
		if lacked {
			redone = append(redone, at)
		}
	}
	for _, at := range attempts {
		if at.Phase != journal.Intent || begunBefore(at) != facts.Begun || !overlapped(at, attempts) {
			continue
		}
		if err := a.facts.Overlapped(task, at.ID); err != nil {
			return err
		}
	}
	if beside(redone) {
		return a.facts.Confuse(task)
	}
	return nil
}

// beside reports whether any of the attempts, which are in the order in which they began,
// began before one before it had ended.
func beside(attempts []*journal.Attempt) bool {
	var end uint64
	for i, at := range attempts {
		if i > 0 && at.BeganSeq < end {
			return true
		}
		if end = max(end, at.EndSeq); at.Phase == journal.Intent {
			end = math.MaxUint64
		}
	}
	return false
}

// overlapped reports whether any of the others was noted to have done something since the
// attempt began, or may have.
func overlapped(at *journal.Attempt, others []*journal.Attempt) bool {
	return slices.ContainsFunc(others, func(o *journal.Attempt) bool {
		return o.ID != at.ID && (len(o.Notes) > 0 || o.Phase == journal.Unknown) && (o.Phase == journal.Intent || o.EndSeq > at.BeganSeq)
	})
}

// remember has the journal forget its notes of what has been written, until ctx ends.
func (a *agent) remember(ctx context.Context) {
	for {
		select {
		case <-a.facts.StepsWritten():
		case <-ctx.Done():
			return
		}
		if err := a.forgetNotes(); err != nil {
			a.broken(err)
			return
		}
	}
}

// forgetNotes has the journal forget its notes of what has been written.
func (a *agent) forgetNotes() error {
	return a.journal.Append(func(s *journal.State, add func(journal.Record)) error {
		var ids []uint64
		for _, id := range s.Unremembered() {
			at, _ := s.Attempt(id)
			if _, task, _, err := journal.ParseStepName(at.Step); err != nil || a.facts.StepWritten(task) {
				ids = append(ids, id)
			}
		}
		if len(ids) > 0 {
			add(&journal.Remembered{Attempts: ids})
		}
		return nil
	})
}
