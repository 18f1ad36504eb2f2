package engine

// A doom is a step, or a whole task, that can never become ready because a task
// that it depends on has failed.
type doom struct {
	task  uint32
	pos   int // of the step, or wholeTask
	cause uint32
}

const wholeTask = -1

// spread marks everything that depends on the failed step. Each step is marked
// once, so the work over a whole run is bounded by the graph's size.
func (r *Run) spread(task uint32, pos int) {
	work := []doom{{task, pos, task}}
	for len(work) > 0 {
		w := work[0]
		work = work[1:]
		for _, e := range r.Graph.out[w.task] {
			work = append(work, r.doomNext(w, e)...)
		}
	}
}

// doomNext marks what one edge leads to and returns what is newly marked.
func (r *Run) doomNext(w doom, e edge) []doom {
	t, g := &r.Tasks[e.task], r.Graph
	if e.after || t.doom != 0 {
		return nil
	}
	same := g.Tasks[w.task].HostSet == g.Tasks[e.task].HostSet
	if e.all || w.pos == wholeTask && same {
		t.doom = w.cause + 1
		d := doom{e.task, wholeTask, w.cause}
		r.dooms = append(r.dooms, d)
		return []doom{d}
	}
	r.allocate(e.task)
	before := len(r.dooms)
	mark := func(host uint32) {
		if pos, ok := g.stepAt(e.task, host); ok && t.Steps[pos].doom == 0 {
			t.Steps[pos].doom = w.cause + 1
			r.dooms = append(r.dooms, doom{e.task, pos, w.cause})
		}
	}
	if w.pos != wholeTask {
		mark(g.hostAt(w.task, w.pos))
	} else {
		for _, h := range g.HostSets[g.Tasks[w.task].HostSet] {
			mark(h)
		}
	}
	return append([]doom(nil), r.dooms[before:]...)
}

// pending reports whether the doomed step, or one of the doomed task, is not
// skipped yet.
func (r *Run) pending(d doom) bool {
	t := &r.Tasks[d.task]
	if d.pos == wholeTask {
		return t.tally[Pending] > 0
	}
	return t.Steps[d.pos].Status == Pending
}

func (r *Run) trimDooms() {
	for r.doomed < len(r.dooms) && !r.pending(r.dooms[r.doomed]) {
		r.doomed++
	}
	if r.doomed == len(r.dooms) {
		r.dooms, r.doomed = nil, 0
	}
}

// idle counts the task's steps that a run's stop settles.
func (t *Task) idle() uint32 { return t.tally[Pending] + t.tally[Ready] + t.tally[Waiting] }

func (r *Run) trimSwept() {
	if !r.stopped() {
		return
	}
	for r.swept < len(r.Tasks) && r.Tasks[r.swept].idle() == 0 {
		r.swept++
	}
}
