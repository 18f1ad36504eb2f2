package planner_test

import (
	"fmt"
	"strings"
	"testing"

	"quorate/internal/conformance"
	"quorate/planner"
)

const (
	errs  = planner.Error
	warns = planner.Warning
)

// The tests named TestCase hold the conformance cases of the specification of
// Task-Core's behaviour, by number, as far as they are about planning.

func TestCase1(t *testing.T) {
	conformance.Case(t, conformance.TaskCore, "1")
	a := service("a", "id: t, driver: print, message: a, provides: [x]")
	b := service("b", "id: t, driver: print, message: b, requires: [x]")
	for _, names := range [][2]string{{"1.yaml", "2.yaml"}, {"2.yaml", "1.yaml"}, {"deep/er/x.yml", "a.yaml"}} {
		o := compileFiles(t, deployment(map[string]string{"services/" + names[0]: a, "services/" + names[1]: b}, "h1: a b"), planner.Options{})
		o.wantPlan(t, "a-t b-t")
		o.wantLines(t, warns)
		if got := o.after(t, "b-t"); got != "a-t" {
			t.Errorf("%v: b waits for %q", names, got)
		}
	}
}

func TestCase2(t *testing.T) {
	conformance.Case(t, conformance.TaskCore, "2")
	o := compileFiles(t, deployment(map[string]string{
		"services/a.yaml": service("a", "id: t, driver: print, message: a, provides: [node.init]"),
		"services/b.yaml": service("b", "id: t, driver: print, message: b, requires: [nope]", "id: u, driver: print, message: b, requires: [nod.init]"),
	}, "h1: a b"), planner.Options{})
	o.wantLines(t, errs,
		`services/b.yaml:5:51 missing-provider: task "b-t" requires "nope", which no task provides`,
		`task "b-u" requires "nod.init", which no task provides (did you mean "node.init"?)`)
}

func TestCase3(t *testing.T) {
	conformance.Case(t, conformance.TaskCore, "3")
	o := compileFiles(t, deployment(map[string]string{
		"services/a.yaml": service("a", "id: t, driver: print, message: a, provides: [x]"),
		"services/b.yaml": service("b", "id: t, driver: print, message: b, requires: [x]"),
	}, "h1: b"), planner.Options{})
	o.wantLines(t, errs, `task "b-t" requires "x", which no task provides (service "a" (services/a.yaml:5) would provide it, but no host has a role that lists it)`)
	o.wantLines(t, warns, `services/a.yaml:1:5 unused-service: service "a" is left out`)
}

func TestCase4(t *testing.T) {
	conformance.Case(t, conformance.TaskCore, "4")
	o := compileFiles(t, deployment(map[string]string{
		"services/a.yaml": service("a", "id: t, driver: print, message: a, provides: [x], needed-by: [y]"),
		"services/b.yaml": service("b", "id: t, driver: print, message: b, provides: [y]"),
	}, "h1: b a"), planner.Options{})
	o.wantPlan(t, "a-t b-t")
	if got := o.after(t, "b-t"); got != "a-t" {
		t.Errorf("b waits for %q", got)
	}
	if got := o.task(t, "b-t").Symbols; len(got) != 1 || got[0] != "x" {
		t.Errorf("b requires the symbols %v", got)
	}
}

func TestCase5(t *testing.T) {
	conformance.Case(t, conformance.TaskCore, "5")
	o := compileFiles(t, deployment(map[string]string{
		"services/a.yaml": service("a", "id: t, driver: print, message: a, provides: [x], needed-by: [y]"),
		"services/b.yaml": service("b", "id: t, driver: print, message: b, provides: [y]"),
	}, "h1: b"), planner.Options{})
	o.wantPlan(t, "b-t")
	if got := o.after(t, "b-t"); got != "" {
		t.Errorf("b waits for %q, whose service has no hosts", got)
	}
	// The other way round nothing is wrong either: what would wait is not there.
	o = compileFiles(t, deployment(map[string]string{
		"services/a.yaml": service("a", "id: t, driver: print, message: a, provides: [x], needed-by: [y]"),
		"services/b.yaml": service("b", "id: t, driver: print, message: b, provides: [y]"),
	}, "h1: a"), planner.Options{})
	o.wantPlan(t, "a-t")
	o.wantLines(t, warns, "unused-service")
}

