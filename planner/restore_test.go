package planner_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"quorate/planner"
)

// wantRestored fails unless the plan's own inputs make the same plan again, wherever
// they lie by then. All tests of this package that compile do this.
func (o outcome) wantRestored(t testing.TB, opt planner.Options) {
	t.Helper()
	again := o.restored(t, planner.Sources{}, opt)
	if again.Plan == nil {
		t.Errorf("the plan's own inputs make none: %q", again.lines(planner.Error))
		return
	}
	if again.ID() != o.ID() {
		t.Errorf("the plan's own inputs make another plan: %+v", planner.Compare(o.Plan, again.Plan))
	}
}

// restored compiles the plan's own inputs, but for what src names.
func (o outcome) restored(t testing.TB, src planner.Sources, opt planner.Options) outcome {
	t.Helper()
	contents := map[string][]byte{}
	for _, b := range o.inputs.Blobs() {
		contents[b.Digest] = b.Content
	}
	if opt.WorkDir != "" {
		opt.WorkDir = t.TempDir() // nothing lies there any more
	}
	if opt.Verbs == nil {
		opt.Verbs = verbs
	}
	opt.Vars = o.Vars
	in, diagnostics, err := planner.Restore(src, o.Plan, func(in planner.Input) ([]byte, error) {
		if in.Role == planner.RoleFile {
			t.Errorf("the content of %s was asked for", in.Name)
		}
		return contents[in.Digest], nil
	}, opt)
	if err != nil {
		t.Fatal(err)
	}
	plan, more := planner.Compile(in, opt)
	return outcome{plan, in, append(diagnostics, more...)}
}

// TestRestoreShips: the files that jobs ship are found among the inputs by the rules by
// which they were found on disk, also where one name stands for several.
func TestRestoreShips(t *testing.T) {
	files := deployment(map[string]string{
		"services/a.yaml":      service("a", "id: t, driver: directord, jobs: [{ADD: f /x}, {ADD: '../[ab]dir/*.txt /y/'}, {ADD: 'd/./../f /z'}]"),
		"services/deep/b.yaml": service("b", "id: t, driver: directord, jobs: [{ADD: f /x}, {ADD: ../f /x}]", "id: u, driver: directord, jobs: [{ADD: g /x}]"),
		"services/f":           "services", "services/deep/g": "deep", "services/d/x": "", "work/deep/f": "never found",
		"adir/1.txt": "a", "bdir/2.txt": "b", "cdir/3.txt": "c", "adir/.4.txt": "hidden",
	}, "h1: a b")
	dir := tree(t, files)
	opt := planner.Options{WorkDir: filepath.Join(dir, "work")}
	o := compile(t, dir, sources(dir), opt)
	o.wantPlan(t, "a-t b-t b-u")
	o.wantRestored(t, opt)
	// Here two files have the same name in the plan: one beside the service, one in the
	// working directory.
	twice := deployment(map[string]string{
		"services/a.yaml": service("a", "id: t, driver: directord, jobs: [{ADD: f /x}]"),
		"o/play.yaml":     "- {jobs: [{ADD: f /x}], targets: [h1]}\n",
		"services/f":      "services", "work/f": "work",
	}, "h1: a")
	dir = tree(t, twice)
	opt = planner.Options{WorkDir: filepath.Join(dir, "work")}
	src := sources(dir)
	src.Orchestrations = []string{filepath.Join(dir, "o")}
	o = compile(t, dir, src, opt)
	o.wantPlan(t, "a-t play-1")
	if len(o.Inputs) != 6 {
		t.Errorf("%d inputs, want 6: %v", len(o.Inputs), o.Inputs)
	}
	o.wantRestored(t, opt)
}

// TestRestoreOrder: orchestrations follow each other as they were named, whatever the
// order of their names.
func TestRestoreOrder(t *testing.T) {
	files := map[string]string{"n.yaml": "- {jobs: [{RUN: last}], name: zz}\n"}
	var named []string
	for _, name := range strings.Fields("z y x w v u t s r q p o") { // 12, so that play-2 follows play-10
		files[name+".yaml"] = "- {jobs: [{RUN: " + name + "}]}\n"
		named = append(named, name)
	}
	dir := tree(t, files)
	var src planner.Sources
	for _, name := range append(named, "n") {
		src.Orchestrations = append(src.Orchestrations, filepath.Join(dir, name+".yaml"))
	}
	for _, async := range []bool{false, true} {
		o := compile(t, dir, src, planner.Options{Hosts: []string{"h1", "h2"}, ForceAsync: async})
		o.wantRestored(t, planner.Options{Hosts: []string{"h1", "h2"}, ForceAsync: async})
	}
}

// TestRestoreOver: what is named takes the place of what is stored, and the rest stays.
func TestRestoreOver(t *testing.T) {
	files := deployment(map[string]string{"services/a.yaml": service("a", "id: t, driver: print, message: a")}, "h1: a")
	dir := tree(t, files)
	o := compile(t, dir, sources(dir), planner.Options{})
	other := tree(t, map[string]string{"inventory.yaml": "hosts:\n  h1: {role: role-h1}\n  h2: {role: role-h1}\n"})
	again := o.restored(t, planner.Sources{Inventory: filepath.Join(other, "inventory.yaml")}, planner.Options{})
	again.wantPlan(t, "a-t")
	if got := again.hosts(again.task(t, "a-t").HostSet); got != "h1 h2" {
		t.Errorf("with the other inventory the task is for %s", got)
	}
	missing := errors.New("gone")
	_, _, err := planner.Restore(planner.Sources{}, o.Plan, func(planner.Input) ([]byte, error) { return nil, missing }, planner.Options{Verbs: verbs})
	if !errors.Is(err, missing) || !strings.Contains(err.Error(), "input inventory inventory.yaml: ") {
		t.Errorf("a missing input: %v", err)
	}
}
