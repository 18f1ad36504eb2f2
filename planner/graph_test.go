package planner

import (
	"bytes"
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestLevelsAreLongestChains(t *testing.T) {
	p := graphPlan("a/1:", "a/2:", "b/1: a-1", "c/1: b-1 a-2", "c/2: a-2")
	want := [][]uint32{{0, 1}, {2, 4}, {3}}
	if got := p.Levels(); !reflect.DeepEqual(got, want) {
		t.Errorf("levels %v, want %v", got, want)
	}
	if got := (&Plan{}).Levels(); len(got) != 0 {
		t.Errorf("an empty plan has levels %v", got)
	}
}

func TestCriticalPath(t *testing.T) {
	more := graphPlan("a/1:", "b/1:", "a/2: a-1", "b/2: b-1")
	more.Tasks[1].Jobs = append(more.Tasks[1].Jobs, Job{}, Job{})
	for name, c := range map[string]struct {
		plan *Plan
		want []uint32
	}{
		"empty":               {&Plan{}, nil},
		"single":              {graphPlan("a/1:"), []uint32{0}},
		"longest":             {graphPlan("a/1:", "a/2:", "b/1: a-1", "c/1: b-1 a-2"), []uint32{0, 2, 3}},
		"first of equals":     {graphPlan("a/1:", "b/1:", "a/2: a-1", "b/2: b-1"), []uint32{0, 2}},
		"more jobs of equals": {more, []uint32{1, 3}},
	} {
		if got := c.plan.CriticalPath(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestImpliedEdges holds the bit sets against a search from each requirement.
func TestImpliedEdges(t *testing.T) {
	p := randomPlan(5, 150)
	var reaches func(from, to int) bool
	reaches = func(from, to int) bool {
		return slices.ContainsFunc(p.Tasks[to].Requires, func(d Dep) bool {
			return int(d.Task) == from || int(d.Task) > from && reaches(from, int(d.Task))
		})
	}
	implied := 0
	for _, e := range p.edges() {
		want := slices.ContainsFunc(p.Tasks[e.to].Requires, func(d Dep) bool {
			return int(d.Task) != e.from && reaches(e.from, int(d.Task))
		})
		if e.implied != want {
			t.Fatalf("edge %d-%d: implied %v, want %v", e.from, e.to, e.implied, want)
		}
		if want {
			implied++
		}
	}
	if implied == 0 {
		t.Fatal("the sample has no implied edge: the test shows nothing")
	}
}

var (
	dotNode     = regexp.MustCompile(`^  ("(?:[^"\\]|\\.)*") \[.*\];$`)
	dotEdge     = regexp.MustCompile(`^  ("(?:[^"\\]|\\.)*") -> ("(?:[^"\\]|\\.)*")(?: \[.*\])?;$`)
	mermaidNode = regexp.MustCompile("^  t([0-9]+)\\[\"([^\"<>`]*)\"\\]$")
	mermaidEdge = regexp.MustCompile(`^  t([0-9]+) (-->|-\.->|==>) t([0-9]+)$`)
)

// wantEdges lists the plan's edges as "from>to" of the names given.
func wantEdges(p *Plan, name func(int) string) []string {
	var out []string
	for to := range p.Tasks {
		for _, d := range p.Tasks[to].Requires {
			out = append(out, name(int(d.Task))+">"+name(to))
		}
	}
	slices.Sort(out)
	return out
}

func graphsToDraw() map[string]*Plan {
	return map[string]*Plan{
		"none": {}, "hostile": hostileNames(), "random": randomPlan(11, 90),
		"diamond": graphPlan("a/a:", "a/b: a-a", "a/c: a-a*", "a/d: a-a a-b a-c"),
	}
}

func TestDotHoldsTheGraph(t *testing.T) {
	for name, p := range graphsToDraw() {
		var buf bytes.Buffer
		if err := p.Dot(&buf); err != nil {
			t.Fatal(err)
		}
		var nodes, edges, wantNodes []string
		for line := range strings.Lines(buf.String()) {
			line = strings.TrimSuffix(line, "\n")
			if m := dotEdge.FindStringSubmatch(line); m != nil {
				edges = append(edges, m[1]+">"+m[2])
			} else if m := dotNode.FindStringSubmatch(line); m != nil {
				nodes = append(nodes, m[1])
			} else if !regexp.MustCompile(`^(digraph plan \{|  (graph|node|edge) \[.*\];|  rankdir=LR;|\})$`).MatchString(line) {
				t.Errorf("%s: line %q is neither node nor edge", name, line)
			}
		}
		slices.Sort(edges)
		for i := range p.Tasks {
			wantNodes = append(wantNodes, dotQuote(p.Tasks[i].ID))
		}
		if !slices.Equal(nodes, wantNodes) {
			t.Errorf("%s: nodes %q, want %q", name, nodes, wantNodes)
		}
		if want := wantEdges(p, func(i int) string { return dotQuote(p.Tasks[i].ID) }); !slices.Equal(edges, want) {
			t.Errorf("%s: edges %q, want %q", name, edges, want)
		}
	}
}

func TestMermaidHoldsTheGraph(t *testing.T) {
	for name, p := range graphsToDraw() {
		var buf bytes.Buffer
		if err := p.Mermaid(&buf); err != nil {
			t.Fatal(err)
		}
		nodes := 0
		var edges []string
		for line := range strings.Lines(buf.String()) {
			line = strings.TrimSuffix(line, "\n")
			if m := mermaidNode.FindStringSubmatch(line); m != nil {
				if m[1] != strconv.Itoa(nodes) {
					t.Errorf("%s: node %s comes at %d", name, m[1], nodes)
				}
				nodes++
			} else if m := mermaidEdge.FindStringSubmatch(line); m != nil {
				edges = append(edges, m[1]+">"+m[3])
			} else if !regexp.MustCompile(`^(flowchart LR|  class .*|  classDef .*)$`).MatchString(line) {
				t.Errorf("%s: line %q is neither node nor edge", name, line)
			}
		}
		slices.Sort(edges)
		if want := wantEdges(p, strconv.Itoa); nodes != len(p.Tasks) || !slices.Equal(edges, want) {
			t.Errorf("%s: %d nodes, edges %q, want %d and %q", name, nodes, edges, len(p.Tasks), want)
		}
	}
}

func TestSameHostAndCriticalEdgesLookDifferent(t *testing.T) {
	p := graphPlan("a/1:", "a/2: a-1", "a/3: a-2", "b/1: a-1*", "b/2: a-2~")
	var dot, mermaid, svg strings.Builder
	for _, err := range []error{p.Dot(&dot), p.Mermaid(&mermaid), p.SVG(&svg)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ text, want string }{
		{dot.String(), `"a-1" -> "b-1" [style=dashed];`},
		{dot.String(), `"a-2" -> "a-3" [color="#ea580c", penwidth=2];`},
		{dot.String(), `"a-2" -> "b-2" [style=dashed, arrowhead=empty];`},
		{mermaid.String(), "t0 -.-> t3\n"},
		{mermaid.String(), "t1 -.-> t4\n"},
		{mermaid.String(), "t1 ==> t2\n"},
		{svg.String(), `<path class="edge same-host" d="`},
		{svg.String(), `<path class="edge after-same-host" d="`},
		{svg.String(), `<path class="edge critical" d="`},
		{svg.String(), `<g class="task critical" data-task="2">`},
	} {
		if !strings.Contains(c.text, c.want) {
			t.Errorf("%s is missing in\n%s", c.want, c.text)
		}
	}
}

func TestViewOfPlan(t *testing.T) {
	p := graphPlan("a/1:", "a/2: a-1", "b/1: a-1*", "b/2: a-1~")
	v := View(p, []Diagnostic{{Severity: Warning, Code: "hostless", Pos: Pos{File: "x.yaml", Line: 3, Column: 4}}},
		[]Verdict{{}, {Action: ActionUnchanged, Reason: "done in run 3"}})
	var doc struct {
		Schema       string     `json:"schema"`
		PlanID       string     `json:"plan_id"`
		Hosts        []string   `json:"hosts"`
		Order        [][]string `json:"order"`
		CriticalPath []string   `json:"critical_path"`
		Tasks        []map[string]any
		Warnings     []map[string]any
		Errors       []map[string]any
	}
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Schema != ViewSchema || doc.PlanID != p.ID() || !slices.Equal(doc.Hosts, p.Hosts) {
		t.Errorf("head of %s", data)
	}
	if want := [][]string{{"a-1"}, {"a-2", "b-1", "b-2"}}; !reflect.DeepEqual(doc.Order, want) {
		t.Errorf("order %v, want %v", doc.Order, want)
	}
	if want := []string{"a-1", "a-2"}; !slices.Equal(doc.CriticalPath, want) {
		t.Errorf("critical path %v, want %v", doc.CriticalPath, want)
	}
	wantTasks := []map[string]any{
		{"id": "a-1", "action": "run", "reason": "", "level": 0.0, "requires": []any{}, "after": []any{}, "hosts": []any{"h1", "h2"}},
		{"id": "a-2", "action": "unchanged", "reason": "done in run 3", "level": 1.0, "requires": []any{"a.1"}, "hosts": []any{"h2"}, "file": "a.yaml", "line": 2.0, "jobs": 1.0},
		{"id": "b-1", "action": "run", "service": "b", "driver": "directord", "provides": []any{"b.1"},
			"after": []any{map[string]any{"task": "a-1", "scope": "same-host"}}},
		{"id": "b-2", "level": 1.0, "after": []any{map[string]any{"task": "a-1", "scope": "after-same-host"}}},
	}
	for i, want := range wantTasks {
		for key, value := range want {
			if !reflect.DeepEqual(doc.Tasks[i][key], value) {
				t.Errorf("task %d: %s is %v, want %v", i, key, doc.Tasks[i][key], value)
			}
		}
	}
	if len(doc.Errors) != 0 || len(doc.Warnings) != 1 || doc.Warnings[0]["code"] != "hostless" || doc.Warnings[0]["column"] != 4.0 {
		t.Errorf("warnings %v, errors %v", doc.Warnings, doc.Errors)
	}
}

func TestViewWithoutPlanHasNoNulls(t *testing.T) {
	data, err := json.Marshal(View(nil, []Diagnostic{{Code: "cycle", Message: "m", Hint: "h", Pos: Pos{File: "f.yaml", Line: 1, Column: 2}}}, nil))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("null")) {
		t.Errorf("a list is null: %s", data)
	}
	want := `"errors":[{"code":"cycle","message":"m","file":"f.yaml","line":1,"column":2,"hint":"h"}]`
	if !strings.Contains(string(data), want) {
		t.Errorf("%s lacks %s", data, want)
	}
}
