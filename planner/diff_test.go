package planner_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"quorate/internal/job"
	"quorate/planner"
)

// lines writes a difference as one line per change.
func differences(d *planner.Difference) string {
	var out []string
	for _, v := range d.Vars {
		out = append(out, fmt.Sprintf("var %s: %s -> %s", v.Field, v.From, v.To))
	}
	for _, t := range d.Tasks {
		out = append(out, fmt.Sprintf("%s %s [%s]", t.Change, t.ID, strings.Join(t.Hosts, " ")))
		for _, f := range t.Fields {
			out = append(out, fmt.Sprintf("  %d %s %s: %q -> %q", f.Job, f.Verb, f.Field, f.From, f.To))
		}
	}
	out = append(out, "hosts "+strings.Join(d.Hosts, " "))
	return strings.Join(out, "\n")
}

func TestCompare(t *testing.T) {
	base := service("a",
		"id: one, driver: directord, provides: [x], jobs: [{RUN: first}, {RUN: '--timeout 5 second'}, {ECHO: third}]",
		"id: two, driver: print, message: hello, requires: [x]", "id: three, driver: print, message: m")
	tests := []struct {
		name, text string
		hosts      []string
		want       string
	}{
		{"nothing", base, nil, "hosts "},
		{"a comment and other lines", "# about\n\n" + base, nil, "hosts "},
		{"a job's text and its option", strings.Replace(base, "--timeout 5 second", "--timeout 6 --retry 2 other", 1), nil,
			"changed a-one [h1]\n  2 RUN text: \"second\" -> \"other\"\n  2 RUN timeout_seconds: \"5\" -> \"6\"\n  2 RUN --retry: \"\" -> \"2\"\nhosts h1"},
		{"a job more, in front", strings.Replace(base, "[{RUN: first}", "[{ECHO: zero}, {RUN: first}", 1), nil,
			"changed a-one [h1]\n  1 ECHO job added: \"\" -> \"zero\"\nhosts h1"},
		{"a job less", strings.Replace(base, "{RUN: first}, ", "", 1), nil,
			"changed a-one [h1]\n  1 RUN job removed: \"first\" -> \"\"\nhosts h1"},
		{"jobs in another order", strings.Replace(strings.Replace(strings.Replace(base, "{RUN: first}", "@", 1), "{ECHO: third}", "{RUN: first}", 1), "@", "{ECHO: third}", 1), nil,
			"changed a-one [h1]\n  1 RUN job removed: \"first\" -> \"\"\n  2 RUN job removed: \"second\" -> \"\"\n  2 RUN job added: \"\" -> \"second\"\n  3 RUN job added: \"\" -> \"first\"\nhosts h1"},
		{"another order of tasks", strings.Replace(base, "message: m", "message: m, requires: [x]", 1), nil,
			"reordered a-three [h1]\n  0  after: \"\" -> \"a-one\"\nhosts h1"},
		{"another task", strings.ReplaceAll(base, "id: three", "id: four"), nil, "removed a-three [h1]\nadded a-four [h1]\nhosts h1"},
		{"a message", strings.ReplaceAll(base, "hello", "bye"), nil, "changed a-two [h1]\n  0  messages: \"hello\" -> \"bye\"\nhosts h1"},
		{"a host more", base, []string{"h1: a", "h2: a"}, "changed a-one [h2]\n  0  hosts: \"\" -> \"h2\"\nchanged a-three [h2]\n  0  hosts: \"\" -> \"h2\"\nchanged a-two [h2]\n  0  hosts: \"\" -> \"h2\"\nhosts h2"},
		{"another host", base, []string{"h3: a"}, "changed a-one [h1 h3]\n  0  hosts: \"h1\" -> \"h3\"\nchanged a-three [h1 h3]\n  0  hosts: \"h1\" -> \"h3\"\nchanged a-two [h1 h3]\n  0  hosts: \"h1\" -> \"h3\"\nhosts h1 h3"},
	}
	from := compileFiles(t, deployment(map[string]string{"services/a.yaml": base}, "h1: a"), planner.Options{})
	from.wantPlan(t, "a-one a-three a-two")
	for _, tt := range tests {
		hosts := tt.hosts
		if hosts == nil {
			hosts = []string{"h1: a"}
		}
		to := compileFiles(t, deployment(map[string]string{"services/a.yaml": tt.text}, hosts...), planner.Options{})
		if to.Plan == nil {
			t.Fatalf("%s: no plan: %v", tt.name, to.lines(planner.Error))
		}
		d := planner.Compare(from.Plan, to.Plan)
		if got := differences(d); got != tt.want {
			t.Errorf("%s: the difference is\n%s\nwant\n%s", tt.name, got, tt.want)
		}
		if same := tt.want == "hosts "; d.Same() != same {
			t.Errorf("%s: same %v", tt.name, d.Same())
		}
	}
}

