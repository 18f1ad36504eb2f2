package planner_test

import (
	"fmt"
	"strings"
	"testing"

	"quorate/planner"
)

func narrowed(t *testing.T, opt planner.Options) outcome {
	t.Helper()
	return compileFiles(t, deployment(map[string]string{
		"services/a.yaml": service("a", "id: t, driver: directord, jobs: [{RUN: x}, {RUN: --run-once once}], provides: [a]"),
		"services/b.yaml": service("b", "id: t, driver: directord, jobs: [{RUN: y}], requires: [a], provides: [b]", "id: m, driver: print, message: x"),
		"services/c.yaml": service("c", "id: t, driver: directord, jobs: [{RUN: z}], requires: [b]"),
	}, "h1: a c", "h2: a b", "h3: a c"), opt)
}

func TestLimit(t *testing.T) {
	o := narrowed(t, planner.Options{Limit: []string{"h3"}})
	o.wantPlan(t, "a-t c-t")
	if got := o.after(t, "c-t"); got != "a-t@" {
		t.Errorf("c waits for %q, want a around the task that is left out", got)
	}
	if got := strings.Join(o.Hosts, " "); got != "h3" {
		t.Errorf("hosts are %s", got)
	}
	if jobs := o.task(t, "a-t").Jobs; len(jobs) != 1 || jobs[0].Spec.Text != "x" {
		t.Errorf("a has the jobs %v; the one that runs once on h1 is not h3's", jobs)
	}
	o.wantLines(t, warns, `limited-run-once: job 2 of task "a-t" runs once, on the host h1, and is left out`)
	o = narrowed(t, planner.Options{Limit: []string{"h2", "h1"}})
	o.wantPlan(t, "a-t b-m b-t c-t")
	if got := o.hosts(o.task(t, "a-t").HostSet); got != "h1 h2" {
		t.Errorf("a is on %s", got)
	}
	o = narrowed(t, planner.Options{Limit: []string{"h4", "h1"}})
	o.wantLines(t, errs, `unknown-host: there is no host "h4" to limit to (did you mean "h1"?)`)
}

func TestRestrict(t *testing.T) {
	o := narrowed(t, planner.Options{Restrict: []string{"c-t", "a-t"}})
	o.wantPlan(t, "a-t c-t")
	if got := o.after(t, "c-t"); got != "a-t" {
		t.Errorf("c waits for %q", got)
	}
	o = narrowed(t, planner.Options{Restrict: []string{"b"}})
	o.wantPlan(t, "b-m b-t")
	fingerprint := narrowed(t, planner.Options{}).task(t, "a-t").Jobs[1].Spec.Fingerprint
	o = narrowed(t, planner.Options{Restrict: []string{fingerprint, "b-m"}})
	o.wantPlan(t, "a-t b-m")
	a := o.task(t, "a-t")
	if len(a.Jobs) != 1 || a.Jobs[0].Spec.Index != 0 || a.Jobs[0].Spec.Fingerprint != fingerprint || o.hosts(a.HostSet) != "h1" {
		t.Errorf("a is %+v", a)
	}
	o = narrowed(t, planner.Options{Restrict: []string{"d-t", "b"}})
	o.wantLines(t, errs, `unknown-task: there is no task, service or job "d-t" to restrict to (did you mean "a-t"?)`)
	o = narrowed(t, planner.Options{Restrict: []string{"b"}, Limit: []string{"h1"}})
	o.wantPlan(t, "")
}

// TestRestrictKeepsHubs: where leaving a task out would join everything before
// it with everything behind it, it stays and does nothing.
func TestRestrictKeepsHubs(t *testing.T) {
	const wide = 50
	var before, behind, symbols []string
	for i := range wide {
		before = append(before, fmt.Sprintf("id: t%d, driver: noop, provides: [p%d]", i, i))
		behind = append(behind, fmt.Sprintf("id: t%d, driver: noop, requires: [hub]", i))
		symbols = append(symbols, fmt.Sprintf("p%d", i))
	}
	o := compileFiles(t, deployment(map[string]string{
		"services/1.yaml": service("before", before...), "services/2.yaml": service("behind", behind...),
		"services/3.yaml": service("hub", "id: t, driver: directord, jobs: [{RUN: x}], provides: [hub], requires: ["+strings.Join(symbols, ", ")+"]"),
	}, "h1: before behind hub"), planner.Options{Restrict: []string{"before", "behind"}})
	hub := o.task(t, "hub-t")
	if hub.Driver != planner.DriverNoop || len(hub.Jobs) != 0 || len(o.HostSets[hub.HostSet]) != 0 || len(hub.Requires) != wide {
		t.Errorf("the hub is %+v", hub)
	}
	if got := o.after(t, "behind-t7"); got != "hub-t" {
		t.Errorf("what was behind the hub waits for %s", got)
	}
	if _, err := planner.Decode(o.Encode()); err != nil {
		t.Error(err)
	}
}

func TestVars(t *testing.T) {
	o := narrowed(t, planner.Options{Vars: []jobOption{{Name: "b", Value: "1"}, {Name: "a", Value: "1"}, {Name: "b", Value: "2"}}})
	o.wantPlan(t, "a-t b-m b-t c-t")
	if got := fmt.Sprint(o.Vars); !strings.Contains(got, "a 1") || !strings.Contains(got, "b 2") || len(o.Vars) != 2 || o.Vars[0].Name != "a" {
		t.Errorf("vars are %s", got)
	}
}
