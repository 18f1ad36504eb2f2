package planner_test

import (
	"testing"

	"quorate/internal/conformance"
	"quorate/planner"
)

// TestJobs holds how a job's YAML becomes a parsed job.
func TestJobs(t *testing.T) {
	conformance.Case(t, conformance.Directord, "1", "12")
	o := compileGroups(t, `
- targets: [a]
  jobs:
    - {name: remember, RUN: echo hi, vars: {timeout: 30, skip_cache: yes}}
    - RUN: >-
        first
          second
    - run: false
    - RUN: 012
    - {RUN: x, name: 5, vars: ~, assign: ~}
`, planner.Options{})
	o.wantPlan(t, "play-1")
	jobs := o.task(t, "play-1").Jobs
	if j := jobs[0].Spec; j.Name != "remember" || j.Text != "echo hi" || j.TimeoutSeconds != 30 || !j.SkipCache || len(j.Fingerprint) != 56 {
		t.Errorf("the first job is %+v", j)
	}
	for i, want := range map[int]string{1: "first second", 2: "false", 3: "012"} {
		if got := jobs[i].Spec; got.Text != want || got.Verb != "RUN" {
			t.Errorf("job %d is %s %q, want RUN %q", i+1, got.Verb, got.Text, want)
		}
	}
	if jobs[4].Spec.Name != "5" || jobs[4].Source != (planner.Pos{File: "o.yaml", Line: 10, Column: 7}) {
		t.Errorf("the last job is %+v", jobs[4])
	}
}

func TestTaskKeys(t *testing.T) {
	o := compileFiles(t, deployment(map[string]string{"services/a.yaml": service("a",
		"id: t, driver: directord, action: init, idempotent: true, always: yes, keep-going: on, jobs: [], provides: [b, a, b]",
		"id: u, driver: service, jobs: [{echo: one}, {echo: 2}]",
		"id: v, driver: noop", "id: w, driver: ansible_runner, playbook: x, working_dir: y, runner_options: {a: 1}")}, "h1: a"), planner.Options{})
	o.wantPlan(t, "a-t a-u a-v a-w")
	task := o.task(t, "a-t")
	if !task.Idempotent || !task.Always || !task.KeepGoing || task.Action != "init" || len(task.Provides) != 2 || task.Service != "a" || task.Name != "t" {
		t.Errorf("the task is %+v", task)
	}
	if u := o.task(t, "a-u"); len(u.Messages) != 2 || u.Messages[1] != "2" || len(u.Jobs) != 0 || u.Idempotent || u.Always || u.KeepGoing {
		t.Errorf("the service task is %+v", u)
	}
	if w := o.task(t, "a-w"); w.Driver != planner.DriverAnsible || len(w.Jobs) != 0 {
		t.Errorf("the playbook is %+v", w)
	}
}

// TestScopes: waiting for all hosts is the rule of services; on one and the same
// host it comes to the same.
func TestScopes(t *testing.T) {
	files := map[string]string{
		"services/a.yaml": service("a", "id: t, driver: directord, jobs: [{RUN: x}], provides: [x]"),
		"services/b.yaml": service("b", "id: t, driver: directord, jobs: [{RUN: x}], requires: [x], provides: [y]", "id: u, driver: print, message: x, requires: [x]"),
	}
	for hosts, want := range map[[2]string]string{{"h1: a b", "h2:"}: "a-t@", {"h1: a b", "h2: a b"}: "a-t", {"h1: a", "h2: b"}: "a-t"} {
		o := compileFiles(t, deployment(files, hosts[0], hosts[1]), planner.Options{})
		if got := o.after(t, "b-t"); got != want {
			t.Errorf("%v: b-t waits for %q, want %q", hosts, got, want)
		}
		if got := o.after(t, "b-u"); got != "a-t" {
			t.Errorf("%v: b-u, which has no host of its own, waits for %q", hosts, got)
		}
	}
}
