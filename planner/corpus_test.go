package planner_test

import (
	"os"
	"path/filepath"
	"testing"

	"quorate/internal/yaml11"
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

// TestCorpusOrder reads the services by itself and holds the plan against every
// requires and needed-by in them.
func TestCorpusOrder(t *testing.T) {
	dir := filepath.Join(corpus(t), "openstack")
	plan := compileClean(t, planner.Sources{
		Services: filepath.Join(dir, "services"), Inventory: filepath.Join(dir, "basic", "basic_inventory.yaml"), Roles: filepath.Join(dir, "basic", "basic_roles.yaml"),
	}, planner.Options{Verbs: verb.Lookup})
	position, provider := map[string]int{}, map[string]int{}
	for i, task := range plan.Tasks {
		position[task.ID] = i
		for _, s := range task.Provides {
			provider[s] = i
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "services", "*.yaml"))
	if err != nil || len(files) < 40 {
		t.Fatalf("%d services: %v", len(files), err)
	}
	var edges int
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		docs, err := yaml11.Parse(file, data)
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range docs[0].Get("tasks").Items {
			at, active := position[docs[0].Get("id").Text+"-"+task.Get("id").Text]
			if !active {
				continue
			}
			for _, s := range texts(task.Get("requires")) {
				edges++
				if from, known := provider[s]; !known || !requires(plan, at, from) || from >= at {
					t.Errorf("%s does not wait for %s", plan.Tasks[at].ID, s)
				}
			}
			for _, s := range texts(task.Get("needed-by")) {
				if to, known := provider[s]; known && (!requires(plan, to, at) || at >= to) {
					t.Errorf("%s does not wait for %s", plan.Tasks[to].ID, plan.Tasks[at].ID)
				}
			}
		}
	}
	if edges < 200 {
		t.Errorf("only %d requirements were looked at", edges)
	}
}

func texts(list *yaml11.Node) []string {
	var out []string
	if list != nil {
		for _, item := range list.Items {
			out = append(out, item.Text)
		}
	}
	return out
}
