package planner_test

import (
	"os"
	"path/filepath"
	"testing"

	"quorate/nodeagent/verb"
	"quorate/planner"
)

// corpus returns the folder of files that were written for the older tools.
func corpus(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			path := filepath.Join(dir, "..", "shared", "corpus", "task-core")
			if _, err := os.Stat(path); err != nil {
				t.Skip("the corpus is not beside the repository")
			}
			return path
		}
	}
	t.Skip("no go.mod above the test")
	return ""
}

// compileClean compiles and fails on any error.
func compileClean(t testing.TB, src planner.Sources, opt planner.Options) *planner.Plan {
	t.Helper()
	in, diagnostics := planner.Load(src, opt)
	plan, more := planner.Compile(in, opt)
	for _, d := range append(diagnostics, more...) {
		if d.Severity == planner.Error {
			t.Errorf("%s:%d:%d: %s [%s] %s", d.Pos.File, d.Pos.Line, d.Pos.Column, d.Message, d.Code, d.Hint)
		}
	}
	if t.Failed() || plan == nil {
		t.Fatal("no plan")
	}
	return plan
}

func TestCorpusFramework(t *testing.T) {
	dir := filepath.Join(corpus(t), "framework")
	plan := compileClean(t, planner.Sources{
		Services: filepath.Join(dir, "services"), Inventory: filepath.Join(dir, "inventory.yaml"), Roles: filepath.Join(dir, "roles.yaml"),
	}, planner.Options{Verbs: verb.Lookup})
	if len(plan.Tasks) != 17 || len(plan.Hosts) != 5 {
		t.Errorf("%d tasks on %d hosts, want 17 on 5", len(plan.Tasks), len(plan.Hosts))
	}
}

// TestCorpusOpenStack compiles as one would have to with the older tool: from
// inside the folder of services.
func TestCorpusOpenStack(t *testing.T) {
	dir := filepath.Join(corpus(t), "openstack")
	t.Chdir(filepath.Join(dir, "services"))
	src := planner.Sources{Services: ".", Inventory: "../basic/basic_inventory.yaml", Roles: "../basic/basic_roles.yaml"}
	inside := compileClean(t, src, planner.Options{Verbs: verb.Lookup, WorkDir: "."})
	if len(inside.Tasks) != 103 || len(inside.Hosts) != 4 {
		t.Errorf("%d tasks on %d hosts, want 103 on 4", len(inside.Tasks), len(inside.Hosts))
	}
	t.Chdir(t.TempDir())
	src = planner.Sources{
		Services: filepath.Join(dir, "services"), Inventory: filepath.Join(dir, "basic", "basic_inventory.yaml"), Roles: filepath.Join(dir, "basic", "basic_roles.yaml"),
	}
	if outside := compileClean(t, src, planner.Options{Verbs: verb.Lookup}); outside.ID() != inside.ID() {
		t.Error("the plan depends on where it was made")
	}
}