func TestCase6(t *testing.T) {
	conformance.Case(t, conformance.TaskCore, "6")
	o := compileFiles(t, deployment(map[string]string{
		"services/a.yaml": service("a", "id: t, driver: print, message: a, provides: [x], needed-by: [yy, b.init]", "id: u, driver: print, message: a, needed-by: [x]"),
		"services/b.yaml": service("b", "id: t, driver: print, message: a, provides: [yyy]"),
	}, "h1: a b"), planner.Options{})
	o.wantPlan(t, "a-t a-u b-t")
	o.wantLines(t, warns,
		`needed-by-unknown: task "a-t" is needed by "yy", which no task provides (did you mean "yyy"?)`,
		`needed-by-unknown: task "a-t" is needed by "b.init"`,
		`needed-by-nothing: task "a-u" is needed by "x" but provides nothing`)
}

func TestCase7(t *testing.T) {
	conformance.Case(t, conformance.TaskCore, "7")
	bodies := []string{
		service("a", "id: t, driver: print, message: a, provides: [x]"),
		service("b", "id: t, driver: print, message: b, provides: [x]"),
		service("c", "id: t, driver: print, message: c, requires: [x]"),
	}
	var first string
	for _, p := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		files := map[string]string{}
		place := map[string]string{}
		for i, body := range bodies {
			name := fmt.Sprintf("services/%d.yaml", p[i])
			files[name] = body
			place[name] = string("abc"[i])
		}
		o := compileFiles(t, deployment(files, "h1: a b c"), planner.Options{})
		got := strings.Join(o.lines(errs), "\n")
		for name, id := range place {
			got = strings.ReplaceAll(got, name, "services/"+id)
		}
		if first == "" {
			first = got
			o.wantLines(t, errs, `duplicate-provider: "x" is provided by task "b-t" and by task "a-t" (services/0.yaml:5)`)
		}
		if got != first {
			t.Errorf("the error depends on the names of files:\n%s\n%s", first, got)
		}
		o = compileFiles(t, deployment(files, "h1: a c"), planner.Options{})
		o.wantPlan(t, "a-t c-t")
	}
}

func TestCase8(t *testing.T) {
	conformance.Case(t, conformance.TaskCore, "8")
	o := compileFiles(t, deployment(map[string]string{
		"services/a.yaml": service("a", "id: t, driver: print, message: a, requires: [y], provides: [x]", "id: behind, driver: print, message: a, requires: [x]"),
		"services/b.yaml": service("b", "id: t, driver: print, message: b, requires: [x], provides: [y]"),
	}, "h1: b a"), planner.Options{})
	o.wantLines(t, errs, `services/a.yaml:5:10 cycle: tasks wait for each other in a circle: a-t -> b-t -> a-t`+
		` ("a-t" (services/a.yaml:5) requires "y" of "b-t"; "b-t" (services/b.yaml:5) requires "x" of "a-t")`)
}

func TestCase9(t *testing.T) {
	conformance.Case(t, conformance.TaskCore, "9")
	o := compileFiles(t, deployment(map[string]string{
		"services/a.yaml": service("a", "id: t, driver: print, message: a, requires: [x], provides: [x]"),
	}, "h1: a"), planner.Options{})
	o.wantLines(t, errs, `cycle: task "a-t" waits for itself: it requires "x" of "a-t"`)
}

func TestCase10(t *testing.T) {
	conformance.Case(t, conformance.TaskCore, "10")
	o := compileFiles(t, deployment(map[string]string{
		"services/a.yaml": service("a", "id: t, driver: print, message: a, provides: [x, y]"),
		"services/b.yaml": service("b", "id: t, driver: print, message: b, requires: [y]"),
	}, "h1: a b"), planner.Options{})
	o.wantPlan(t, "a-t b-t")
	if got := o.after(t, "b-t"); got != "a-t" {
		t.Errorf("b waits for %q", got)
	}
}

