package planner

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

type svgNode struct {
	XMLName xml.Name
	Attrs   []xml.Attr `xml:",any,attr"`
	Text    string     `xml:",chardata"`
	Nodes   []svgNode  `xml:",any"`
}

func (n *svgNode) attr(name string) string {
	for _, a := range n.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (n *svgNode) number(t *testing.T, name string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(n.attr(name), 64)
	if err != nil {
		t.Fatalf("attribute %s of %s: %v", name, n.XMLName.Local, err)
	}
	return v
}

func parseSVG(t *testing.T, p *Plan) *svgNode {
	t.Helper()
	var buf bytes.Buffer
	if err := p.SVG(&buf); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(bytes.NewReader(buf.Bytes()))
	d.Strict = true
	root := new(svgNode)
	if err := d.Decode(root); err != nil {
		t.Fatalf("the picture is no XML: %v", err)
	}
	if rest := buf.String()[d.InputOffset():]; rest != "\n" {
		t.Fatalf("after the root element: %q", rest)
	}
	return root
}

type svgBox struct{ x, y, w, h float64 }

var firstAndLastPoint = regexp.MustCompile(`^M(\S+) (\S+?)C.*[ ](\S+) (\S+)$`)

// checkSVG reads the picture back and holds it against the plan.
func checkSVG(t *testing.T, p *Plan) {
	t.Helper()
	root := parseSVG(t, p)
	width, height := root.number(t, "width"), root.number(t, "height")
	boxes := map[int]svgBox{}
	type ends struct{ from, to int }
	edges := map[ends]string{}
	for i := range root.Nodes {
		n := &root.Nodes[i]
		switch {
		case n.attr("data-task") != "":
			task := int(n.number(t, "data-task"))
			if _, twice := boxes[task]; twice {
				t.Fatalf("task %d has two boxes", task)
			}
			r := &n.Nodes[1]
			boxes[task] = svgBox{r.number(t, "x"), r.number(t, "y"), r.number(t, "width"), r.number(t, "height")}
			if len(n.Nodes[0].Text) == 0 || n.Nodes[0].XMLName.Local != "title" {
				t.Errorf("task %d has no tooltip", task)
			}
		case n.attr("data-from") != "":
			e := ends{int(n.number(t, "data-from")), int(n.number(t, "data-to"))}
			if _, twice := edges[e]; twice {
				t.Fatalf("edge %v is drawn twice", e)
			}
			edges[e] = n.attr("d")
		}
	}
	if len(boxes) != len(p.Tasks) {
		t.Fatalf("%d boxes for %d tasks", len(boxes), len(p.Tasks))
	}
	want := 0
	for to := range p.Tasks {
		for _, d := range p.Tasks[to].Requires {
			want++
			path, ok := edges[ends{int(d.Task), to}]
			if !ok {
				t.Fatalf("the edge from %d to %d is not drawn", d.Task, to)
			}
			checkEnds(t, path, boxes[int(d.Task)], boxes[to])
		}
	}
	if len(edges) != want {
		t.Errorf("%d edges drawn, the plan has %d", len(edges), want)
	}
	for i, a := range boxes {
		if a.x < 0 || a.y < 0 || a.x+a.w > width || a.y+a.h > height {
			t.Errorf("box %d lies outside of the picture", i)
		}
		for j, b := range boxes {
			if i < j && a.x < b.x+b.w && b.x < a.x+a.w && a.y < b.y+b.h && b.y < a.y+a.h {
				t.Fatalf("boxes %d and %d overlap: %v %v", i, j, a, b)
			}
		}
	}
}

// checkEnds demands that a path leads from the right side of a box to the left
// side of the other.
func checkEnds(t *testing.T, path string, from, to svgBox) {
	t.Helper()
	m := firstAndLastPoint.FindStringSubmatch(path)
	if m == nil {
		t.Fatalf("path %q is not understood", path)
	}
	points := [4]float64{from.x + from.w, from.y + from.h/2, to.x, to.y + to.h/2}
	for i, text := range m[1:] {
		got, err := strconv.ParseFloat(text, 64)
		if err != nil || got-points[i] > 0.11 || points[i]-got > 0.11 {
			t.Fatalf("path %q: coordinate %d is %s, the boxes say %.1f", path, i, text, points[i])
		}
	}
}

func TestSVGShowsEveryTaskAndEdgeOnce(t *testing.T) {
	plans := map[string]*Plan{
		"none":    {},
		"one":     graphPlan("a/b:"),
		"diamond": graphPlan("a/a:", "a/b: a-a", "a/c: a-a*", "a/d: a-a a-b a-c"),
		"hostile": hostileNames(),
	}
	for _, n := range []int{2, 10, 60, 300} {
		plans[fmt.Sprint("random", n)] = randomPlan(uint64(n), n)
	}
	for name, p := range plans {
		t.Run(name, func(t *testing.T) { checkSVG(t, p) })
	}
}

func TestSVGOfTwoThousandTasks(t *testing.T) { checkSVG(t, randomPlan(7, 2000)) }

func TestSVGIsDeterministic(t *testing.T) {
	var first string
	for range 3 {
		var b strings.Builder
		if err := randomPlan(3, 120).SVG(&b); err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = b.String()
		}
		if b.String() != first {
			t.Fatal("the same plan gave two pictures")
		}
	}
}

// TestLayoutUntanglesLevels guards the sweeps: in the plan's order
// these chains cross six times.
func TestLayoutUntanglesLevels(t *testing.T) {
	p := graphPlan("a/1:", "a/2:", "a/3:", "b/1: a-3", "b/2: a-2", "b/3: a-1", "c/1: b-3", "c/2: b-2", "c/3: b-1")
	l := newLayout(p, func(int) float64 { return 100 })
	at := make([]int, len(l.nodes))
	l.number(at)
	if c := l.crossings(at); c != 0 {
		t.Errorf("%d crossings are left", c)
	}
	for _, e := range l.edges {
		if a, b := l.nodes[e.from].y, l.nodes[e.to].y; a-b > 0.5 || b-a > 0.5 {
			t.Errorf("edge %d-%d is not straight: %.1f to %.1f", e.from, e.to, a, b)
		}
	}
}

func TestCrossingsCountsPairs(t *testing.T) {
	p := graphPlan("a/1:", "a/2:", "a/3:", "b/1: a-3", "b/2: a-2", "b/3: a-1")
	l := &layout{}
	for i, level := range p.taskLevels() {
		l.nodes = append(l.nodes, layoutNode{task: i, level: int(level)})
	}
	l.route(p.edges())
	l.columns = [][]int{{0, 1, 2}, {3, 4, 5}}
	at := make([]int, len(l.nodes))
	l.number(at)
	if c := l.crossings(at); c != 3 {
		t.Errorf("three edges that all cross each other: %d, want 3", c)
	}
}

func TestLongNamesAreCut(t *testing.T) {
	long := strings.Repeat("waiting", 40)
	if got := fitText(long, titleSize, 200); textWidth(got, titleSize) > 200 || !strings.HasSuffix(got, "…") {
		t.Errorf("%q does not fit", got)
	}
	if got := fitText("short", titleSize, 200); got != "short" {
		t.Errorf("a short text became %q", got)
	}
}

func BenchmarkSVG2000(b *testing.B) {
	p := randomPlan(7, 2000)
	for b.Loop() {
		if err := p.SVG(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
