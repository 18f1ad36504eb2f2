package engine

// finish moves the step and draws what follows from it for others.
func (s *State) finish(r *Run, task uint32, pos int, to TaskStatus, reason string) {
	st := &r.Tasks[task].Steps[pos]
	st.Reason = reason
	ran := st.Status == Running
	s.move(r, task, pos, to)
	if to.Settled() {
		r.release(task, pos) // before a doom allocates steps that count this one as settled
		s.lookAgain(r, task, pos, ran)
	}
	if at := s.Attempts[st.Attempt]; at != nil {
		s.recall(r, at)
	}
	switch {
	case to != TaskFailed:
	case r.stopped():
		r.stop()
		s.recallAll(r)
	default:
		r.spread(task, pos)
	}
}

// move changes the step's status and everything that is counted by it.
func (s *State) move(r *Run, task uint32, pos int, to TaskStatus) {
	t := &r.Tasks[task]
	st := &t.Steps[pos]
	from := st.Status
	if from == to {
		return
	}
	r.shift(task, pos, from, to)
	st.Status = to
	t.tally[from]--
	t.tally[to]++
	*r.Counts.of(from)--
	*r.Counts.of(to)++
	if to == Done && s.relays > 0 && r.AheadMax > 0 {
		r.keepRest(task, pos)
	}
	s.retally(r, t)
}

// shift keeps the queues in step with a status.
func (r *Run) shift(task uint32, pos int, from, to TaskStatus) {
	host := r.Graph.hostAt(task, pos)
	engine := r.Graph.IsEngine(task)
	ref := stepRef{task, uint32(pos)}
	st := &r.Tasks[task].Steps[pos]
	if from == Running && !engine {
		r.queue.opened(host, false)
	}
	if from == Pending {
		r.queue.forget(ref)
	}
	switch {
	case from == Ready && engine:
		r.queue.unqueueEngine(task)
	case from == Ready:
		r.queue.unqueue(host, ref)
	case from == Running && st.inLine:
		st.parked, st.inLine = false, false
		r.queue.leave(host, ref)
	case from == Running && st.parked:
		st.parked = false
	case from == Running:
		r.queue.ended(host)
	}
	switch {
	case to == Ready && engine:
		r.queue.engine = append(r.queue.engine, task)
	case to == Ready:
		r.queue.enqueue(host, ref)
	case to == Running && !st.parked:
		r.queue.started(host)
	}
	if to == Running && !engine {
		r.queue.opened(host, true)
	}
}

// retally derives the task's status from its steps.
func (s *State) retally(r *Run, t *Task) {
	t.Status = t.derive()
	if !t.Status.Settled() || t.SettledAt != 0 {
		return
	}
	t.SettledAt = s.Time
	c := &r.Counts
	c.TasksSettled++
	switch t.Status {
	case Done:
		c.TasksSucceeded++
	case TaskFailed:
		c.TasksFailed++
	case TaskSkipped:
		c.TasksSkipped++
	case TaskCancelled:
		c.TasksCancelled++
	}
}

func (t *Task) derive() TaskStatus {
	n := &t.tally
	begun := t.StartedAt != 0
	switch {
	case n[Running] > 0:
		return Running
	case n[Waiting] > 0:
		return Waiting
	case (n[Ready] > 0 || n[Pending] > 0) && begun:
		return Running
	case n[Ready] > 0:
		return Ready
	case n[Pending] > 0:
		return Pending
	case n[TaskFailed] > 0:
		return TaskFailed
	case n[TaskCancelled] > 0:
		return TaskCancelled
	case n[TaskSkipped] > 0:
		return TaskSkipped
	}
	return Done
}

// of returns the count of steps in the status.
func (c *Counts) of(s TaskStatus) *int {
	switch s {
	case Ready:
		return &c.Ready
	case Running:
		return &c.Running
	case Waiting:
		return &c.Waiting
	case Done:
		return &c.Succeeded
	case TaskFailed:
		return &c.Failed
	case TaskSkipped:
		return &c.Skipped
	case TaskCancelled:
		return &c.Cancelled
	}
	return &c.Pending
}

// step returns the status of a step, also where it is not allocated.
func (t *Task) step(pos int) TaskStatus {
	if t.Steps == nil {
		return t.Status
	}
	return t.Steps[pos].Status
}

// Step returns the step at the position of the task's host set, 0 for a task
// without hosts, also where it is not allocated yet.
func (r *Run) Step(task uint32, pos int) Step {
	t := &r.Tasks[task]
	if t.Steps != nil {
		return t.Steps[pos]
	}
	return Step{Host: r.Graph.hostAt(task, pos), Status: t.Status, Reason: t.Reason}
}
