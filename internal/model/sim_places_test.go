package model

import (
	"testing"

	"quorate/engine"
)

// checkPlaces looks, when a job of the attempt begins, whether so much of its run is
// under way on the host as may be. What has waited for other hosts does not count.
func (w *sim) checkPlaces(a *agent, at *engine.Attempt) {
	r := w.truth.Run(at.Run)
	if r.AheadMax == 0 || at.Host == engine.NoHost || w.waited[at.ID] {
		return
	}
	if st := stepOf(w.truth, at); at.Outcome == 0 && st.Attempt == at.ID {
		for pos, host := range hostsOf(r.Graph, at.Task) {
			if host == at.Host && r.Queues(at.Task, pos) {
				w.seen["starts before a place is on record"]++
			}
		}
	}
	under := uint32(1)
	for _, id := range a.state.Open() {
		j, _ := a.state.Attempt(id)
		o := w.truth.Attempts[id]
		if id != at.ID && o != nil && o.Run == at.Run && o.Host == at.Host && !w.waited[id] && (j.Running || j.Ended > 0) {
			under++
		}
	}
	if _, most := r.Limits(); under > most {
		w.fail("%d steps of run %d are under way on %s, of which %d may be", under, r.ID, a.name, most)
	}
}

// checkRoom looks, when a job of the attempt begins, whether so much of its run is under
// way on all hosts, and on record, as may be. What comes behind a step that has waited
// for other hosts finds no room to inherit, and starts.
func (w *sim) checkRoom(at *engine.Attempt) {
	r := w.truth.Run(at.Run)
	if r.Asks {
		return
	}
	under := uint32(0)
	for _, a := range w.agents {
		for _, id := range a.state.Open() {
			j, _ := a.state.Attempt(id)
			o := w.truth.Attempts[id]
			begun := id == at.ID || j.Running || j.Ended > 0
			if o == nil || o.Run != at.Run || o.Outcome != 0 || w.waited[id] || !begun {
				continue
			}
			if under++; r.Deals() && id == at.ID {
				w.seen["starts in places that were dealt"]++
			}
		}
	}
	if most, _ := r.Limits(); under > most {
		w.fail("%d steps of run %d are under way, of which %d may be", under, r.ID, most)
	}
}

// asks reports whether a job of the plan asks other hosts.
func (w *sim) asks(plan string) bool {
	g := w.truth.Plans[plan]
	for task := range g.Tasks {
		for job := range g.Tasks[task].Jobs {
			if verbOf(plan, uint32(task), job) == verbQuery {
				return true
			}
		}
	}
	return false
}

// TestPlacesAreNeeded lets agents start whatever they were sent, as if they had been
// told of no places: that has to be noticed.
func TestPlacesAreNeeded(t *testing.T) {
	for seed := range uint64(100) {
		w := simulate(seed, func(w *sim) { w.placeless = true })
		if w.failure != nil {
			t.Logf("seed %d: %v", seed, w.failure)
			return
		}
	}
	t.Error("agents that keep no places were not noticed")
}

// TestDealtPlacesAreNeeded has agents told of the places that any host may have: that
// has to be noticed where the run has less than its hosts together.
func TestDealtPlacesAreNeeded(t *testing.T) {
	for seed := range uint64(300) {
		w := simulate(seed, func(w *sim) { w.untold = true })
		if w.failure != nil {
			t.Logf("seed %d: %v", seed, w.failure)
			return
		}
	}
	t.Error("agents that take more places than they were dealt were not noticed")
}
