package conformance

import (
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

// A reference is to a case, by its suite and number.
type reference struct{ suite, number string }

// declared finds the tests that say which cases they hold: Go tests as FOLDER.Name,
// scripts by their path.
func declared(t *testing.T) map[reference][]string {
	t.Helper()
	held := map[reference][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		rel = filepath.ToSlash(rel)
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || rel == "bin" || rel == "internal/conformance"):
			return filepath.SkipDir
		case strings.HasSuffix(path, "_test.go"):
			return declaredByTests(t, held, path, filepath.ToSlash(filepath.Dir(rel)))
		case strings.HasSuffix(path, ".txtar"):
			return declaredByScript(t, held, path, rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tests := range held {
		slices.Sort(tests)
	}
	return held
}

// declaredByTests finds calls of Case in test functions.
func declaredByTests(t *testing.T, held map[reference][]string, path, dir string) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, d := range file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		ast.Inspect(fn, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || !names(call.Fun, "conformance", "Case") || len(call.Args) < 3 {
				return true
			}
			if fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Test") {
				t.Errorf("%s: cases are declared by %s, which is no test", path, fn.Name.Name)
			}
			suite := map[bool]string{true: Directord, false: TaskCore}[names(call.Args[1], "conformance", "Directord")]
			for _, arg := range call.Args[2:] {
				text := ""
				if lit, ok := arg.(*ast.BasicLit); ok {
					text, _ = strconv.Unquote(lit.Value)
				}
				key := reference{suite, text}
				held[key] = append(held[key], dir+"."+fn.Name.Name)
			}
			return true
		})
	}
	return nil
}

// names reports whether an expression is a name of a package.
func names(e ast.Expr, pkg, name string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == pkg
}

// declaredByScript finds the lines "case SUITE NUMBER..." of a script.
func declaredByScript(t *testing.T, held map[reference][]string, path, rel string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if strings.HasPrefix(line, "-- ") {
			break // the files of the script
		}
		if len(words) == 0 || words[0] != "case" {
			continue
		}
		if len(words) < 3 {
			t.Errorf("%s: %q names no case", path, line)
			continue
		}
		for _, number := range words[2:] {
			key := reference{words[1], number}
			if !slices.Contains(held[key], rel) {
				held[key] = append(held[key], rel)
			}
		}
	}
	return nil
}