func TestCase11(t *testing.T) {
	conformance.Case(t, conformance.TaskCore, "11")
	o := compileFiles(t, deployment(map[string]string{
		"services/a.yaml": service("a", "id: t, driver: print, message: a", "id: t, driver: print, message: b"),
	}, "h1: a"), planner.Options{})
	o.wantLines(t, errs, `services/a.yaml:6:10 duplicate-task: service "a" has a second task "t", the first is in line 5`)
	o = compileFiles(t, deployment(map[string]string{
		"services/a.yaml": service("a", "id: b-c, driver: print, message: a"),
		"services/b.yaml": service("a-b", "id: c, driver: print, message: b"),
	}, "h1: a a-b"), planner.Options{})
	o.wantLines(t, errs, `services/b.yaml:5:10 duplicate-task: the task "a-b-c" is also in services/a.yaml:5`)
}

func TestCase12(t *testing.T) {
	conformance.Case(t, conformance.TaskCore, "12")
	o := compileFiles(t, deployment(map[string]string{
		"services/a.yaml":   service("a", "id: t, driver: print, message: a, provides: [x]"),
		"services/b/a.yaml": service("a", "id: u, driver: print, message: b, provides: [y]"),
		"services/c.yaml":   service("c", "id: u, driver: print, message: b, requires: [y]"),
	}, "h1: a c"), planner.Options{})
	o.wantLines(t, errs, `services/b/a.yaml:1:5 duplicate-service: service "a" is also in services/a.yaml:1`)
}

func TestCase13(t *testing.T) {
	conformance.Case(t, conformance.TaskCore, "13")
	o := compileFiles(t, deployment(map[string]string{
		"services/a.yaml": service("a", `id: t, driver: local, command: " exit 3\n", returncodes: [3, 0, 3], quiet: yes`,
			"id: u, driver: local, command: x --retry 3 y, returncodes: 0", "id: v, driver: local, command: y"),
	}, "h1: a"), planner.Options{})
	o.wantPlan(t, "a-t a-u a-v")
	for id, want := range map[string]string{"a-t": "RUN exit 3 [0 3]", "a-u": "RUN x --retry 3 y [0]", "a-v": "RUN y []"} {
		task := o.task(t, id)
		if len(task.Jobs) != 1 || task.Driver != planner.DriverLocal {
			t.Fatalf("%s: driver %s with %d jobs", id, task.Driver, len(task.Jobs))
		}
		j := task.Jobs[0].Spec
		if got := fmt.Sprint(j.Verb, " ", j.Text, " ", j.SuccessExits); got != want || !j.SkipCache {
			t.Errorf("%s is %s (skips cache: %v), want %s", id, got, j.SkipCache, want)
		}
	}
}

func TestCase15(t *testing.T) {
	conformance.Case(t, conformance.TaskCore, "15")
	files := deployment(map[string]string{"services/web.yaml": service("web", "id: t, driver: noop")}, "h1: web wev")
	o := compileFiles(t, files, planner.Options{})
	o.wantLines(t, errs, `roles.yaml:1:27 unknown-service: role "role-h1" lists the service "wev", which no file defines (did you mean "web"?)`)
	files["roles.yaml"] = "role-h1: {services: [web]}\nspare: {services: [nothing]}\n"
	o = compileFiles(t, files, planner.Options{})
	o.wantPlan(t, "web-t")
	o.wantLines(t, warns, `roles.yaml:2:1 unused-role: role "spare" is of no host`)
	files["inventory.yaml"] = "hosts:\n  h1: {role: rol-h1}\n  h2: {role: rol-h1}\n  h3: {role: spare}\n"
	files["roles.yaml"] = "role-h1: {services: [web]}\nspare: {services: []}\n"
	o = compileFiles(t, files, planner.Options{})
	o.wantLines(t, errs, `inventory.yaml:2:14 unknown-role: role "rol-h1" of host "h1" and of 1 more host is not in the roles (did you mean "role-h1"?)`)
}

func TestCase16(t *testing.T) {
	conformance.Case(t, conformance.TaskCore, "16")
	files := deployment(map[string]string{"services/a.yaml": service("a", "id: t, driver: noop")}, "h1: a")
	files["inventory.yaml"] = "hosts:\n  Edge_1: {role: role-h1}\n  h1: {role: role-h1}\n"
	o := compileFiles(t, files, planner.Options{})
	o.wantLines(t, errs, `inventory.yaml:2:3 bad-value: hosts.Edge_1: "Edge_1" cannot be the name of a host (use lower-case letters, digits, dots and dashes)`)
}

