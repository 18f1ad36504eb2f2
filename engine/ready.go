package engine

// Readiness is counted, never searched: a task counts the tasks that it waits
// for as a whole, a step those on its own host, and an end that meets the edge
// counts them down.

// allocate makes the task's steps. It is put off until the first of them may
// change, so that a task far down the graph costs nothing per host.
func (r *Run) allocate(task uint32) {
	t := &r.Tasks[task]
	if t.Steps != nil {
		return
	}
	g := r.Graph
	t.Steps = make([]Step, g.StepCount(task))
	for pos := range t.Steps {
		t.Steps[pos] = Step{Host: g.hostAt(task, pos), Status: t.Status, Reason: t.Reason}
	}
	r.countUnmet(task)
}

// countUnmet counts what each of the task's steps, just made, waits for on its host.
func (r *Run) countUnmet(task uint32) {
	t, g := &r.Tasks[task], r.Graph
	for _, e := range g.needs[task].edges {
		if e.all {
			continue
		}
		p := &r.Tasks[e.task]
		for pos := range t.Steps {
			st := &t.Steps[pos]
			if k, ok := g.stepAt(e.task, st.Host); ok && !e.met(p.step(k)) {
				st.unmet++
			}
		}
	}
}

// wake readies the steps of a task that waits for no whole task any more.
func (r *Run) wake(task uint32) {
	if r.stopped() || r.Tasks[task].doom != 0 {
		return
	}
	r.allocate(task)
	for pos := range r.Tasks[task].Steps {
		r.ready(task, pos)
	}
}

func (r *Run) ready(task uint32, pos int) {
	t := &r.Tasks[task]
	st := &t.Steps[pos]
	if st.Status != Pending || t.unmet > 0 || st.unmet > 0 || t.doom > 0 || st.doom > 0 || r.stopped() {
		return
	}
	r.shift(task, pos, Pending, Ready)
	st.Status = Ready
	t.tally[Pending]--
	t.tally[Ready]++
	r.Counts.Pending--
	r.Counts.Ready++
	t.Status = t.derive()
}

// release counts down what waits for the step that is settled, or for its whole
// task where that is the last of its steps. It comes once for each step.
func (r *Run) release(task uint32, pos int) {
	r.releaseStep(task, pos)
	if r.Tasks[task].Status.Settled() {
		r.releaseTask(task)
	}
}

func (r *Run) releaseStep(task uint32, pos int) {
	g, status := r.Graph, r.Tasks[task].step(pos)
	host := g.hostAt(task, pos)
	for _, e := range g.out[task] {
		d := &r.Tasks[e.task]
		if e.all || !e.met(status) || d.Steps == nil {
			continue // steps not made yet are counted when they are
		}
		if k, ok := g.stepAt(e.task, host); ok {
			d.Steps[k].unmet--
			r.ready(e.task, k)
		}
	}
}

func (r *Run) releaseTask(task uint32) {
	for _, e := range r.Graph.out[task] {
		if !e.all || !e.met(r.Tasks[task].Status) {
			continue
		}
		d := &r.Tasks[e.task]
		if d.unmet--; d.unmet == 0 {
			r.wake(e.task)
		}
	}
}
