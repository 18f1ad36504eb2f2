// Package house holds the tests that keep the repository's rules: which package
// may import which, how long a file may grow, and what pure code must not call.
package house

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// A source is one parsed Go file; Dir is its folder from the root.
type source struct {
	Path, Dir string
	File      *ast.File
	Fset      *token.FileSet
	Lines     int
}

// sources parses every Go file of the repository.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (name == "bin" || name == "testdata" || strings.HasPrefix(name, ".") && name != ".." && path != root) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		all = append(all, source{
			Path: filepath.ToSlash(rel), Dir: filepath.ToSlash(filepath.Dir(rel)), File: file, Fset: fset,
			Lines: fset.File(file.Pos()).LineCount(),
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("found only %d Go files: the walk is broken", len(all))
	}
	return all
}

// within reports whether a folder is dir or below it.
func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// TestImports keeps the direction of the data's way. Only cli wires.
func TestImports(t *testing.T) {
	rules := []struct {
		dir   string
		allow []string
		why   string
	}{
		{"planner", []string{"planner", "internal/job", "internal/yaml11"}, "planning is pure and knows of no log, agent or network"},
		{"eventlog", []string{"eventlog", "internal/checkpoint"}, "the log knows what an event looks like, never what it means"},
		{"raft", []string{"raft", "eventlog"}, "raft never imports engine: replication must not depend on meaning"},
		{"raft/port", []string{"raft/port"}, "connections between orchestrators know nothing of what they carry"},
		{"nodeagent", []string{"nodeagent", "internal"}, "an agent never reads the log: the wire is all it knows"},
		{"nodeagent/relay", []string{"nodeagent/relay", "nodeagent/wire", "internal"}, "a relay carries what it cannot read, and knows nothing of agents' work"},
		{"engine", []string{"engine", "planner", "eventlog", "nodeagent/wire", "internal"}, "engine never imports raft or the agent: logs and agents are interchangeable"},
		{"internal/job", []string{"internal/job", "internal/pyvalue"}, "the language of a job knows no verb"},
		{"internal/component", []string{"internal/component", "internal/job", "internal/pyvalue"}, "components know the language of a job and no built-in verb"},
		{"internal/admission", []string{"internal/admission"}, "who counts connections knows nothing of what they carry"},
		{"internal/boltfile", []string{"internal/boltfile"}, "who opens files of bbolt knows nothing of what is in them"},
		{"internal/blobcache", []string{"internal/blobcache", "nodeagent/wire"}, "who keeps blobs knows how they are asked for, and not what they are for"},
		{"internal/mux", []string{"internal/mux"}, "streams know nothing of what they carry"},
		{"internal/pace", []string{"internal/pace"}, "pacing knows round trips and nothing of what is sent"},
		{"internal/edge", []string{"internal/edge"}, "a link knows nothing of what it carries"},
		{"internal/yaml11", []string{"internal/yaml11"}, "reading YAML depends on nothing of ours"},
		{"internal/pyvalue", []string{"internal/pyvalue"}, "values depend on nothing of ours"},
		{"internal/pki", []string{"internal/pki", "nodeagent/wire", "raft/port/alpn"}, "certificates know the names of the protocols and nothing else"},
	}
	for _, src := range sources(t) {
		if strings.HasSuffix(src.Path, "_test.go") {
			continue
		}
		if !within(src.Dir, "internal/soak") {
			for _, spec := range src.File.Imports {
				if path, _ := strconv.Unquote(spec.Path.Value); within(path, "quorate/internal/soak") {
					t.Errorf("%s imports %s: what makes trouble for processes is no part of them", src.Fset.Position(spec.Pos()), path)
				}
			}
		}
		for _, rule := range rules {
			if !within(src.Dir, rule.dir) {
				continue
			}
			for _, spec := range src.File.Imports {
				path, _ := strconv.Unquote(spec.Path.Value)
				own, ours := strings.CutPrefix(path, "quorate/")
				if ours && !slices.ContainsFunc(rule.allow, func(dir string) bool { return within(own, dir) }) {
					t.Errorf("%s imports %s: %s", src.Fset.Position(spec.Pos()), own, rule.why)
				}
			}
		}
	}
}

// TestPureEngine keeps clocks, chance, goroutines and I/O out of the engine's
// core, since replicas that fold differently fork the state.
func TestPureEngine(t *testing.T) {
	banned := map[string]bool{"time": true, "math/rand": true, "math/rand/v2": true, "os": true, "net": true, "net/http": true, "sync": true, "io": true}
	for _, src := range sources(t) {
		if src.Dir != "engine" || strings.HasSuffix(src.Path, "_test.go") {
			continue
		}
		for _, spec := range src.File.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			if path == "io" && strings.HasPrefix(src.Path, "engine/encode") {
				continue // the readers and writers are the caller's
			}
			if banned[path] {
				t.Errorf("%s imports %s: folding and deciding are pure", src.Fset.Position(spec.Pos()), path)
			}
		}
		ast.Inspect(src.File, func(n ast.Node) bool {
			if g, ok := n.(*ast.GoStmt); ok {
				t.Errorf("%s starts a goroutine: folding and deciding are pure", src.Fset.Position(g.Pos()))
			}
			return true
		})
	}
}

