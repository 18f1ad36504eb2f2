package planner_test

import (
	"os"
	"path/filepath"
	"testing"

	"quorate/internal/job"
	"quorate/planner"
)

// fuzzVerbs leaves out the verb that ships files: a fuzzer would go through the
// machine's own.
func fuzzVerbs(name string) (*job.Declaration, bool) {
	if name == "ADD" {
		return nil, false
	}
	return verbs(name)
}

// FuzzLoad: whatever the files hold, there is a plan that survives its encoding,
// or an error that says why not.
func FuzzLoad(f *testing.F) {
	const inventory, roles = "hosts:\n  h1: {role: r}\n  h2: {role: s}\n", "r: {services: [a]}\ns: {services: [a, b]}\n"
	for _, text := range []string{
		service("a", "id: t, driver: directord, jobs: [{RUN: --run-once x, vars: {timeout: 5}}, {RUN: y, assign: [h2]}], provides: [x], needed-by: [y]"),
		service("a", "id: t, driver: local, command: x, returncodes: [1]", "id: u, driver: print, message: x, requires: [x]"),
		service("a", "id: t, driver: service, jobs: [{echo: x}], requires: [y], provides: [x]", "id: u, driver: noop, requires: [x], provides: [y]"),
		"id: a\n<<: &x {type: service, version: 1.0}\ntasks: [{id: t, driver: ansible_runner, playbook: p, always: yes}]\n",
		"- {jobs: [{RUN: x}], async: maybe, targets: h1, name: ../..}\n- {jobs: [], assign: [h2]}\n",
	} {
		f.Add([]byte(text), []byte(inventory), []byte(roles))
	}
	dir := f.TempDir()
	paths := [3]string{filepath.Join(dir, "s.yaml"), filepath.Join(dir, "i.yaml"), filepath.Join(dir, "r.yaml")}
	f.Fuzz(func(t *testing.T, services, inventory, roles []byte) {
		for i, data := range [][]byte{services, inventory, roles} {
			if err := os.WriteFile(paths[i], data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, src := range []planner.Sources{
			{Services: paths[0], Inventory: paths[1], Roles: paths[2]},
			{Inventory: paths[1], Texts: []planner.Text{{Name: "o", Content: services}}},
			{Texts: []planner.Text{{Name: "o", Content: services}}},
		} {
			for _, opt := range []planner.Options{{Verbs: fuzzVerbs}, {Verbs: fuzzVerbs, Limit: []string{"h1"}, Restrict: []string{"a-t"}, Targets: []string{"h1"}}} {
				o := compile(t, dir, src, opt)
				if o.Plan == nil {
					continue
				}
				if again, err := planner.Decode(o.Encode()); err != nil || again.ID() != o.ID() {
					t.Fatalf("the plan does not survive its encoding: %v", err)
				}
			}
		}
	})
}
