package model

import (
	"fmt"
	"math/rand/v2"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/planner"
)

// randomPlan is a small plan that has a bit of everything.
func randomPlan(rng *rand.Rand, id string, hosts int) *eventlog.PlanRecorded {
	p := &eventlog.PlanRecorded{PlanID: id}
	for h := range hosts {
		p.Hosts = append(p.Hosts, fmt.Sprintf("h%d", h))
	}
	for range 5 {
		set := []uint32{}
		for h := range uint32(hosts) {
			if rng.IntN(3) > 0 {
				set = append(set, h)
			}
		}
		p.HostSets = append(p.HostSets, set)
	}
	others := []planner.Driver{planner.DriverLocal, planner.DriverPrint, planner.DriverNoop, planner.DriverMissing}
	for i := range 1 + rng.IntN(10) {
		t := eventlog.PlanTask{
			ID: fmt.Sprintf("t%d", i), Driver: string(planner.DriverDirectord), HostSet: uint32(rng.IntN(len(p.HostSets))),
			Jobs: uint32(rng.IntN(5)), Idempotent: rng.IntN(3) == 0, KeepGoing: rng.IntN(4) == 0,
		}
		if rng.IntN(4) == 0 {
			t.Driver = string(others[rng.IntN(len(others))])
		}
		for j := uint32(0); rng.IntN(3) == 0 && j < t.Jobs; j++ {
			t.JobHostSets = append(t.JobHostSets, uint32(rng.IntN(len(p.HostSets))))
		}
		if len(t.JobHostSets) != int(t.Jobs) {
			t.JobHostSets = nil
		}
		for d := range uint32(i) {
			if rng.IntN(4) == 0 {
				t.Requires = append(t.Requires, eventlog.PlanDep{Task: d, Scope: uint8(rng.IntN(3))})
			}
		}
		p.Tasks = append(p.Tasks, t)
	}
	return p
}

// enlarge has the plan's steps take so much that few, or one, may be sent ahead.
func enlarge(p *eventlog.PlanRecorded) {
	for i := range p.Tasks {
		p.Tasks[i].Bytes = uint32(i%6) << 20
	}
}

// ready reports whether everything is done that the step requires.
func ready(r *engine.Run, task, host uint32) bool {
	g := r.Graph
	onHosts := func(t uint32) bool { return !g.IsEngine(t) && !g.IsLocal(t) }
	for _, d := range g.Tasks[task].Requires {
		whole := planner.Scope(d.Scope) == planner.ScopeAll || !onHosts(d.Task) || !onHosts(task)
		for pos, h := range hostsOf(g, d.Task) {
			s := r.Step(d.Task, pos).Status
			met := s == engine.Done || planner.Scope(d.Scope) == planner.ScopeAfterSameHost && s.Settled()
			if !met && (whole || h == host) {
				return false
			}
		}
	}
	return true
}
