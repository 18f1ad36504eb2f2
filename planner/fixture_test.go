package planner_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quorate/internal/job"
	"quorate/planner"
)

// verbs is a small table of verbs, enough for every kind of text.
func verbs(name string) (*job.Declaration, bool) {
	decls := map[string]*job.Declaration{
		"RUN": {Positional: job.FreeText, Executable: true, Options: []job.OptionDecl{
			{Name: "skip-cache", Kind: job.Flag}, {Name: "run-once", Kind: job.Flag}, {Name: "timeout", Kind: job.Int}, {Name: "retry", Kind: job.Int},
		}},
		"ECHO": {Positional: job.FreeText, Executable: true},
		"ADD": {Positional: job.TwoPaths, ShipsFiles: true, Executable: true, Text: "SOURCE DEST", Options: []job.OptionDecl{
			{Name: "blueprint", Kind: job.Flag}, {Name: "run-once", Kind: job.Flag},
		}},
		"POD": {Positional: job.FreeText},
	}
	d := decls[name]
	if d != nil {
		d.Verb = name
	}
	return d, d != nil
}

// tree writes files into a folder of the test's own and returns it.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	plant(t, dir, files, slices.Sorted(maps.Keys(files)))
	return dir
}

// plant writes files in the given order.
func plant(t testing.TB, dir string, files map[string]string, order []string) {
	t.Helper()
	for _, name := range order {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[name]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// deployment returns an inventory with a host per role and roles that list the
// services: "h1: a b" gives host h1 the services a and b.
func deployment(files map[string]string, hosts ...string) map[string]string {
	var inventory, roles strings.Builder
	inventory.WriteString("hosts:\n")
	for _, h := range hosts {
		name, services, _ := strings.Cut(h, ":")
		fmt.Fprintf(&inventory, "  %s: {role: role-%s}\n", name, name)
		fmt.Fprintf(&roles, "role-%s: {services: [%s]}\n", name, strings.Join(strings.Fields(services), ", "))
	}
	all := maps.Clone(files)
	all["inventory.yaml"], all["roles.yaml"] = inventory.String(), roles.String()
	return all
}

// service writes a service file with one task per line of YAML flow mapping.
func service(id string, tasks ...string) string {
	return fmt.Sprintf("id: %s\nversion: 1.0.0\ntype: service\ntasks:\n  - {%s}\n", id, strings.Join(tasks, "}\n  - {"))
}

func sources(dir string) planner.Sources {
	return planner.Sources{
		Services: filepath.Join(dir, "services"), Inventory: filepath.Join(dir, "inventory.yaml"), Roles: filepath.Join(dir, "roles.yaml"),
	}
}

// An outcome is a plan or what is wrong, with paths relative to the folder.
type outcome struct {
	*planner.Plan
	inputs      *planner.Inputs
	diagnostics []planner.Diagnostic
}

func compile(t testing.TB, dir string, src planner.Sources, opt planner.Options) outcome {
	t.Helper()
	if opt.Verbs == nil {
		opt.Verbs = verbs
	}
	in, diagnostics := planner.Load(src, opt)
	plan, more := planner.Compile(in, opt)
	o := outcome{plan, in, append(diagnostics, more...)}
	if plan != nil && len(plan.Inputs) < 100 && strings.HasPrefix(t.Name(), "Test") {
		o.wantRestored(t, opt)
	}
	for i := range o.diagnostics {
		d := &o.diagnostics[i]
		for _, text := range []*string{&d.Pos.File, &d.Message, &d.Hint} {
			*text = strings.ReplaceAll(*text, dir+string(filepath.Separator), "")
		}
	}
	if (plan == nil) != (len(o.lines(planner.Error)) > 0) {
		t.Fatalf("there is a plan (%v) beside the errors %q", plan != nil, o.lines(planner.Error))
	}
	return o
}

// compileFiles compiles services, inventory and roles out of a tree of files.
func compileFiles(t testing.TB, files map[string]string, opt planner.Options) outcome {
	t.Helper()
	dir := tree(t, files)
	return compile(t, dir, sources(dir), opt)
}

// lines writes the diagnostics of a severity as FILE:LINE:COLUMN code: message (hint).
func (o outcome) lines(severity planner.Severity) []string {
	var out []string
	for _, d := range o.diagnostics {
		if d.Severity == severity {
			line := fmt.Sprintf("%s:%d:%d %s: %s", d.Pos.File, d.Pos.Line, d.Pos.Column, d.Code, d.Message)
			if d.Hint != "" {
				line += " (" + d.Hint + ")"
			}
			out = append(out, line)
		}
	}
	return out
}

// ids are the tasks in the plan's order.
func (o outcome) ids() string {
	var ids []string
	for _, t := range o.Tasks {
		ids = append(ids, t.ID)
	}
	return strings.Join(ids, " ")
}

func (o outcome) task(t testing.TB, id string) *planner.Task {
	t.Helper()
	if o.Plan != nil {
		for i := range o.Tasks {
			if o.Tasks[i].ID == id {
				return &o.Tasks[i]
			}
		}
	}
	t.Fatalf("the plan has no task %q: %v", id, o.diagnostics)
	return nil
}

// after are the tasks that a task waits for, same-host ones with an @, those that
// only come before on the same host with a ~.
func (o outcome) after(t testing.TB, id string) string {
	t.Helper()
	var out []string
	for _, d := range o.task(t, id).Requires {
		text := o.Tasks[d.Task].ID
		out = append(out, text+map[planner.Scope]string{planner.ScopeSameHost: "@", planner.ScopeAfterSameHost: "~"}[d.Scope])
	}
	return strings.Join(out, " ")
}

// hosts are the names in a host set.
func (o outcome) hosts(set uint32) string {
	var out []string
	for _, h := range o.HostSets[set] {
		out = append(out, o.Hosts[h])
	}
	return strings.Join(out, " ")
}

// wantPlan fails unless there is a plan with these tasks in this order.
func (o outcome) wantPlan(t testing.TB, ids string) {
	t.Helper()
	if o.Plan == nil {
		t.Fatalf("no plan: %q", o.lines(planner.Error))
	}
	if got := o.ids(); got != ids {
		t.Errorf("tasks are %s, want %s", got, ids)
	}
	if again, err := planner.Decode(o.Encode()); err != nil || again.ID() != o.ID() {
		t.Errorf("the plan does not survive its encoding: %v", err)
	}
}

// wantLines fails unless each diagnostic of a severity holds its text, in order.
func (o outcome) wantLines(t testing.TB, severity planner.Severity, want ...string) {
	t.Helper()
	got := o.lines(severity)
	if len(got) != len(want) {
		t.Errorf("%d diagnostics, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
		return
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("diagnostic is\n %s\nwant in it\n %s", got[i], want[i])
		}
	}
}
