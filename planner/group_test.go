package planner_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quorate/internal/conformance"
	"quorate/planner"
)

// compileGroups compiles one orchestration file.
func compileGroups(t *testing.T, text string, opt planner.Options) outcome {
	t.Helper()
	dir := tree(t, map[string]string{"o.yaml": text})
	return compile(t, dir, planner.Sources{Orchestrations: []string{filepath.Join(dir, "o.yaml")}}, opt)
}

func TestGroupOrder(t *testing.T) {
	conformance.Case(t, conformance.Directord, "34")
	o := compileGroups(t, `
- {name: One, targets: [a, b], jobs: [{RUN: x}, {RUN: y}]}
- {targets: [b], jobs: [{RUN: x}]}
- {name: beside, targets: [a, b], async: true, jobs: [{RUN: x}]}
- {targets: [a, b, c], jobs: [{RUN: x}]}
- {name: "One", targets: [c], jobs: [{RUN: x}]}
- {name: "what ever/else", targets: [d], async: "off", jobs: []}
`, planner.Options{})
	o.wantPlan(t, "One beside what-ever-else play-2 play-4 One-2")
	for id, want := range map[string]string{
		"One": "", "beside": "", "play-2": "One~", "play-4": "One~ play-2~", "One-2": "play-4~", "what-ever-else": "",
	} {
		if got := o.after(t, id); got != want {
			t.Errorf("%s waits for %q, want %q", id, got, want)
		}
	}
	task := o.task(t, "One")
	if len(task.Jobs) != 2 || task.Jobs[1].Spec.Index != 1 || task.Driver != planner.DriverDirectord || task.Source.File != "o.yaml" || task.Source.Line != 2 {
		t.Errorf("the first task is %+v", task)
	}
}

// TestGroupOrderSkipsHosts: a host's queue goes on where groups in between have
// nothing for it.
func TestGroupOrderSkipsHosts(t *testing.T) {
	o := compileGroups(t, "- {name: all, targets: [a, b], jobs: [{RUN: x}]}\n- {name: only-a, targets: [a], jobs: [{RUN: x}]}\n- {name: only-b, targets: [b], jobs: [{RUN: x}]}\n", planner.Options{})
	if got := o.after(t, "only-b"); got != "all~" {
		t.Errorf("only-b waits for %q, want what came before on its host", got)
	}
}

// TestGroupOrderOnly: also on one host an orchestration needs no success of what
// came before it, and with one in between left out that is still so.
func TestGroupOrderOnly(t *testing.T) {
	const text = "- {name: one, targets: [a], jobs: [{RUN: x}]}\n- {name: two, targets: [a], jobs: [{RUN: x}]}\n- {name: three, targets: [a], jobs: [{RUN: x}]}\n"
	o := compileGroups(t, text, planner.Options{})
	o.wantPlan(t, "one two three")
	if two, three := o.after(t, "two"), o.after(t, "three"); two != "one~" || three != "two~" {
		t.Errorf("two waits for %q, three for %q, want an order only", two, three)
	}
	o = compileGroups(t, text, planner.Options{Restrict: []string{"one", "three"}})
	o.wantPlan(t, "one three")
	if got := o.after(t, "three"); got != "one~" {
		t.Errorf("three waits for %q where two is left out, want an order only", got)
	}
}

func TestGroupAsyncWords(t *testing.T) {
	conformance.Case(t, conformance.Directord, "11")
	for word, async := range map[string]bool{
		"true": true, "yes": true, `"on"`: true, `"1"`: true, "1": true, "2.5": true, "maybe": true, `"T"`: true,
		"false": false, `"off"`: false, `"N"`: false, "0": false, "0.0": false, `""`: false, "~": false,
	} {
		o := compileGroups(t, "- {name: one, targets: [a], jobs: [{RUN: x}]}\n- {name: two, async: "+word+", targets: [a], jobs: [{RUN: x}]}\n", planner.Options{})
		if got := o.after(t, "two") == ""; got != async {
			t.Errorf("async: %s is %v", word, got)
		}
	}
}

