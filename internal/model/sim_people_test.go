package model

import (
	"fmt"
	"maps"
	"slices"

	"quorate/engine"
	"quorate/eventlog"
)

// people are operators. Each asks under a request id, through any orchestrator, and
// again through another one where no answer comes.
func (w *sim) people(n int, a *agent) {
	switch {
	case n < 8:
		w.startRun()
	case n < 10:
		if runs := len(w.truth.Runs); runs > 0 {
			w.ask(&eventlog.RunCancelled{Run: 1 + w.rng.Uint64N(uint64(runs)), RequestID: w.requestID()})
		}
	case n < 16:
		w.resolve(false)
	case n < 18:
		if open := w.truth.Agents[a.id].Open; len(open) > 0 {
			w.ask(&eventlog.AttemptEnded{
				Attempt: open[w.rng.IntN(len(open))], Outcome: eventlog.Unknown, Reason: "no word", By: "operator",
			})
		}
	case n < 19:
		w.damp(a)
	default:
		w.replace(a)
	}
}

// drain drains the agent, or gives it steps again.
func (w *sim) drain(a *agent) {
	if w.truth.Agents[a.id].Drained() {
		w.ask(&eventlog.AgentUndrained{Agent: a.id, By: "operator", RequestID: w.requestID()})
		return
	}
	w.ask(&eventlog.AgentDrained{Agent: a.id, By: "operator", RequestID: w.requestID()})
}

// damp changes what agents that flap are given, or forgives one.
func (w *sim) damp(a *agent) {
	if w.rng.IntN(4) == 0 {
		w.drain(a)
		return
	}
	if w.rng.IntN(3) == 0 {
		w.ask(&eventlog.AgentCalmed{Agent: a.id, By: "operator", RequestID: w.requestID()})
		return
	}
	works := []string{engine.WorkHeld, engine.WorkHeld, engine.WorkLast, engine.WorkNormal}
	w.ask(&eventlog.DampingSet{Work: works[w.rng.IntN(len(works))], Threshold: 2 + w.rng.Uint32N(4), By: "operator", RequestID: w.requestID()})
}

func (w *sim) requestID() string {
	w.request++
	return fmt.Sprint("request ", w.request)
}

// ask sends a command to one orchestrator, perhaps to two.
func (w *sim) ask(e eventlog.Event) {
	for range 1 + w.rng.IntN(2) {
		if r := w.replicas[w.rng.IntN(len(w.replicas))]; r.up && !r.paused {
			r.propose(nil, e)
		}
	}
}

func (w *sim) startRun() {
	under := 0
	for _, r := range w.truth.Runs {
		if r.Outcome == 0 {
			under++
		}
	}
	runs := 6
	if w.backups {
		runs = 40 // they are cancelled
	}
	if under > 1 || len(w.truth.Runs) > runs {
		return
	}
	plan := fmt.Sprintf("plan-%d", w.rng.IntN(w.plans))
	w.ask(&eventlog.RunCreated{
		PlanID: plan, RequestID: w.requestID(), Lines: w.rng.IntN(4) > 0, Asks: w.asks(plan),
		StepsMax: uint32(w.rng.IntN(6)), StepsPerHostMax: uint32(w.rng.IntN(3)), FailFast: w.rng.IntN(3) == 0, Check: w.rng.IntN(8) == 0,
		AheadMax: w.ahead(),
	})
}

// resolve decides on a step that waits; one who is not careful, on anything.
func (w *sim) resolve(careful bool) {
	ids := slices.Sorted(maps.Keys(w.truth.Attempts))
	if careful {
		ids = slices.DeleteFunc(ids, func(id uint64) bool {
			at := w.truth.Attempts[id]
			st := stepOf(w.truth, at)
			return st.Attempt != id || st.Status != engine.Waiting
		})
	}
	if len(ids) == 0 {
		return
	}
	w.ask(&eventlog.StepResolved{
		Attempt: ids[w.rng.IntN(len(ids))], As: []string{"retry", "succeeded", "failed"}[w.rng.IntN(3)], By: "operator",
		Reason: "looked", RequestID: w.requestID(),
	})
}

// replace revokes an agent in quarantine and enrols its host anew. What ran on the
// host is gone by then.
func (w *sim) replace(a *agent) {
	rec := w.truth.Agents[a.id]
	if rec.Quarantined == "" {
		return
	}
	w.must(&eventlog.AgentRevoked{Agent: a.id, By: "operator"})
	if !w.deaf { // then it has said so
		a.silence()
	}
	a.procs = nil
	w.enrol(a)
}

func stepOf(s *engine.State, at *engine.Attempt) engine.Step {
	r := s.Run(at.Run)
	pos, _ := slices.BinarySearch(hostsOf(r.Graph, at.Task), at.Host)
	return r.Step(at.Task, pos)
}

// hostsOf are the hosts of the task's steps.
func hostsOf(g *engine.Graph, task uint32) []uint32 {
	if g.IsEngine(task) || g.IsLocal(task) {
		return []uint32{engine.NoHost}
	}
	return g.HostSets[g.Tasks[task].HostSet]
}

// ahead is how much a run has agents sent ahead, at a site mostly.
func (w *sim) ahead() uint32 {
	if n := w.rng.IntN(4); (w.site != nil || w.backups) && n > 0 {
		return 20
	}
	return uint32(w.rng.IntN(2) * w.rng.IntN(20))
}
