package model

import (
	"maps"
	"slices"

	"quorate/engine"
	"quorate/eventlog"
)

// recover is all orchestrators lost but an earlier copy of the log, with which the
// cluster goes on. The agents go on with what the lost log gave them until they
// hear from this one.
func (w *sim) recover() {
	if w.recoveries++; w.recoveries > 2 || len(w.log) < 2 {
		return
	}
	w.seen["recoveries"]++
	kept := len(w.log)
	switch w.rng.IntN(3) {
	case 0: // the survivor had everything
	case 1:
		kept -= w.rng.IntN(min(kept-w.founded, 12) + 1)
	default:
		kept = w.founded + w.rng.IntN(kept-w.founded+1)
	}
	w.note("recovered to %d of %d", kept, len(w.log))
	for _, id := range slices.Sorted(maps.Keys(w.truth.Attempts)) {
		w.lost[id] = true
	}
	w.log, w.hashes, w.proposals, w.leader = w.log[:kept:kept], w.hashes[:kept:kept], nil, nil
	w.truth, w.done = engine.NewState(), map[string]bool{}
	for _, rec := range w.log {
		w.again(rec)
	}
	last := w.log[kept-1]
	w.head = eventlog.Head{Index: last.Index, Hash: last.Hash, Time: last.Time}
	for id := range w.truth.Attempts {
		delete(w.lost, id)
	}
	for _, a := range w.agents {
		if a.session != nil {
			a.session.over = true
			a.session = nil
		}
		a.greeted = false
	}
	for _, r := range w.replicas {
		r.cut = false
		r.start()
	}
	w.forget()
	w.must(&eventlog.ClusterRecovered{Replica: w.truth.NextReplica() + 100, Generation: uint64(1_800_000_000_000 + 1000*w.recoveries)})
	for _, a := range w.agents {
		if w.truth.Agents[a.id] == nil || w.truth.Agents[a.id].Revoked {
			w.stranger(a)
		}
	}
}

// again folds a record of the log that is left.
func (w *sim) again(rec eventlog.Record) {
	e, err := eventlog.Decode(rec.Kind, rec.Data)
	if err != nil {
		w.fail("record %d: %v", rec.Index, err)
		return
	}
	void, err := w.truth.Apply(rec, e)
	if err != nil {
		w.fail("record %d: %v", rec.Index, err)
	}
	switch e := e.(type) {
	case *eventlog.RunCreated:
		w.done[e.RequestID] = w.done[e.RequestID] || void == ""
	case *eventlog.RunCancelled:
		w.done[e.RequestID] = w.done[e.RequestID] || void == ""
	case *eventlog.StepResolved:
		w.done[e.RequestID] = w.done[e.RequestID] || void == ""
	}
}

// forget drops what was done in runs that are lost: their numbers are free again.
func (w *sim) forget() {
	runs := uint64(len(w.truth.Runs))
	maps.DeleteFunc(w.effects, func(j jobRef, _ int) bool { return j.run > runs })
	maps.DeleteFunc(w.words, func(s stepRef, _ int) bool { return s.run > runs })
	maps.DeleteFunc(w.blurred, func(b blur, _ bool) bool { return b.run > runs })
}

// stranger enrols a host anew whose agent the log does not know any more.
func (w *sim) stranger(a *agent) {
	if before := w.truth.AgentByName(a.name); before != nil {
		w.must(&eventlog.AgentRevoked{Agent: before.ID, By: "operator"})
	}
	a.procs = nil
	w.blurHost(a)
	w.enrol(a)
}

// A blur is a host in a run from before a recovery whose agent could not say what it
// had done: somebody looked, and what was done there may be done again.
type blur struct {
	run uint64
	at  int
}

func (w *sim) blurHost(a *agent) {
	for _, r := range w.truth.Runs {
		w.blurred[blur{r.ID, a.at}] = true
	}
}

// sharp reports whether effects on the host count for the run. What runs on any
// controller is not compared once there was a recovery.
func (w *sim) sharp(run uint64, host uint32) bool {
	if host == engine.NoHost {
		return w.recoveries == 0
	}
	return !w.blurred[blur{run, int(host)}]
}