func TestCase17(t *testing.T) {
	conformance.Case(t, conformance.TaskCore, "17")
	for version, ok := range map[string]bool{"1.0": true, `"1.0"`: true, "3": true, "1.2.3": true, ".": false, "1..2": false, "v1": false, "[1]": false, "yes": false} {
		body := strings.Replace(service("a", "id: t, driver: noop"), "version: 1.0.0", "version: "+version, 1)
		o := compileFiles(t, deployment(map[string]string{"services/a.yaml": body}, "h1: a"), planner.Options{})
		if (o.Plan != nil) != ok {
			t.Errorf("version %s: %q", version, o.lines(errs))
		}
	}
}

func TestCase18(t *testing.T) {
	conformance.Case(t, conformance.TaskCore, "18")
	files := map[string]string{"services/a.yaml": service("a",
		"id: p, driver: print, message: hello",
		"id: d, driver: directord, jobs: [{RUN: hostname}, {RUN: --run-once only}, {RUN: apart, assign: [h3, h2, h3]}, {RUN: --run-once apart, assign: [h3, h2]}]")}
	o := compileFiles(t, deployment(files, "h2: a", "h3:", "h1: a"), planner.Options{})
	o.wantPlan(t, "a-d a-p")
	o.wantLines(t, warns, "assign-escapes: job 3 of task \"a-d\" is assigned to h3", "assign-escapes: job 4")
	if p := o.task(t, "a-p"); p.Driver != planner.DriverPrint || len(p.Messages) != 1 || p.Messages[0] != "hello" || o.hosts(p.HostSet) != "h2 h1" {
		t.Errorf("the print task is %+v", p)
	}
	d := o.task(t, "a-d")
	if got := o.hosts(d.HostSet); got != "h2 h3 h1" {
		t.Errorf("the task is on %s, want the hosts of all its jobs in the order of the inventory", got)
	}
	for i, want := range []string{"h2 h1", "h2", "h2 h3", "h3"} {
		if got := o.hosts(d.Jobs[i].HostSet); got != want || d.Jobs[i].Spec.Index != uint32(i) {
			t.Errorf("job %d (index %d) is on %s, want %s", i, d.Jobs[i].Spec.Index, got, want)
		}
	}
}

func TestCase20(t *testing.T) {
	conformance.Case(t, conformance.TaskCore, "20")
	o := compileFiles(t, deployment(map[string]string{
		"services/a.yaml":              service("a", "id: t, driver: noop"),
		"services/files/data.yaml":     "- any\n- thing\n",
		"services/files/multi.yaml":    "a: 1\n---\nb: 2\n",
		"services/files/template.yml":  "{% for x in y %}\nid: 1\n",
		"services/files/id-only.yaml":  "id: x\n",
		"services/files/empty.yaml":    "",
		"services/.hidden/broken.yaml": "[",
		"services/readme.md":           "x",
	}, "h1: a"), planner.Options{})
	o.wantPlan(t, "a-t")
	o.wantLines(t, warns, "services/files/data.yaml:0:0 not-a-service", "services/files/empty.yaml", "services/files/id-only.yaml", "services/files/multi.yaml", "services/files/template.yml")
	if len(o.Inputs) != 3 {
		t.Errorf("the plan names %d inputs, want the service, the inventory and the roles: %v", len(o.Inputs), o.Inputs)
	}
}

func TestCase21(t *testing.T) {
	conformance.Case(t, conformance.TaskCore, "21")
	files := map[string]string{"services/user.yaml": service("user", "id: t, driver: noop, requires: [config.init]")}
	for _, n := range []string{"basic", "two", "four"} {
		files["services/"+n+".yaml"] = service(n, "id: init, driver: noop, provides: [config.init]")
	}
	o := compileFiles(t, deployment(files, "h1: user two"), planner.Options{})
	o.wantPlan(t, "two-init user-t")
}
