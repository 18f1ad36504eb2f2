package model

import (
	"maps"
	"slices"

	"quorate/engine"
	"quorate/eventlog"
)

// calm ends all misfortune, and lets the world run until nothing is left to do.
func (w *sim) calm() {
	w.faults = false
	if w.site != nil {
		w.site.cut = false
	}
	for _, r := range w.replicas {
		r.cut, r.paused = false, false
		if !r.up {
			r.start()
		}
	}
	for range 600 {
		if w.failure != nil || w.round() {
			return
		}
	}
	for _, r := range w.truth.Runs {
		if r.Outcome == 0 {
			w.fail("invariant 6: run %d does not end: %s, %+v, %v", r.ID, r.Status(), r.Counts, r.WaitingFor(w.truth))
		}
	}
}

// round lets everyone have a turn, and reports whether all is done.
func (w *sim) round() (done bool) {
	if w.leader == nil {
		w.elect()
	}
	for _, r := range w.replicas {
		r.follow(1 << 30)
		r.lead()
	}
	w.resolve(true)
	for n := len(w.proposals); n > 0; n-- {
		w.commit()
	}
	for _, r := range w.replicas {
		r.follow(1 << 30)
	}
	for i, a := range w.agents {
		w.replace(a)
		if w.truth.Agents[a.id].Drained() {
			w.must(&eventlog.AgentUndrained{Agent: a.id, By: "operator"})
		}
		if a.session == nil {
			w.dial(a, w.replicas[i%len(w.replicas)])
		}
		a.session.serve()
		for a.session != nil && len(a.session.toAgent) > 0 {
			a.take()
		}
		for range 12 {
			a.work()
		}
		a.report()
		if a.session != nil {
			a.session.serve()
		}
	}
	for _, r := range w.truth.Runs {
		if r.Outcome == 0 {
			return false
		}
	}
	return len(w.proposals) == 0
}

// final is what has to hold when all is done.
func (w *sim) final() {
	for _, r := range w.replicas {
		r.follow(1 << 30)
		if r.state.Index != w.head.Index || r.state.Head != w.head.Hash || r.state.Hash() != w.truth.Hash() {
			w.fail("G6: orchestrator %d ends in another state", r.id)
		}
	}
	again := engine.NewState()
	for _, rec := range w.log {
		if _, err := again.Fold(rec); err != nil {
			w.fail("record %d: %v", rec.Index, err)
			return
		}
	}
	if again.Hash() != w.truth.Hash() {
		w.fail("G6: the log folds to another state")
	}
	for _, id := range slices.Sorted(maps.Keys(w.truth.Attempts)) {
		w.checkAttempt(w.truth.Attempts[id])
	}
	for _, r := range w.truth.Runs {
		if r.Check {
			w.checkNoEffects(r)
			continue
		}
		w.checkRun(r)
	}
	w.checkPublished()
}

// checkAttempt compares what is on record with what happened.
func (w *sim) checkAttempt(a *engine.Attempt) {
	jobs := jobsFor(w.truth.Run(a.Run).Graph, a.Task, a.Host, a.FromJob)
	sum := 0
	for _, job := range jobs {
		sum += w.byAttempt[[2]uint64{a.ID, uint64(job)}]
	}
	switch {
	case w.truth.Run(a.Run).Check:
		return
	case w.repeated[a.ID] && a.Outcome == eventlog.Succeeded:
		w.fail("attempt %d succeeded, and an agent on an old disk has repeated jobs of it", a.ID)
	case a.Outcome == eventlog.NotStarted && sum > 0 && !w.silenced[a.ID]:
		w.fail("G3: attempt %d is not started and took effect", a.ID)
	case a.Outcome == eventlog.Succeeded && sum != len(jobs):
		w.fail("G3: attempt %d succeeded with %d effects of %d", a.ID, sum, len(jobs))
	}
	for j := range a.Jobs.All() {
		if n := w.byAttempt[[2]uint64{a.ID, uint64(j.Job)}]; j.Outcome == eventlog.Succeeded && n != 1 {
			w.fail("G3: job %d of attempt %d succeeded with %d effects", j.Job, a.ID, n)
		}
		if a.Outcome == eventlog.Succeeded && j.Outcome != eventlog.Succeeded {
			w.fail("G3: attempt %d succeeded with a job that did not", a.ID)
		}
	}
}

// checkRun: a step that is done took effect once per job, where nobody's word
// stands between; and no step goes on behind what it requires.
func (w *sim) checkRun(r *engine.Run) {
	for i := range r.Tasks {
		task := uint32(i)
		if r.Graph.IsEngine(task) {
			continue
		}
		for pos, host := range hostsOf(r.Graph, task) {
			st := r.Step(task, pos)
			if st.Status != engine.Done {
				continue
			}
			if at := w.truth.Attempts[st.Attempt]; !ready(r, task, host) && !w.ended(at) && w.words[stepRef{r.ID, task, host}] == 0 {
				w.fail("task %d of run %d is done before what it requires", task, r.ID)
			}
			step := stepRef{r.ID, task, host}
			if w.words[step] > 0 || !w.sharp(r.ID, host) {
				continue
			}
			for _, job := range jobsFor(r.Graph, task, host, 0) {
				n := w.effects[jobRef{step, job}]
				if n < 1 || n > 1 && !r.Graph.Tasks[i].Idempotent {
					w.fail("G5: job %d of task %d, which is done on host %d, took effect %d times", job, task, host, n)
				}
			}
		}
	}
}
