package planner_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"quorate/internal/job"
	"quorate/nodeagent/verb"
	"quorate/planner"
)

// A told is what is on record of a task: by default that run 1 of the old plan did it
// with success on all of its hosts.
type told struct {
	run     uint64
	status  string
	changed bool
	hosts   []string // nil is all that the task had in the plan
	plan    *planner.Plan
}

// recorded is the history of a plan's tasks after an earlier one has run.
func recorded(now, old *planner.Plan, other map[string]told) [][]planner.Past {
	hosts := map[string]uint32{}
	for i, h := range now.Hosts {
		hosts[h] = uint32(i)
	}
	view := planner.View(old, nil, nil)
	had := map[string][]string{}
	for _, t := range view.Tasks {
		had[t.ID] = t.Hosts
	}
	out := make([][]planner.Past, len(now.Tasks))
	for i := range now.Tasks {
		id := now.Tasks[i].ID
		is, said := other[id]
		if _, there := had[id]; !there && !said {
			continue
		}
		if !said {
			is = told{run: 1, status: planner.Succeeded, plan: old}
		}
		past := planner.Past{Run: is.run, Status: is.status, Changed: is.changed, Plan: is.plan}
		if now.Tasks[i].Driver == planner.DriverDirectord {
			past.Hosts = []uint32{}
			names := is.hosts
			if names == nil {
				names = had[id]
			}
			for _, h := range names {
				if at, there := hosts[h]; there {
					past.Hosts = append(past.Hosts, at)
				}
			}
			slices.Sort(past.Hosts)
		}
		out[i] = []planner.Past{past}
	}
	return out
}