// TestShape bounds files and functions, and refuses init and junk-drawer names.
func TestShape(t *testing.T) {
	const fileLinesMax, funcLinesMax = 500, 80
	junk := []string{"util.go", "utils.go", "types.go", "helpers.go", "common.go", "misc.go"}
	for _, src := range sources(t) {
		if src.Lines > fileLinesMax {
			t.Errorf("%s has %d lines, more than %d: it holds more than one thing", src.Path, src.Lines, fileLinesMax)
		}
		if slices.Contains(junk, filepath.Base(src.Path)) {
			t.Errorf("%s: name the file after what it holds", src.Path)
		}
		for _, decl := range src.File.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if fn.Name.Name == "init" && fn.Recv == nil {
				t.Errorf("%s: init runs before anybody asked", src.Fset.Position(fn.Pos()))
			}
			lines := src.Fset.Position(fn.End()).Line - src.Fset.Position(fn.Pos()).Line
			if lines > funcLinesMax && !strings.HasSuffix(src.Path, "_test.go") {
				t.Errorf("%s: %s has %d lines, more than %d", src.Fset.Position(fn.Pos()), fn.Name.Name, lines, funcLinesMax)
			}
		}
	}
}

// TestComments wants a package comment for every package and a comment on every
// exported declaration outside of tests.
func TestComments(t *testing.T) {
	documented := map[string]bool{}
	seen := map[string]bool{}
	for _, src := range sources(t) {
		if strings.HasSuffix(src.Path, "_test.go") {
			continue
		}
		seen[src.Dir] = true
		if src.File.Doc != nil {
			documented[src.Dir] = true
		}
		for _, decl := range src.File.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
					t.Errorf("%s: %s has no comment", src.Fset.Position(d.Pos()), d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if ts, ok := spec.(*ast.TypeSpec); ok && ts.Name.IsExported() && ts.Doc == nil && d.Doc == nil {
						t.Errorf("%s: %s has no comment", src.Fset.Position(ts.Pos()), ts.Name.Name)
					}
				}
			}
		}
	}
	for dir := range seen {
		if !documented[dir] {
			t.Errorf("%s: no file has a package comment", dir)
		}
	}
}

// exportedReceiver reports whether a function is no method or one of an exported
// type that is not there to satisfy a well-known interface.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	if slices.Contains([]string{"Kind", "Type", "Error", "String", "Len", "Less", "Swap", "Unwrap", "Close"}, d.Name.Name) {
		return false
	}
	expr := d.Recv.List[0].Type
	if star, ok := expr.(*ast.StarExpr); ok {
		expr = star.X
	}
	ident, ok := expr.(*ast.Ident)
	return ok && ident.IsExported()
}

// TestNamesAreUsed refuses an exported name of a package that nothing mentions: linters
// take it for somebody else's, and there is nobody else. Methods may be there for an
// interface of a library.
func TestNamesAreUsed(t *testing.T) {
	mentions := map[string]int{}
	declared := map[*ast.Ident]token.Position{}
	for _, src := range sources(t) {
		ast.Inspect(src.File, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && id.IsExported() {
				mentions[id.Name]++
			}
			return true
		})
		if strings.HasSuffix(src.Path, "_test.go") {
			continue
		}
		for _, id := range names(src.File) {
			declared[id] = src.Fset.Position(id.Pos())
		}
	}
	for id, at := range declared {
		if id.IsExported() && mentions[id.Name] == 1 {
			t.Errorf("%s: nothing uses %s", at, id.Name)
		}
	}
}

// names are those that a file declares for its package, without methods.
func names(file *ast.File) (ids []*ast.Ident) {
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				ids = append(ids, d.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					ids = append(ids, s.Name)
				case *ast.ValueSpec:
					ids = append(ids, s.Names...)
				}
			}
		}
	}
	return ids
}

// TestNoSleepingTests keeps time.Sleep out of tests: wait for the condition, or
// run in a testing/synctest bubble, where sleeping takes no time.
func TestNoSleepingTests(t *testing.T) {
	for _, src := range sources(t) {
		if !strings.HasSuffix(src.Path, "_test.go") {
			continue
		}
		bubble := slices.ContainsFunc(src.File.Imports, func(s *ast.ImportSpec) bool { return s.Path.Value == `"testing/synctest"` })
		ast.Inspect(src.File, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || bubble || sel.Sel.Name != "Sleep" {
				return true
			}
			if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "time" {
				t.Errorf("%s sleeps: wait for what you need instead", src.Fset.Position(sel.Pos()))
			}
			return true
		})
	}
}

// TestArchitecturePage keeps ARCHITECTURE.md short and its file names true.
func TestArchitecturePage(t *testing.T) {
	const linesMax = 300
	file, err := os.Open(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := 0
	for scan := bufio.NewScanner(file); scan.Scan(); lines++ {
		for i, part := range strings.Split(scan.Text(), "`") {
			if i%2 == 0 || !strings.HasSuffix(part, ".go") && !strings.HasSuffix(part, ".md") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, part)); err != nil {
				t.Errorf("ARCHITECTURE.md:%d names %s, which is not there", lines+1, part)
			}
		}
	}
	if lines > linesMax {
		t.Errorf("ARCHITECTURE.md has %d lines, more than %d", lines, linesMax)
	}
}