// TestCompareFiles: content that is shipped counts, and inputs and vars are named.
func TestCompareFiles(t *testing.T) {
	files := deployment(map[string]string{"services/a.yaml": service("a", "id: t, driver: directord, jobs: [{ADD: f /x}]"), "services/f": "one"}, "h1: a")
	dir := tree(t, files)
	from := compile(t, dir, sources(dir), planner.Options{})
	plant(t, dir, map[string]string{"services/f": "two"}, []string{"services/f"})
	d := planner.Compare(from.Plan, compile(t, dir, sources(dir), planner.Options{Vars: []job.Option{{Name: "a", Value: "1"}}}).Plan)
	if len(d.Inputs) != 1 || d.Inputs[0].Name != "f" || d.Inputs[0].Change != planner.DiffChanged || d.Inputs[0].Role != planner.RoleFile {
		t.Errorf("inputs: %+v", d.Inputs)
	}
	if got := differences(d); !strings.Contains(got, "1 ADD files: \"f ") || !strings.Contains(got, "var a:  -> 1") || !strings.HasSuffix(got, "hosts h1") {
		t.Error(got)
	}
	again := *from.Plan
	again.PlannerVersion = "0"
	if d := planner.Compare(&again, from.Plan); d.Planner == nil || d.Planner.From != "0" || !d.Same() {
		t.Errorf("another planner's version: %+v", d)
	}
}

// TestCompareLaws: a plan is the same as itself, and what one direction adds the other
// one removes.
func TestCompareLaws(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(label string) *planner.Plan {
			var tasks []string
			for i := range rapid.IntRange(1, 4).Draw(rt, label) {
				var jobs []string
				for range rapid.IntRange(1, 4).Draw(rt, "jobs") {
					jobs = append(jobs, rapid.SampledFrom([]string{"{RUN: a}", "{RUN: b}", "{ECHO: a}"}).Draw(rt, "job"))
				}
				tasks = append(tasks, fmt.Sprintf("id: t%d, driver: directord, provides: [p%d], jobs: [%s]", rapid.IntRange(0, 1).Draw(rt, "id")*4+i, i, strings.Join(jobs, ", ")))
			}
			files := deployment(map[string]string{"services/a.yaml": service("a", tasks...)}, rapid.SampledFrom([]string{"h1: a", "h2: a"}).Draw(rt, "host"))
			for name, text := range files {
				plant(t, dir, map[string]string{name: text}, []string{name})
			}
			o := compile(t, dir, planner.Sources{Services: filepath.Join(dir, "services"), Inventory: filepath.Join(dir, "inventory.yaml"), Roles: filepath.Join(dir, "roles.yaml")}, planner.Options{})
			if o.Plan == nil {
				rt.Fatal(o.diagnostics)
			}
			return o.Plan
		}
		a, b := draw("a"), draw("b")
		if d := planner.Compare(a, a); !d.Same() || len(d.Hosts) > 0 || len(d.Inputs) > 0 {
			rt.Fatalf("a plan and itself: %s", differences(d))
		}
		there, back := planner.Compare(a, b), planner.Compare(b, a)
		if there.Count(planner.DiffAdded) != back.Count(planner.DiffRemoved) || there.Count(planner.DiffChanged) != back.Count(planner.DiffChanged) ||
			strings.Join(there.Hosts, " ") != strings.Join(back.Hosts, " ") || there.Same() != back.Same() {
			rt.Fatalf("there:\n%s\nback:\n%s", differences(there), differences(back))
		}
	})
}
