package engine

import (
	"fmt"
	"maps"
	"slices"

	"quorate/eventlog"
)

// effect is called when an agent starts a job: from here on its work is in the world.
func (w *simWorld) effect(a *simAgent, e *simEntry) {
	job := e.jobs[e.next]
	step := simStep{e.run, e.task, e.host}
	w.effects[simJob{step, job}]++
	w.byAttempt[[2]uint64{e.attempt, uint64(job)}]++
	if n := w.byAttempt[[2]uint64{e.attempt, uint64(job)}]; n > 1 {
		w.t.Errorf("job %d of attempt %d took effect %d times", job, e.attempt, n)
	}
	r := w.s.Run(e.run)
	if !depsDone(r, e.task, e.host) && !w.depsEnded(r, e) {
		w.t.Errorf("task %d of run %d started on %s before what it requires", e.task, e.run, a.name)
	}
	for _, other := range w.agents {
		for id, x := range other.entries {
			same := x.run == e.run && x.task == e.task && x.host == e.host
			if id != e.attempt && same && x.state == simIntent {
				w.t.Errorf("attempts %d and %d of one step overlap", id, e.attempt)
			}
		}
	}
	task := &r.Graph.Tasks[e.task]
	if n := w.effects[simJob{step, job}]; !task.Idempotent && n > 1+w.retried[step] {
		w.t.Errorf("job %d of %s on host %d took effect %d times, and was retried by an operator %d times",
			job, task.ID, e.host, n, w.retried[step])
	}
}

// depsEnded reports whether all that the step waits for has ended as it has to, on
// record or on its own agent.
func (w *simWorld) depsEnded(r *Run, e *simEntry) bool {
	at := w.s.Attempts[e.attempt]
	if at == nil || len(at.After) == 0 {
		return false
	}
	for _, d := range r.Graph.needs[e.task].edges {
		p := &r.Tasks[d.task]
		for pos := range r.Graph.StepCount(d.task) {
			host := r.Graph.hostAt(d.task, pos)
			if d.met(p.step(pos)) || !d.all && host != e.host {
				continue
			}
			i := slices.IndexFunc(at.After, func(q Predecessor) bool {
				x := w.s.Attempts[q.Attempt]
				return x.Task == d.task && x.Host == host
			})
			if i < 0 || !endsWell(at.After[i], w.ends[at.After[i].Attempt]) {
				return false
			}
		}
	}
	return true
}

// operator resolves a step that waits. Where it is not careful it speaks of an
// attempt at random.
func (w *simWorld) operator(careful bool) {
	ids := slices.Sorted(maps.Keys(w.s.Attempts))
	if careful {
		ids = slices.DeleteFunc(ids, func(id uint64) bool {
			a := w.s.Attempts[id]
			r := w.s.Run(a.Run)
			pos, _ := r.Graph.stepAt(a.Task, a.Host)
			st := r.Step(a.Task, pos)
			return st.Attempt != id || st.Status != Waiting
		})
	}
	if len(ids) == 0 {
		return
	}
	a := w.s.Attempts[ids[w.rng.IntN(len(ids))]]
	w.request++
	e := &eventlog.StepResolved{
		Attempt: a.ID, As: []string{"retry", "succeeded", "failed"}[w.rng.IntN(3)], By: "operator",
		Reason: "looked", RequestID: fmt.Sprint(w.request),
	}
	// Also "succeeded" lets an attempt go on behind the job in question, and the
	// agent that was given up on may have come further than it said.
	if w.propose(e) == "" && e.As != "failed" {
		w.retried[simStep{a.Run, a.Task, a.Host}]++
	}
	if void := w.propose(e); void == "" {
		w.t.Error("a request took effect twice")
	}
}

// giveUp declares an attempt of the agent unknown that is under way.
func (w *simWorld) giveUp(a *simAgent) {
	if open := w.s.Agents[a.id].Open; len(open) > 0 {
		w.propose(&eventlog.AttemptEnded{
			Attempt: open[w.rng.IntN(len(open))], Outcome: eventlog.Unknown, Reason: "no word", By: "operator",
		})
	}
}