func TestGroupTargets(t *testing.T) {
	conformance.Case(t, conformance.Directord, "13", "15")
	const text = `
- {name: named, targets: [n2, n1, n2], jobs: [{RUN: x}, {RUN: --run-once x}, {RUN: x, assign: [n3]}, {RUN: x, assign: n3}]}
- {name: assigned, targets: [n2], assign: n1, jobs: [{RUN: x}]}
- {name: all, jobs: [{RUN: x}]}
`
	opt := planner.Options{Hosts: []string{"n1", "n2", "n3"}}
	check := func(opt planner.Options, want map[string]string) {
		t.Helper()
		o := compileGroups(t, text, opt)
		for id, hosts := range want {
			task := o.task(t, id)
			var got []string
			for _, j := range task.Jobs {
				got = append(got, o.hosts(j.HostSet))
			}
			if s := strings.Join(got, ", "); s != hosts {
				t.Errorf("the jobs of %s are on %s, want %s", id, s, hosts)
			}
		}
	}
	check(opt, map[string]string{"named": "n1 n2, n2, n3, n3", "assigned": "n1", "all": "n1 n2 n3"})
	opt.Targets = []string{"n3", "n2"}
	check(opt, map[string]string{"named": "n2 n3, n3, n3, n3", "assigned": "n2 n3", "all": "n2 n3"})
	opt.Targets = []string{"n4"}
	o := compileGroups(t, text, opt)
	o.wantLines(t, errs, `:0:0 unknown-target: the target "n4" is no known host (did you mean "n1"?)`)
}

func TestGroupUnknownTargets(t *testing.T) {
	conformance.Case(t, conformance.Directord, "14")
	opt := planner.Options{Hosts: []string{"n1", "n2"}}
	o := compileGroups(t, "- {name: some, targets: [n1, ghost], jobs: [{RUN: x}]}\n", opt)
	o.wantPlan(t, "some some-unknown-hosts")
	o.wantLines(t, warns, `o.yaml:1:30 unknown-target: orchestration "some" is for "ghost", which is no known host; it is left out there, and the run fails`)
	if absent := o.Tasks[1]; absent.Driver != planner.DriverMissing || !slices.Equal(absent.Messages, []string{"ghost is no known host"}) {
		t.Errorf("%+v", absent)
	}
	if got := strings.Join(o.Hosts, " "); got != "n1" {
		t.Errorf("the plan is for %s", got)
	}
	compileGroups(t, "- {name: some-unknown-hosts, jobs: [{RUN: x}]}\n- {name: some, targets: [n1, ghost], jobs: [{RUN: x}]}\n", opt).
		wantPlan(t, "some-unknown-hosts some-unknown-hosts-2 some")
	narrow := opt
	narrow.Restrict = []string{"some"}
	compileGroups(t, "- {name: some, targets: [n1, ghost], jobs: [{RUN: x}]}\n- {name: other, targets: [n1, gone], jobs: [{RUN: x}]}\n", narrow).wantPlan(t, "some some-unknown-hosts")
	narrow.Restrict, narrow.Limit = nil, []string{"n1"}
	compileGroups(t, "- {name: some, targets: [n1, ghost], jobs: [{RUN: x}]}\n", narrow).wantPlan(t, "some")
	o = compileGroups(t, "- {targets: [ghost], jobs: [{RUN: x}]}\n- {targets: [n1], jobs: [{RUN: x, assign: [n4]}]}\n", opt)
	o.wantLines(t, errs, `o.yaml:1:14 unknown-target: orchestration 1 is for "ghost", which is no known host`, `job 1 of task "play-2" is for "n4", which is no known host (did you mean "n1"?)`)
	o = compileGroups(t, "- {jobs: [{RUN: x}]}\n", planner.Options{Hosts: []string{"n1"}, Everywhere: []string{}})
	o.wantLines(t, errs, `o.yaml:1:3 no-targets: orchestration 1 is for every host, but no host is known`)
	o = compileGroups(t, "- {jobs: [{RUN: x}]}\n", planner.Options{})
	o.wantLines(t, errs, `o.yaml:1:3 no-targets: orchestration 1 is for every host, but no host is known`)
}

