package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"quorate/eventlog"
	"quorate/planner"
)

// randomPlan makes a small plan that has a bit of everything.
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
	drivers := []planner.Driver{planner.DriverLocal, planner.DriverPrint, planner.DriverNoop, planner.DriverMissing}
	for i := range 1 + rng.IntN(12) {
		t := eventlog.PlanTask{
			ID:         fmt.Sprintf("t%d", i),
			Driver:     string(planner.DriverDirectord),
			HostSet:    uint32(rng.IntN(len(p.HostSets))),
			Jobs:       uint32(rng.IntN(4)),
			Idempotent: rng.IntN(3) == 0,
			KeepGoing:  rng.IntN(4) == 0,
		}
		if rng.IntN(4) == 0 {
			t.Driver = string(drivers[rng.IntN(len(drivers))])
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

// across makes most tasks of the plan wait for all of another one, which few hosts have.
func across(rng *rand.Rand, p *eventlog.PlanRecorded) {
	for h := range uint32(len(p.Hosts)) {
		p.HostSets = append(p.HostSets, []uint32{h})
	}
	single := len(p.HostSets) - len(p.Hosts)
	for i := range p.Tasks {
		t := &p.Tasks[i]
		t.Driver = string(planner.DriverDirectord)
		if rng.IntN(4) > 0 {
			t.HostSet = uint32(single + rng.IntN(len(p.Hosts)))
		}
		if i > 0 && rng.IntN(4) > 0 {
			t.Requires = []eventlog.PlanDep{{Task: uint32(rng.IntN(i)), Scope: uint8(planner.ScopeAll)}}
			if t.Requires[0].Task < uint32(i-1) && rng.IntN(3) == 0 {
				t.Requires = append(t.Requires, eventlog.PlanDep{Task: uint32(i - 1), Scope: uint8(rng.IntN(2))})
			}
		}
	}
}

// jobsFor are the jobs of the task on the host from a job on, as a gateway
// takes them from the plan.
func jobsFor(g *Graph, task, host, from uint32) (jobs []uint32) {
	t := &g.Tasks[task]
	for j := from; j < t.Jobs; j++ {
		if len(t.JobHostSets) == 0 || host == NoHost || slices.Contains(g.HostSets[t.JobHostSets[j]], host) {
			jobs = append(jobs, j)
		}
	}
	return jobs
}
