package planner_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quorate/planner"
)

// shipped writes the files of the first job of a task as NAME=CONTENT.
func (o outcome) shipped(t *testing.T, id string, contents map[string]string) string {
	t.Helper()
	var out []string
	for _, f := range o.task(t, id).Jobs[0].Spec.Files {
		out = append(out, f.Name+"="+contents[f.Digest])
		if f.Size != int64(len(contents[f.Digest])) || f.Mode != 0o644 {
			t.Errorf("%s has size %d and mode %o", f.Name, f.Size, f.Mode)
		}
	}
	return strings.Join(out, " ")
}

// TestShipLooksInOrder: beside the file, then in the folder of services, then in
// the working directory; globs are sorted, and take regular files only.
func TestShipLooksInOrder(t *testing.T) {
	files := deployment(map[string]string{
		"services/deep/a.yaml": service("a",
			"id: own, driver: directord, jobs: [{ADD: f /x}]", "id: root, driver: directord, jobs: [{ADD: g /x}]",
			"id: cwd, driver: directord, jobs: [{ADD: h /x}]", "id: up, driver: directord, jobs: [{ADD: ../../outside /x}]",
			"id: glob, driver: directord, jobs: [{ADD: 'd/*.txt /x/'}]", "id: class, driver: directord, jobs: [{ADD: 'd/[!a].tx? /x/'}]",
			"id: folders, driver: directord, jobs: [{ADD: '*/c.txt /x/'}]", `id: quoted, driver: directord, jobs: [{ADD: '"with blank" /x'}]`,
			"id: hidden, driver: directord, jobs: [{ADD: 'd/.h* /x/'}]"),
		"services/deep/f": "1", "services/f": "2", "work/f": "3",
		"services/g": "4", "work/g": "5", "work/h": "6", "outside": "7", "services/deep/with blank": "8",
		"services/deep/d/b.txt": "b", "services/deep/d/a.txt": "a", "services/deep/d/c.txt": "c", "services/deep/d/e.md": "e",
		"services/deep/d/.hidden.txt": "h", "services/deep/d/dir.txt/x": "x", "services/d/z.txt": "z", "services/deep/e/c.txt": "cc",
	}, "h1: a")
	dir := tree(t, files)
	o := compile(t, dir, sources(dir), planner.Options{WorkDir: filepath.Join(dir, "work")})
	contents := map[string]string{}
	for _, b := range o.inputs.Blobs() {
		if b.Path != "" {
			data, err := os.ReadFile(b.Path)
			if err != nil {
				t.Fatal(err)
			}
			contents[b.Digest] = string(data)
		}
	}
	for id, want := range map[string]string{
		"a-own": "f=1", "a-root": "g=4", "a-cwd": "h=6", "a-up": "outside=7", "a-glob": "a.txt=a b.txt=b c.txt=c", "a-class": "b.txt=b c.txt=c",
		"a-folders": "c.txt=c c.txt=cc", "a-quoted": "with blank=8", "a-hidden": ".hidden.txt=h",
	} {
		if got := o.shipped(t, id, contents); got != want {
			t.Errorf("%s ships %s, want %s", id, got, want)
		}
	}
	var names []string
	for _, in := range o.Inputs {
		if in.Role == planner.RoleFile {
			names = append(names, in.Name)
		}
	}
	want := "../outside deep/d/.hidden.txt deep/d/a.txt deep/d/b.txt deep/d/c.txt deep/e/c.txt deep/f deep/with blank g h"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("inputs are %s, want %s", got, want)
	}
}

func TestShipNamesThePlacesTried(t *testing.T) {
	dir := tree(t, deployment(map[string]string{
		"services/deep/a.yaml":      service("a", "id: t, driver: directord, jobs: [{ADD: f /x}, {ADD: '[ /x'}, {ADD: folder /x}]"),
		"services/deep/folder/file": "",
	}, "h1: a"))
	o := compile(t, dir, sources(dir), planner.Options{WorkDir: filepath.Join(dir, "work")})
	o.wantLines(t, errs,
		`no-such-file: ADD ships "f", but there is no such file (looked for services/deep/f, then services/f, then work/f)`,
		`unreadable: source "[" of ADD: the pattern "[" is not one`, `ADD ships "folder", but there is no such file`)
}

