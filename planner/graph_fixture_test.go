package planner

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"quorate/internal/job"
)

// graphPlan makes a plan of lines such as "web/start: web-install db-start*",
// in topological order; a star asks for the same host only, a tilde for no more
// than an order there.
func graphPlan(lines ...string) *Plan {
	p := &Plan{PlannerVersion: "test", Hosts: []string{"h1", "h2"}, HostSets: [][]uint32{{0, 1}, {1}}}
	position := map[string]uint32{}
	for i, line := range lines {
		head, requires, _ := strings.Cut(line, ":")
		service, name, _ := strings.Cut(head, "/")
		t := Task{
			ID: service + "-" + name, Service: service, Name: name, Driver: DriverDirectord,
			HostSet: uint32(i % 2), Provides: []string{service + "." + name},
			Jobs:   []Job{{Spec: job.Job{Verb: "RUN", Text: "true"}}},
			Source: Pos{File: service + ".yaml", Line: uint32(i + 1)},
		}
		for _, r := range strings.Fields(requires) {
			id, sameHost := strings.CutSuffix(r, "*")
			id, order := strings.CutSuffix(id, "~")
			at, ok := position[id]
			if !ok {
				panic("no task " + id)
			}
			d := Dep{Task: at}
			switch {
			case sameHost:
				d.Scope = ScopeSameHost
			case order:
				d.Scope = ScopeAfterSameHost
			}
			t.Requires = append(t.Requires, d)
			t.Symbols = append(t.Symbols, p.Tasks[at].Provides[0])
		}
		position[t.ID] = uint32(i)
		p.Tasks = append(p.Tasks, t)
	}
	return p
}

// randomPlan makes a plan with long and short edges and tasks without any.
func randomPlan(seed uint64, tasks int) *Plan {
	rng := rand.New(rand.NewPCG(seed, 1))
	p := &Plan{PlannerVersion: "test", Hosts: []string{"h1", "h2", "h3"}, HostSets: [][]uint32{{0, 1, 2}}}
	for i := range tasks {
		service := fmt.Sprintf("service-%d", i%max(1, tasks/5))
		t := Task{ID: fmt.Sprintf("%s-task-%d", service, i), Service: service, Name: fmt.Sprintf("task-%d", i), Driver: DriverDirectord}
		near := max(0, i-1-rng.IntN(12))
		for at := range i {
			if at == near && rng.IntN(10) > 0 || rng.IntN(tasks+20) == 0 {
				t.Requires = append(t.Requires, Dep{Task: uint32(at), Scope: Scope(rng.IntN(3))})
			}
		}
		p.Tasks = append(p.Tasks, t)
	}
	return p
}

// hostileNames is a plan whose names try to break out of every format.
func hostileNames() *Plan {
	p := graphPlan("a/b:", "c/d: a-b")
	names := []string{`"]; x -> y; "<script>&amp;]]>` + "\x00\x1b\n`", `\" tail\`}
	for i := range p.Tasks {
		p.Tasks[i].ID, p.Tasks[i].Name, p.Tasks[i].Service = names[i], names[i], names[i]
		p.Tasks[i].Provides = []string{names[i]}
	}
	return p
}