// TestGroupEverywhere: what is for every host leaves out those that are only
// known, and hosts that are not known can still be named.
func TestGroupEverywhere(t *testing.T) {
	const text = "- {jobs: [{RUN: x}]}\n- {targets: [aside], jobs: [{RUN: x}]}\n"
	for _, hosts := range [][]string{{"n1", "aside", "n2"}, nil} {
		o := compileGroups(t, text, planner.Options{Hosts: hosts, Everywhere: []string{"n1", "n2"}})
		o.wantPlan(t, "play-1 play-2")
		o.wantLines(t, warns)
		for id, want := range map[string]int{"play-1": 2, "play-2": 1} {
			if got := len(o.HostSets[o.task(t, id).HostSet]); got != want {
				t.Errorf("%s is for %d hosts of %q, want %d", id, got, o.Hosts, want)
			}
		}
	}
}

func TestGroupWithInventory(t *testing.T) {
	dir := tree(t, map[string]string{"o/1.yaml": "- {jobs: [{RUN: x}]}\n", "o/2.yaml": "- {targets: [b], jobs: [{run: x}]}\n", "i.yaml": "hosts:\n  b: {role: r}\n  a: {role: r}\n"})
	o := compile(t, dir, planner.Sources{Orchestrations: []string{filepath.Join(dir, "o")}, Inventory: filepath.Join(dir, "i.yaml")}, planner.Options{})
	o.wantPlan(t, "play-1 play-2")
	o.wantLines(t, warns)
	if got := strings.Join(o.Hosts, " "); got != "b a" || o.task(t, "play-2").Jobs[0].Spec.Verb != "RUN" {
		t.Errorf("hosts are %s", got)
	}
}

func TestGroupOnFailure(t *testing.T) {
	o := compileGroups(t, "- {targets: [a], on_failure: continue, jobs: []}\n- {targets: [a], on_failure: stop, jobs: []}\n- {targets: [a], on_failure: explode, jobs: []}\n", planner.Options{})
	if !o.task(t, "play-1").KeepGoing || o.task(t, "play-2").KeepGoing || o.task(t, "play-3").KeepGoing {
		t.Error("on_failure is not what it says")
	}
	o.wantLines(t, warns, `"on_failure" is "explode"`)
}

func TestGroupErrors(t *testing.T) {
	conformance.Case(t, conformance.Directord, "10")
	cases := []struct{ text, want string }{
		{"jobs: []\n", `o.yaml:1:1 wrong-type: an orchestration file must be a list, not a mapping (write a dash before it)`},
		{"~\n", `an orchestration file must be a list, not nothing`},
		{"", `an orchestration file is empty`},
		{"- x\n", `o.yaml:1:3 wrong-type: orchestration 1 must be a mapping, not text`},
		{"- {targets: [a]}\n", `o.yaml:1:3 missing-key: orchestration 1 has no "jobs"`},
		{"- {targets: [a], jobs: ~}\n", `orchestration 1: "jobs" must be a list, not nothing`},
		{"- {targets: {a: b}, jobs: []}\n", `orchestration 1: "targets" must be a list of texts, not a mapping`},
		{"- {targets: [a], jobs: [{RUN: x, assign: {a: b}}]}\n", `"assign" must be a list of texts, not a mapping`},
		{"- {targets: [a], jobs: [{}]}\n", `orchestration 1, job 1 has no verb`},
		{"- {target: [a], jobs: []}\n", `has the key "target", which means nothing (did you mean "targets"?)`},
	}
	for _, c := range cases {
		o := compileGroups(t, c.text, planner.Options{})
		if got := strings.Join(o.lines(errs), "\n"); !strings.Contains(got, c.want) || strings.Contains(got, "\n") {
			t.Errorf("%q:\n got %s\nwant %s", c.text, got, c.want)
		}
	}
}

func TestTexts(t *testing.T) {
	dir := tree(t, map[string]string{"f.txt": "hello"})
	text := planner.Text{Name: "command line", Content: []byte("- {targets: [a], jobs: [{ADD: f.txt /x}]}\n")}
	o := compile(t, dir, planner.Sources{Texts: []planner.Text{text}}, planner.Options{WorkDir: dir})
	o.wantPlan(t, "play-1")
	if files := o.task(t, "play-1").Jobs[0].Spec.Files; len(files) != 1 || files[0].Name != "f.txt" {
		t.Errorf("the job ships %v", files)
	}
}