// TestShipAbsolute holds the vector of Directord's fingerprint for ADD.
func TestShipAbsolute(t *testing.T) {
	dir := tree(t, map[string]string{"f": "x"})
	o := compileGroups(t, fmt.Sprintf("- {targets: [a], jobs: [{ADD: %s /tmp/}]}\n", filepath.Join(dir, "f")), planner.Options{})
	var names []string
	for _, in := range o.Inputs {
		names = append(names, in.Name)
	}
	if !slices.Contains(names, filepath.ToSlash(filepath.Join(dir, "f"))) {
		t.Errorf("inputs are %v, want the absolute path among them", names)
	}
}

// TestBlobs: what a plan names is there to upload, each content once.
func TestBlobs(t *testing.T) {
	o := compileFiles(t, deployment(map[string]string{
		"services/a.yaml": service("a", "id: t, driver: directord, jobs: [{ADD: f /x}, {ADD: g /x}, {ADD: f /y}]"), "services/f": "same", "services/g": "same",
	}, "h1: a"), planner.Options{})
	blobs := map[string]planner.Blob{}
	for _, b := range o.inputs.Blobs() {
		if _, again := blobs[b.Digest]; again || (b.Content == nil) == (b.Path == "") {
			t.Errorf("blob %s is there twice, or has not one of content and path", b.Digest)
		}
		blobs[b.Digest] = b
	}
	if len(blobs) != 4 || len(o.Inputs) != 5 {
		t.Errorf("%d blobs for %d inputs, want 4 for 5", len(blobs), len(o.Inputs))
	}
	for _, in := range o.Inputs {
		if b, known := blobs[in.Digest]; !known || b.Size != in.Size {
			t.Errorf("no blob for input %s", in.Name)
		}
	}
}

// TestPlanDependsOnInputsOnly: the same files in another folder, written in
// another order, give the same bytes.
func TestPlanDependsOnInputsOnly(t *testing.T) {
	files := deployment(map[string]string{"services/f/x.conf": "x", "services/f/y.conf": "y", "services/deep/z": "z"}, "h1: s1 s2 s3", "h2: s3 s4", "h3: s1 s4")
	for i := range 9 {
		id := fmt.Sprintf("s%d", i)
		files["services/"+id+".yaml"] = service(id, fmt.Sprintf("id: t, driver: directord, jobs: [{ADD: 'f/* /x/'}, {RUN: --run-once y}], provides: [p%d]", i),
			"id: u, driver: print, message: x, requires: [p1]")
	}
	names := slices.Sorted(maps.Keys(files))
	opt := planner.Options{}
	here, there := t.TempDir(), filepath.Join(t.TempDir(), "else", "where")
	plant(t, here, files, names)
	slices.Reverse(names)
	plant(t, there, files, names)
	first := compile(t, here, sources(here), opt)
	if len(first.Tasks) != 8 || strings.Contains(string(first.Encode()), here) {
		t.Fatalf("the plan has %d tasks, or names its folder", len(first.Tasks))
	}
	for range 3 {
		if other := compile(t, there, sources(there), opt); other.ID() != first.ID() {
			t.Fatal("the plan depends on where and in which order files were written")
		}
	}
	t.Chdir(filepath.Join(there, "services"))
	if other := compile(t, there, planner.Sources{Services: ".", Inventory: "../inventory.yaml", Roles: filepath.Join(there, "roles.yaml")}, opt); other.ID() != first.ID() {
		t.Error("the plan depends on how the files are named")
	}
	if err := os.WriteFile(filepath.Join(there, "services", "f", "x.conf"), []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	if other := compile(t, there, sources(there), opt); other.ID() == first.ID() {
		t.Error("the plan does not depend on the content of what it ships")
	}
}