// calm lets the world run without faults until every run has ended.
func (w *simWorld) calm() {
	w.faults = false
	clear(w.cut)
	w.undrainAll()
	if w.rng.IntN(2) == 0 {
		w.notices = nil // the cluster tells as well
	}
	for range 400 {
		if w.t.Failed() || len(w.s.active) == 0 {
			return
		}
		w.lead()
		w.operator(true)
		for _, a := range w.agents {
			w.gateway(a)
		}
		for len(w.net) > 0 {
			w.deliver()
		}
		for _, a := range w.agents {
			for range 4 {
				a.work(w.rng)
			}
			w.send(a)
		}
		for len(w.pending) > 0 {
			w.commit()
		}
	}
	for _, id := range w.s.active {
		r := w.s.Run(id)
		w.t.Errorf("run %d does not end: %s, %+v, %v", r.ID, r.Status(), r.Counts, r.WaitingFor(w.s))
	}
}

// checkPlaces: what has begun at agents and is under way on record never exceeds what
// the run may have under way.
func (w *simWorld) checkPlaces() {
	begun := map[uint64]uint32{}
	for _, a := range w.agents {
		for id, e := range a.entries {
			at := w.s.Attempts[id]
			if e.state != simIntent || at == nil || !e.begun() {
				continue
			}
			if at.Outcome == 0 {
				begun[at.Run]++
			}
			r := w.s.Run(at.Run)
			if _, most := r.Limits(); e.host != NoHost && r.AheadMax > 0 && a.under(e) > most {
				w.t.Errorf("%d steps of run %d are under way on %s", a.under(e), at.Run, a.name)
			}
		}
	}
	for run, n := range begun {
		if most, _ := w.s.Run(run).Limits(); n > most {
			w.t.Errorf("%d steps of run %d are under way, and it may have %d", n, run, most)
		}
	}
}

func (w *simWorld) check() {
	w.checkPlaces()
	if err := recount(w.s); err != nil {
		w.t.Error(err)
	}
	for _, r := range w.s.Runs {
		w.checkEffects(r)
	}
}

// checkEffects: a step that is done took effect once per job, where nobody's
// word or leave stands between.
func (w *simWorld) checkEffects(r *Run) {
	for i := range r.Tasks {
		task := uint32(i)
		if r.Graph.IsEngine(task) || r.Graph.Tasks[i].Idempotent {
			continue
		}
		for pos := range r.Graph.StepCount(task) {
			st := r.Step(task, pos)
			if st.Status != Done || st.Attempt == 0 || w.resolved(st.Attempt) {
				continue
			}
			for _, job := range jobsFor(r.Graph, task, st.Host, 0) {
				if n := w.effects[simJob{simStep{r.ID, task, st.Host}, job}]; n != 1 {
					w.t.Errorf("job %d of done task %d on host %d took effect %d times", job, task, st.Host, n)
				}
			}
		}
	}
}

// resolved reports whether an operator spoke on the attempt or one before it.
func (w *simWorld) resolved(id uint64) bool {
	for ; id != 0; id = w.s.Attempts[id].Supersedes {
		if w.s.Attempts[id].Resolved != "" {
			return true
		}
	}
	return false
}

// early counts the attempts whose success is on record before the end of one elsewhere
// that they waited for.
func (w *simWorld) early() (n int) {
	for _, a := range w.s.Attempts {
		for _, e := range w.s.ElsewhereOf(a) {
			if b := w.s.Attempts[e.Attempt]; a.Outcome == eventlog.Succeeded && (b.Outcome == 0 || a.EndedAt < b.EndedAt) {
				n++
			}
		}
	}
	return n
}

func (w *simWorld) final() {
	w.check()
	w.restart()
	if events := w.s.Decide(); len(events) > 0 && len(w.s.active) == 0 {
		w.t.Errorf("ended, and decides %d events", len(events))
	}
	for _, a := range w.s.Attempts {
		if a.Outcome != eventlog.NotStarted {
			continue
		}
		for job := range w.s.Run(a.Run).Graph.Tasks[a.Task].Jobs {
			ended := a.Jobs.has(job)
			if n := w.byAttempt[[2]uint64{a.ID, uint64(job)}]; n > 0 && !ended {
				w.t.Errorf("attempt %d is not started, and its job %d took effect", a.ID, job)
			}
		}
	}
}
