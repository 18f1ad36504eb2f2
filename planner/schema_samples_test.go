package planner_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"quorate/nodeagent/verb"
	"quorate/planner"
)

var expectation = regexp.MustCompile(`(?m)^# expect: (error|warning) ([a-z-]+) line ([0-9]+)$`)

// expected collects what the comments of the files below root announce, as
// "file:line severity code".
func expected(t *testing.T, root string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range expectation.FindAllStringSubmatch(string(data), -1) {
			out = append(out, fmt.Sprintf("%s:%s %s %s", filepath.ToSlash(path), m[3], m[1], m[2]))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// found compiles and lists the diagnostics in the same form.
func found(src planner.Sources, opt planner.Options) (lines []string, plan *planner.Plan) {
	opt.Verbs = verb.Lookup
	in, diagnostics := planner.Load(src, opt)
	plan, more := planner.Compile(in, opt)
	for _, d := range append(diagnostics, more...) {
		severity := "error"
		if d.Severity == planner.Warning {
			severity = "warning"
		}
		lines = append(lines, fmt.Sprintf("%s:%d %s %s", filepath.ToSlash(d.Pos.File), d.Pos.Line, severity, d.Code))
	}
	slices.Sort(lines)
	return slices.Compact(lines), plan
}

const invalidDir = "../testdata/invalid"

// invalidSamples returns the sources of every sample by the path to it.
func invalidSamples(t *testing.T) map[string]planner.Sources {
	t.Helper()
	good := planner.Sources{Services: invalidDir + "/good/web.yaml", Inventory: invalidDir + "/good/inventory.yaml", Roles: invalidDir + "/good/roles.yaml"}
	samples := map[string]planner.Sources{}
	for _, kind := range []string{"services", "inventory", "roles", "orchestrations", "deployments"} {
		paths, err := filepath.Glob(filepath.Join(invalidDir, kind, "*"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("no samples of %s: %v", kind, err)
		}
		for _, path := range paths {
			path = filepath.ToSlash(path)
			src := good
			switch kind {
			case "services":
				src.Services = path
			case "inventory":
				src.Inventory = path
			case "roles":
				src.Roles = path
			case "orchestrations":
				src = planner.Sources{Orchestrations: []string{path}}
			case "deployments":
				src = planner.Sources{Services: path + "/services", Inventory: path + "/inventory", Roles: path + "/roles"}
				for _, s := range []*string{&src.Inventory, &src.Roles} {
					if _, err := os.Stat(*s); err != nil {
						*s += ".yaml"
					}
				}
			}
			samples[path] = src
		}
	}
	return samples
}

// TestInvalidSamples: each sample gives what its comments announce, at the line
// that they name, and no other error.
func TestInvalidSamples(t *testing.T) {
	for path, src := range invalidSamples(t) {
		t.Run(strings.TrimPrefix(path, invalidDir+"/"), func(t *testing.T) {
			want := expected(t, path)
			if len(want) == 0 {
				t.Fatal("the sample does not say what to expect")
			}
			got, plan := found(src, planner.Options{Hosts: []string{"web-1"}})
			broken := slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, " error ") })
			got = slices.DeleteFunc(got, func(l string) bool {
				return strings.Contains(l, " warning ") && !slices.Contains(want, l) && broken // follows from the error
			})
			if !slices.Equal(got, want) {
				t.Errorf("\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
			}
			if broken != (plan == nil) {
				t.Errorf("errors %v, plan %v", broken, plan != nil)
			}
		})
	}
}