// predicted writes a verdict per line, of the tasks that would run or say more than
// that they are as they were.
func predicted(t *testing.T, now, old outcome, other map[string]told) string {
	t.Helper()
	content := map[string][]byte{}
	for _, b := range slices.Concat(now.inputs.Blobs(), old.inputs.Blobs()) {
		data := b.Content
		if b.Path != "" {
			data, _ = os.ReadFile(b.Path)
		}
		content[b.Digest] = data
	}
	h := &planner.History{Tasks: recorded(now.Plan, old.Plan, other), Verbs: verb.Lookup, Content: func(digest string) ([]byte, error) {
		if data, there := content[digest]; there {
			return data, nil
		}
		return nil, errors.New("not here")
	}}
	var lines []string
	for i, v := range now.Predict(h) {
		if v.Action == planner.ActionUnchanged && v.Reason == "as run 1 left it" {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s %s: %s", now.Tasks[i].ID, v.Action, v.Reason))
		if view := planner.View(now.Plan, nil, now.Predict(h)); v.Action == planner.ActionRun && !slices.Equal(view.Tasks[i].RunsOn, v.Hosts) {
			t.Errorf("the document says that %s runs on %v, not %v", now.Tasks[i].ID, view.Tasks[i].RunsOn, v.Hosts)
		}
	}
	return strings.Join(lines, "\n")
}

// web is a deployment of a file, a restart behind it, what depends on that, and others.
func web() map[string]string {
	return map[string]string{
		"services/conf.txt": "one", "services/site.j2": "at {{ address }}", "services/options.yaml": "port: 80\naddress: here\nlist: [1, 2]\n",
		"services/a.yaml": service("a",
			"id: options, driver: directord, provides: [options], jobs: [{ADD: options.yaml /var/tmp/options.yaml}, {CACHEFILE: /var/tmp/options.yaml}]",
			"id: conf, driver: directord, provides: [conf], requires: [options], jobs: [{ADD: conf.txt /etc/web.conf}]",
			"id: start, driver: directord, provides: [start], requires: [conf], jobs: [{RUN: restart web}]",
			"id: check, driver: directord, requires: [start], jobs: [{RUN: curl web}]",
			"id: listen, driver: directord, requires: [options], jobs: [{RUN: listen}, {RUN: 'open {{ port }}'}]",
			"id: site, driver: directord, requires: [options], jobs: [{ADD: --blueprint site.j2 /etc/site}]",
			"id: say, driver: print, message: done, requires: [start]"),
		"services/b.yaml": service("b", "id: probe, driver: directord, requires: [conf], jobs: [{RUN: probe}]"),
	}
}

func edited(files map[string]string, edits ...string) map[string]string {
	out := maps.Clone(files)
	for i := 0; i < len(edits); i += 3 {
		if edits[i+1] == "" {
			out[edits[i]] = edits[i+2]
			continue
		}
		out[edits[i]] = strings.Replace(out[edits[i]], edits[i+1], edits[i+2], 1)
	}
	return out
}

func TestPredict(t *testing.T) {
	hosts := []string{"h1: a", "h2: a", "h9: b"}
	base := compileFiles(t, deployment(web(), hosts...), planner.Options{Verbs: verb.Lookup})
	done := func(run uint64, status string, changed bool, hosts ...string) told {
		return told{run: run, status: status, changed: changed, hosts: hosts, plan: base.Plan}
	}
	tests := []struct {
		name  string
		files map[string]string
		hosts []string
		opt   planner.Options
		past  map[string]told
		want  string
	}{
		{name: "nothing", files: web()},
		{
			name: "a shipped file", files: edited(web(), "services/conf.txt", "one", "two"),
			want: "a-conf run: changed: job 1 ADD\na-start run: requires a-conf, which runs\nb-probe run: requires a-conf, which runs\n" +
				"a-check unchanged: as run 1 left it, unless a-start ends otherwise than before",
		},
		{
			name: "a command", files: edited(web(), "services/a.yaml", "restart web", "restart web now"),
			want: "a-start run: changed: job 1 RUN\na-check run: requires a-start, which runs",
		},
		{
			name: "the second job", files: edited(web(), "services/a.yaml", "open {{ port }}", "close {{ port }}"),
			want: "a-listen run: changed: job 2 RUN",
		},
		{
			name: "a value that is loaded", files: edited(web(), "services/options.yaml", "port: 80", "port: 81"),
			want: "a-options run: changed: job 1 ADD\na-listen run: job 2 RUN uses port, which changed",
		},
		{
			name: "a value in a template", files: edited(web(), "services/options.yaml", "here", "there"),
			want: "a-options run: changed: job 1 ADD\na-site run: job 1 ADD uses address, which changed",
		},
		{
			name: "a value that nobody uses", files: edited(web(), "services/options.yaml", "[1, 2]", "[1, 3]"),
			want: "a-options run: changed: job 1 ADD",
		},
		{
			name: "a var", files: web(), opt: planner.Options{Vars: []job.Option{{Name: "port", Value: "82"}}},
			want: "a-listen run: job 2 RUN uses port, which changed",
		},
		{
			name: "a host more", files: web(), hosts: []string{"h1: a", "h2: a", "h3: a", "h9: b"},
			want: "a-options run: host h3 is new\na-conf run: host h3 is new\na-listen run: host h3 is new\na-site run: host h3 is new\n" +
				"a-start run: host h3 is new\nb-probe run: requires a-conf, which runs\na-check run: host h3 is new",
		},
		{
			name: "a host less", files: web(), hosts: []string{"h1: a", "h9: b"},
			want: "b-probe run: requires a-conf, which changed in run 1",
		},
		{
			name: "a task more", files: edited(web(), "services/b.yaml", "", service("b", "id: probe, driver: directord, requires: [conf, extra], jobs: [{RUN: probe}]", "id: extra, driver: directord, provides: [extra], jobs: [{RUN: extra}]")),
			want: "b-extra run: new\nb-probe run: requires b-extra, which runs",
		},
		{
			name: "a requirement more", files: edited(web(), "services/a.yaml", "id: listen, driver: directord, requires: [options]", "id: listen, driver: directord, requires: [options, start]"),
			want: "a-listen run: now requires a-start",
		},
		{
			name: "a message", files: edited(web(), "services/a.yaml", "message: done", "message: it is done"),
			want: "a-say run: changed: its message",
		},
		{
			name: "always", files: edited(web(), "services/a.yaml", "id: check,", "id: check, always: true,"),
			want: "a-check run: always",
		},
		{
			name: "a job that is always run", files: edited(web(), "services/a.yaml", "RUN: curl web", "RUN: --skip-cache curl web"),
			want: "a-check run: always: job 1 RUN",
		},
		{
			name: "a failure", files: web(), past: map[string]told{"a-start": done(2, "failed", false)},
			want: "a-start run: failed in run 2\na-check unchanged: as run 1 left it, unless a-start ends otherwise than before",
		},
		{
			name: "a failure on one host", files: web(), past: map[string]told{"a-conf": done(2, "failed", false, "h2")},
			want: "a-conf run: new on h1; failed in run 2 on h2\n" +
				"a-start unchanged: as run 1 left it, unless a-conf ends otherwise than before\nb-probe unchanged: as run 1 left it, unless a-conf ends otherwise than before",
		},
		{
			name: "a run of one task that changed something", files: web(), past: map[string]told{"a-conf": done(2, planner.Succeeded, true, "h1", "h2")},
			want: "a-conf unchanged: as run 2 left it\na-start run: requires a-conf, which changed in run 2\nb-probe run: requires a-conf, which changed in run 2\n" +
				"a-check unchanged: as run 1 left it, unless a-start ends otherwise than before",
		},
		{
			name: "a run of one task that changed nothing", files: web(), past: map[string]told{"a-conf": done(2, planner.Succeeded, false, "h1", "h2")},
			want: "a-conf unchanged: as run 2 left it",
		},
		{
			name: "a plan that is lost", files: web(), past: map[string]told{"a-check": {run: 1, status: planner.Succeeded}},
			want: "a-check run: the plan of run 1 cannot be read",
		},
		{
			name: "a cache that is emptied", files: edited(web(), "services/a.yaml", "{RUN: restart web}", "{RUN: restart web}, {CACHEEVICT: jobs}"),
			want: "a-start run: changed: job 2 CACHEEVICT\na-check run: behind a-start, which makes agents forget",
		},
		{
			name: "limited", files: web(), opt: planner.Options{Limit: []string{"h1"}},
		},
		{
			name: "limited, to some hosts of a task that is required elsewhere", files: web(), opt: planner.Options{Limit: []string{"h1", "h9"}},
		},
		{
			name: "restricted", files: edited(web(), "services/conf.txt", "one", "two"), opt: planner.Options{Restrict: []string{"a-start"}},
		},
	}
	for _, tt := range tests {
		on := tt.hosts
		if on == nil {
			on = hosts
		}
		tt.opt.Verbs = verb.Lookup
		now := compileFiles(t, deployment(tt.files, on...), tt.opt)
		if now.Plan == nil {
			t.Fatalf("%s: %v, %v", tt.name, base.lines(planner.Error), now.lines(planner.Error))
		}
		if got := predicted(t, now, base, tt.past); got != tt.want {
			t.Errorf("%s: predicted is\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
}

// A task that is only recorded passes on what it follows from.
func TestPredictRecorded(t *testing.T) {
	files := map[string]string{
		"services/a.yaml": service("a", "id: t, driver: directord, provides: [x], jobs: [{RUN: one}]", "id: say, driver: print, message: m, requires: [x], provides: [said]"),
		"services/b.yaml": service("b", "id: u, driver: directord, requires: [said], jobs: [{RUN: two}]"),
	}
	base := compileFiles(t, deployment(files, "h1: a", "h2: b"), planner.Options{Verbs: verb.Lookup})
	for _, tt := range []struct{ name, file, old, new, want string }{
		{"nothing", "services/a.yaml", "one", "one", ""},
		{"a command before it", "services/a.yaml", "one", "other", "a-t run: changed: job 1 RUN\nb-u run: requires a-t, which runs"},
		{"its message", "services/a.yaml", "message: m", "message: n", "a-say run: changed: its message"},
	} {
		now := compileFiles(t, deployment(edited(files, tt.file, tt.old, tt.new), "h1: a", "h2: b"), planner.Options{Verbs: verb.Lookup})
		if got := predicted(t, now, base, nil); got != tt.want {
			t.Errorf("%s: predicted is\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
}

// An argument is followed from the file that one task ships and another loads, through one
// that is made of it, to who uses that.
func TestPredictArguments(t *testing.T) {
	files := map[string]string{
		"services/options.yaml": "port: 80\nname: x\n",
		"services/a.yaml": service("a",
			"id: ship, driver: directord, provides: [shipped], jobs: [{ADD: options.yaml /etc/}]",
			"id: load, driver: directord, provides: [loaded], requires: [shipped], jobs: [{CACHEFILE: /etc/options.yaml}, {ARG: 'url http://{{ port }}'}]",
			"id: use, driver: directord, requires: [loaded], jobs: [{RUN: 'probe {{ url }}'}]",
			"id: other, driver: directord, requires: [loaded], jobs: [{RUN: 'url {{ name }}'}, {RUN: port}]"),
	}
	base := compileFiles(t, deployment(files, "h1: a"), planner.Options{Verbs: verb.Lookup})
	now := compileFiles(t, deployment(edited(files, "services/options.yaml", "80", "81"), "h1: a"), planner.Options{Verbs: verb.Lookup})
	want := "a-ship run: changed: job 1 ADD\na-load run: requires a-ship, which runs\na-use run: job 1 RUN uses url, which changed"
	if got := predicted(t, now, base, nil); got != want {
		t.Errorf("predicted is\n%s\nwant\n%s", got, want)
	}
}

// BenchmarkPredict compares a plan of a thousand hosts and about as many tasks with itself.
func BenchmarkPredict(b *testing.B) {
	files := map[string]string{}
	var hosts []string
	for i := range 100 {
		var tasks []string
		for k := range 10 {
			task := fmt.Sprintf("id: t%d, driver: directord, provides: [s%d.t%d], jobs: [{RUN: one}, {RUN: 'two {{ x }}'}]", k, i, k)
			if k > 0 {
				task += fmt.Sprintf(", requires: [s%d.t%d]", i, k-1)
			}
			tasks = append(tasks, task)
		}
		files[fmt.Sprintf("services/s%d.yaml", i)] = service(fmt.Sprintf("s%d", i), tasks...)
	}
	var services []string
	for i := range 100 {
		services = append(services, fmt.Sprintf("s%d", i))
	}
	for i := range 1000 {
		hosts = append(hosts, fmt.Sprintf("h%d: %s", i, strings.Join(services, " ")))
	}
	o := compileFiles(b, deployment(files, hosts...), planner.Options{Verbs: verb.Lookup})
	h := &planner.History{Verbs: verb.Lookup}
	for range o.Tasks {
		h.Tasks = append(h.Tasks, []planner.Past{{Run: 1, Status: planner.Succeeded, Plan: o.Plan}})
	}
	for b.Loop() {
		if v := o.Predict(h); v[0].Action != planner.ActionUnchanged {
			b.Fatal(v[0])
		}
	}
}
