package planner

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawGraph draws tasks and links between them, in any direction.
func drawGraph(t *rapid.T) (n int, links []link) {
	n = rapid.IntRange(1, 12).Draw(t, "tasks")
	for range rapid.IntRange(0, 24).Draw(t, "links") {
		links = append(links, link{
			from: int32(rapid.IntRange(0, n-1).Draw(t, "from")), to: int32(rapid.IntRange(0, n-1).Draw(t, "to")),
			scope: Scope(rapid.IntRange(0, 1).Draw(t, "scope")),
		})
	}
	return n, links
}

func TestSortLinks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, links := drawGraph(t)
		strict := map[[2]int32]Scope{}
		for _, l := range links {
			key := [2]int32{l.to, l.from}
			if s, seen := strict[key]; !seen || l.scope < s {
				strict[key] = l.scope
			}
		}
		got := sortLinks(n, slices.Clone(links))
		if len(got) != len(strict) {
			t.Fatalf("%d links of %d", len(got), len(strict))
		}
		for i, l := range got {
			if strict[[2]int32{l.to, l.from}] != l.scope {
				t.Fatalf("link %v lost its scope", l)
			}
			if i > 0 && (got[i-1].to > l.to || got[i-1].to == l.to && got[i-1].from >= l.from) {
				t.Fatalf("links are not sorted: %v", got)
			}
			if row := rowsByTo(n, got).row(l.to); !slices.Contains(row, l) {
				t.Fatalf("link %v is not in its row %v", l, row)
			}
		}
	})
}

// TestLevelsAndCycles holds both against reachability worked out the slow way.
func TestLevelsAndCycles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, links := drawGraph(t)
		reach := make([][]bool, n)
		for i := range reach {
			reach[i] = make([]bool, n)
		}
		for _, l := range links {
			reach[l.from][l.to] = true
		}
		for k := range n {
			for i := range n {
				for j := range n {
					reach[i][j] = reach[i][j] || reach[i][k] && reach[k][j]
				}
			}
		}
		out := rowsByFrom(n, links)
		level, order := levels(n, out)
		stuck := make([]bool, n)
		for i := range n {
			behind := reach[i][i]
			for j := range n {
				behind = behind || reach[j][j] && reach[j][i]
			}
			if stuck[i] = level[i] < 0; stuck[i] != behind || stuck[i] == slices.Contains(order, int32(i)) {
				t.Fatalf("task %d is on or behind a cycle (%v), but has level %d", i, behind, level[i])
			}
		}
		for _, l := range links {
			if !stuck[l.to] && level[l.from] >= level[l.to] {
				t.Fatalf("link %v does not ascend", l)
			}
		}
		checkCycles(t, n, links, reach, cycles(n, out, stuck, func(a, b int32) bool { return a < b }))
	})
}

// checkCycles: one cycle for each knot, along links, each task once.
func checkCycles(t *rapid.T, n int, links []link, reach [][]bool, found [][]int32) {
	knots := map[int]bool{} // by least task
	for i := range n {
		if !reach[i][i] {
			continue
		}
		least := i
		for j := range i {
			if reach[i][j] && reach[j][i] {
				least = min(least, j)
			}
		}
		knots[least] = true
	}
	if len(found) != len(knots) {
		t.Fatalf("%d cycles for %d knots", len(found), len(knots))
	}
	for _, cycle := range found {
		if !knots[int(cycle[0])] {
			t.Fatalf("cycle %v does not begin with its knot's least task", cycle)
		}
		if sorted := slices.Sorted(slices.Values(cycle)); len(slices.Compact(sorted)) != len(cycle) {
			t.Fatalf("cycle %v repeats a task", cycle)
		}
		for k, to := range cycle {
			from := cycle[(k+len(cycle)-1)%len(cycle)]
			if !slices.ContainsFunc(links, func(l link) bool { return l.from == from && l.to == to }) {
				t.Fatalf("cycle %v goes from %d to %d, where there is no link", cycle, from, to)
			}
		}
	}
}

// TestLongCycle: the search does not run out of stack.
func TestLongCycle(t *testing.T) {
	const n = 200_000
	links := make([]link, n)
	stuck := make([]bool, n)
	for i := range links {
		links[i] = link{from: int32(i), to: int32((i + 1) % n)}
		stuck[i] = true
	}
	found := cycles(n, rowsByFrom(n, links), stuck, func(a, b int32) bool { return a < b })
	if len(found) != 1 || len(found[0]) != n {
		t.Fatalf("%d cycles", len(found))
	}
}

// TestMatchersAreThePatterns: editors are given the patterns, we use the matchers.
func TestMatchersAreThePatterns(t *testing.T) {
	text := rapid.StringOf(rapid.RuneFrom([]rune("aZ09.-_ /:é\n")))
	for _, pattern := range []string{PatternName, PatternHost, PatternRole, PatternServiceRef, PatternVersion} {
		match, want := matcherOf(pattern), regexp.MustCompile(pattern)
		rapid.Check(t, func(t *rapid.T) {
			if s := text.Draw(t, "text"); match(s) != want.MatchString(s) {
				t.Fatalf("%q against %s is %v", s, pattern, match(s))
			}
		})
	}
	if matcherOf("^x+$")("y") || !matcherOf("")("anything") {
		t.Error("a pattern of another kind is not held")
	}
}

func TestNearest(t *testing.T) {
	words := []string{"requires", "provides", "needed-by", "id", "init", "web", "RUN"}
	for name, want := range map[string]string{
		"require": "requires", "requiers": "requires", "Requires": "requires", "needed_by": "needed-by", "di": "id", "int": "init",
		"RNU": "RUN", "wbe": "web", "proivded": "provides", "completely-else": "", "x": "", "zzz": "",
	} {
		if got := nearest(name, slices.Values(words)); got != want {
			t.Errorf("nearest to %q is %q, want %q", name, got, want)
		}
	}
	if got := editDistance("kitten", "sitting", 9); got != 3 {
		t.Errorf("kitten is %d from sitting", got)
	}
	if got := editDistance(strings.Repeat("a", 50), strings.Repeat("b", 50), 3); got != 3 {
		t.Errorf("the limit is not kept: %d", got)
	}
}
