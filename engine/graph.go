package engine

import (
	"fmt"
	"slices"

	"quorate/eventlog"
	"quorate/planner"
)

// An edge leads to another task of the graph. Unless all is set it joins steps
// on the same host only. One that is after takes any end of the provider for
// what it waits for, so that a failure does not go along it.
type edge struct {
	task  uint32
	all   bool
	after bool
}

// met reports whether a provider that is there lets the dependent go on.
func (e edge) met(provider TaskStatus) bool {
	return provider == Done || e.after && provider.Settled()
}

type taskNeeds struct {
	edges []edge // what it requires, ascending, each task once
	who   doer
}

// doer says who does a task.
type doer uint8

const (
	byHosts      doer = iota // the agents of its hosts
	byController             // the agent labelled controller
	byEngine                 // the engine records it
)

// newGraph derives what scheduling needs. It returns why the graph is not one.
func newGraph(p *eventlog.PlanRecorded, index uint64) (*Graph, string) {
	if why := checkGraph(p); why != "" {
		return nil, why
	}
	g := &Graph{
		PlanRecorded: *p,
		Index:        index,
		Dependents:   make([][]uint32, len(p.Tasks)),
		needs:        make([]taskNeeds, len(p.Tasks)),
		out:          make([][]edge, len(p.Tasks)),
	}
	used := make([]bool, len(p.Hosts))
	for i := range p.Tasks {
		g.addTask(uint32(i), used)
	}
	for h, ok := range used {
		if ok {
			g.used = append(g.used, uint32(h))
		}
	}
	g.findTells()
	return g, ""
}

func (g *Graph) addTask(i uint32, used []bool) {
	t := &g.Tasks[i]
	hosts := g.HostSets[t.HostSet]
	n := &g.needs[i]
	switch planner.Driver(t.Driver) {
	case planner.DriverPrint, planner.DriverService, planner.DriverNoop, planner.DriverMissing:
		n.who = byEngine
	case planner.DriverLocal:
		n.who = byController
		g.local = true
	case planner.DriverDirectord:
		if len(hosts) == 0 {
			n.who = byEngine // nothing to do, and the tasks behind it go on
		}
	default:
		if g.fault == "" {
			g.fault = fmt.Sprintf("task %s: driver %s cannot be executed", t.ID, t.Driver)
		}
	}
	if n.who == byHosts {
		for _, h := range hosts {
			used[h] = true
		}
	}
	g.steps += g.StepCount(i)
	for _, d := range t.Requires {
		// Where one side has no host of its own, "the same host" can only mean all.
		all := planner.Scope(d.Scope) == planner.ScopeAll ||
			n.who != byHosts || g.needs[d.Task].who != byHosts
		after := planner.Scope(d.Scope) == planner.ScopeAfterSameHost
		if k := len(n.edges) - 1; k >= 0 && n.edges[k].task == d.Task {
			n.edges[k].all = n.edges[k].all || all
			n.edges[k].after = n.edges[k].after && after
			continue
		}
		n.edges = append(n.edges, edge{d.Task, all, after})
	}
	for _, e := range n.edges {
		g.Dependents[e.task] = append(g.Dependents[e.task], i)
		g.out[e.task] = append(g.out[e.task], edge{i, e.all, e.after})
	}
}

// checkGraph keeps every later index in bounds: a plan on record comes from a
// client.
func checkGraph(p *eventlog.PlanRecorded) string {
	if p.PlanID == "" {
		return "plan without id"
	}
	for i, set := range p.HostSets {
		for k, h := range set {
			if int(h) >= len(p.Hosts) || k > 0 && set[k-1] >= h {
				return fmt.Sprintf("host set %d is not ascending positions of hosts", i)
			}
		}
	}
	for i := range p.Tasks {
		t := &p.Tasks[i]
		if int(t.HostSet) >= len(p.HostSets) {
			return fmt.Sprintf("task %s: no host set %d", t.ID, t.HostSet)
		}
		if n := len(t.JobHostSets); n > 0 && n != int(t.Jobs) {
			return fmt.Sprintf("task %s: host sets of %d jobs for %d jobs", t.ID, n, t.Jobs)
		}
		for _, set := range t.JobHostSets {
			if int(set) >= len(p.HostSets) {
				return fmt.Sprintf("task %s: no host set %d", t.ID, set)
			}
		}
		for k, d := range t.Requires {
			if int(d.Task) >= i || k > 0 && t.Requires[k-1].Task > d.Task {
				return fmt.Sprintf("task %s: what it requires is out of order", t.ID)
			}
			if planner.Scope(d.Scope) > planner.ScopeAfterSameHost {
				return fmt.Sprintf("task %s: unknown scope %d", t.ID, d.Scope)
			}
		}
	}
	return ""
}

// StepCount returns how many steps the task has: one where it has no host.
func (g *Graph) StepCount(task uint32) int {
	if g.needs[task].who != byHosts {
		return 1
	}
	return len(g.HostSets[g.Tasks[task].HostSet])
}

// isMissing reports whether the task stands for hosts that nobody knows.
func (g *Graph) isMissing(task uint32) bool {
	return planner.Driver(g.Tasks[task].Driver) == planner.DriverMissing
}

// IsEngine reports whether the engine records the task itself.
func (g *Graph) IsEngine(task uint32) bool { return g.needs[task].who == byEngine }

// IsLocal reports whether the task runs on the controller.
func (g *Graph) IsLocal(task uint32) bool { return g.needs[task].who == byController }

// HostName returns the host of a step for display: a name of the plan,
// "controller" for a local task's step and empty for an engine task's.
func (g *Graph) HostName(task, host uint32) string {
	switch {
	case int(host) < len(g.Hosts):
		return g.Hosts[host]
	case g.IsLocal(task):
		return ControllerLabel
	}
	return ""
}

func (g *Graph) hostAt(task uint32, pos int) uint32 {
	if g.needs[task].who != byHosts {
		return NoHost
	}
	return g.HostSets[g.Tasks[task].HostSet][pos]
}

// stepAt finds the task's step on the host.
func (g *Graph) stepAt(task, host uint32) (int, bool) {
	if g.needs[task].who != byHosts {
		return 0, host == NoHost
	}
	return slices.BinarySearch(g.HostSets[g.Tasks[task].HostSet], host)
}

// nextJob returns the first job for the host that is not below from, or the
// number of the task's jobs where there is none.
func (g *Graph) nextJob(task, host, from uint32) uint32 {
	t := &g.Tasks[task]
	if len(t.JobHostSets) == 0 || host == NoHost {
		return min(from, t.Jobs)
	}
	for ; from < t.Jobs; from++ {
		if _, ok := slices.BinarySearch(g.HostSets[t.JobHostSets[from]], host); ok {
			return from
		}
	}
	return t.Jobs
}
