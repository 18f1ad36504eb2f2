package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// testFunctions are the tests, benchmarks and fuzz targets by the folder that they lie
// in, relative to the root.
func testFunctions(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && testName.MatchString(f.Name.Name) {
				found[dir] = append(found[dir], f.Name.Name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var (
	testName = regexp.MustCompile(`^(Test|Benchmark|Fuzz)[A-Z]\w*$`)
	// named is a test in prose, command one that is to be run.
	named   = regexp.MustCompile("`((?:Test|Benchmark|Fuzz)[A-Z]\\w*)(?:/[^`]*)?`")
	command = regexp.MustCompile("`go test (?:-race )?\\./([\\w/]+) -run '?([^'` ]+)'?[^`]*`")
	made    = regexp.MustCompile("(?m)(?:`|^ +)make ([a-z0-9-]+)")
)

// A promise whose test is gone is no promise: each test, and each command, that the
// documents name exists.
func TestDocumentsNameTestsThatExist(t *testing.T) {
	byDir := testFunctions(t)
	all := map[string]bool{}
	for _, names := range byDir {
		for _, name := range names {
			all[name] = true
		}
	}
	rules, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	documents, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(documents) == 0 {
		t.Fatal("no documents", err)
	}
	for _, path := range append(documents, filepath.Join(root, "README.md"), filepath.Join(root, "CONTRIBUTING.md")) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			if !all[m[1]] {
				t.Errorf("%s names %s, which does not exist", filepath.Base(path), m[1])
			}
		}
		for _, m := range command.FindAllStringSubmatch(string(text), -1) {
			if !runsSomething(t, byDir[m[1]], m[2]) {
				t.Errorf("%s: go test ./%s -run %s runs nothing", filepath.Base(path), m[1], m[2])
			}
		}
		for _, m := range made.FindAllStringSubmatch(string(text), -1) {
			if !regexp.MustCompile(`(?m)^` + m[1] + `:`).Match(rules) {
				t.Errorf("%s: there is no make %s", filepath.Base(path), m[1])
			}
		}
	}
}

// runsSomething reports whether each alternative of a -run pattern finds a test.
func runsSomething(t *testing.T, names []string, pattern string) bool {
	t.Helper()
	for one := range strings.SplitSeq(strings.ReplaceAll(pattern, `\|`, "|"), "|") {
		top, _, _ := strings.Cut(one, "/")
		match, err := regexp.Compile(top)
		if err != nil {
			t.Errorf("-run %s: %v", pattern, err)
			return true
		}
		found := false
		for _, name := range names {
			found = found || match.MatchString(name)
		}
		if !found {
			return false
		}
	}
	return true
}
