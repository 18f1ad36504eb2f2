package conformance

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root = "../.."
	page = root + "/docs/compatibility.md"
)

var update = flag.Bool("update", false, "write docs/compatibility.md")

// A conformanceCase is one case: what is done, what the old tool makes of it, and
// what this one does.
type conformanceCase struct {
	// number is that of the specification; some have a letter.
	number string
	title  string
	// kind is K where files depend on the old behaviour, B where ours is to be better,
	// and KB where both are in it.
	kind string
	old  string
	// ours is empty where it is the same.
	ours string
	// why says what the difference is for; it is there where ours is.
	why string
}

// A suite is the cases of one tool.
type suite struct {
	id    string // as tests declare it
	name  string
	spec  string // of the specification, from the root's parent
	begin string // heading of the cases in it
	cases []conformanceCase
}

func suites() []suite {
	return []suite{
		{Directord, "Directord", "shared/spec/directord.md", "## 17.", directord()},
		{TaskCore, "Task-Core", "shared/spec/task-core.md", "## 11.", taskCore()},
	}
}

// numbers are those that a suite must have.
func numbers(name string) []string {
	last := map[string]int{"Directord": 48, "Task-Core": 23}[name]
	var out []string
	for n := 1; n <= last; n++ {
		out = append(out, strconv.Itoa(n))
		if name == "Directord" && n == 3 {
			out = append(out, "3b")
		}
	}
	return out
}

func TestEveryCaseIsThere(t *testing.T) {
	for _, s := range suites() {
		var have []string
		for _, c := range s.cases {
			have = append(have, c.number)
		}
		if want := numbers(s.name); !slices.Equal(have, want) {
			t.Errorf("%s has the cases %s, want %s", s.name, have, want)
		}
	}
}

// TestNumbersAreTheSpecifications compares the numbers with the specification
// itself, where it lies beside the repository.
func TestNumbersAreTheSpecifications(t *testing.T) {
	number := regexp.MustCompile(`(?m)(?:^|\([KB]\)\.? )(\d+b?)\. `)
	for _, s := range suites() {
		data, err := os.ReadFile(filepath.Join(root, "..", s.spec))
		if err != nil {
			t.Skipf("the specification is not here: %v", err)
		}
		_, text, found := strings.Cut(string(data), "\n"+s.begin)
		if !found {
			t.Fatalf("%s has no section %s", s.spec, s.begin)
		}
		text, _, _ = strings.Cut(text, "\n## ")
		var have []string
		for _, m := range number.FindAllStringSubmatch(text, -1) {
			have = append(have, m[1])
		}
		if want := numbers(s.name); !slices.Equal(have, want) {
			t.Errorf("%s has the cases %s, want %s", s.spec, have, want)
		}
	}
}

// TestCasesAreWhole looks at each case by itself.
func TestCasesAreWhole(t *testing.T) {
	held := declared(t)
	for _, s := range suites() {
		for _, c := range s.cases {
			name := s.name + " " + c.number
			if c.title == "" || c.old == "" || !slices.Contains([]string{"K", "B", "KB"}, c.kind) {
				t.Errorf("%s is not whole: %+v", name, c)
			}
			if (c.ours == "") != (c.why == "") {
				t.Errorf("%s: a difference needs a reason, and a reason a difference", name)
			}
			if c.kind == "B" && c.ours == "" && !strings.Contains(c.old, "the same") {
				t.Errorf("%s is to be better, but says nothing of it", name)
			}
			key := reference{s.id, c.number}
			if len(held[key]) == 0 {
				t.Errorf("%s is held by no test: begin one with conformance.Case(t, %q, %q), or a script with \"case %s %s\"", name, s.id, c.number, s.id, c.number)
			}
			delete(held, key)
		}
	}
	for key, tests := range held {
		t.Errorf("%s declare the case %s of %s, which there is not", tests, key.number, key.suite)
	}
}

// TestPageIsCurrent fails where docs/compatibility.md is not of these cases:
// go test ./internal/conformance -update writes it.
func TestPageIsCurrent(t *testing.T) {
	want := rendered(declared(t))
	if *update {
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(page)
	if err != nil || !bytes.Equal(have, want) {
		t.Errorf("%s is stale (%v): go test ./internal/conformance -update", page, err)
	}
}

const preface = `# Compatibility

What existing files and scripts for Directord and Task-Core do here, case by case.
**K** is what files depend on, **B** where the old tools have a trap and ours is to
do better. Where nothing stands under "here", it is the same. Generated from the
registry in ` + "`internal/conformance`" + ` and the tests, which declare the cases that they hold.
`

// rendered is the page.
func rendered(held map[reference][]string) []byte {
	var b bytes.Buffer
	b.WriteString(preface)
	for _, s := range suites() {
		differ := 0
		for _, c := range s.cases {
			if c.ours != "" {
				differ++
			}
		}
		fmt.Fprintf(&b, "\n## %s\n\n%d cases, %d of them different on purpose.\n\n", s.name, len(s.cases), differ)
		b.WriteString("| # | | case | " + s.name + " | here | why | tests |\n|---|---|---|---|---|---|---|\n")
		for _, c := range s.cases {
			var tests []string
			for _, test := range held[reference{s.id, c.number}] {
				tests = append(tests, "`"+strings.TrimPrefix(test, "cli/testdata/script/")+"`")
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", c.number, c.kind, cell(c.title), cell(c.old), cell(c.ours), cell(c.why), strings.Join(tests, " "))
		}
	}
	return b.Bytes()
}

// cell keeps a text within its cell of the table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
