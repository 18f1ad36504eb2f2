package cli

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// TestWrapWords: no word is lost, and no line is longer than it has to be.
func TestWrapWords(t *testing.T) {
	if got, want := wrapWords("  - one two three four", 11, "    "), "  - one two\n    three\n    four"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	rapid.Check(t, func(t *rapid.T) {
		line := "  - " + strings.Join(rapid.SliceOfN(rapid.StringMatching(`[a-zä]{1,12}`), 1, 30).Draw(t, "words"), " ")
		columns := rapid.IntRange(6, 40).Draw(t, "columns")
		got := wrapWords(line, columns, "    ")
		if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(line), " ") {
			t.Fatalf("%q lost words of %q", got, line)
		}
		for i, part := range strings.Split(got, "\n") {
			words := strings.Fields(part)
			if i == 0 {
				words = words[1:]
			}
			if utf8.RuneCountInString(part) > columns && len(words) > 1 {
				t.Fatalf("%q has more than %d columns", part, columns)
			}
		}
	})
}

// TestBrokenCells: whatever a cell holds, it is no wider than its column, and loses nothing.
func TestBrokenCells(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		columns := rapid.IntRange(1, 40).Draw(t, "columns")
		cell := rapid.StringMatching(`[a-zä]{1,12}( ?[a-zä@:]{1,60}){0,3}`).Draw(t, "cell")
		got := broken(cell, columns)
		for part := range strings.SplitSeq(got, "\n") {
			if n := utf8.RuneCountInString(part); n > columns {
				t.Fatalf("%q has %d columns, more than %d", part, n, columns)
			}
		}
		if pure := strings.NewReplacer(" ", "", "\n", "").Replace; pure(got) != pure(cell) {
			t.Fatalf("%q lost something of %q", got, cell)
		}
	})
}

// TestTablesFit: a table is no wider than the terminal, and numbers and times stay whole.
func TestTablesFit(t *testing.T) {
	const at = "2026-11-22T23:25:30Z"
	g := &grid{header: []any{"KIND", "NAME", "SINCE", "RUN", "VALUE"}}
	g.add("arg", "certificate_organisation", at, 1234567890123, strings.Repeat("long ", 40))
	g.add("arg", strings.Repeat("n", 70), "-", 7, "short")
	for _, columns := range []int{80, 70, 120} {
		sum := len(g.header) - 1
		widths := g.widths(columns)
		for _, w := range widths {
			sum += w
		}
		if sum != columns || widths[2] != len(at) || widths[3] != 13 {
			t.Errorf("on %d columns: %v", columns, widths)
		}
	}
	words := &grid{header: []any{"ROLE", "ADDRESS"}}
	words.add("removed by somebody", "127.0.0.1:17442")
	if got, want := words.widths(30), []int{14, 15}; !slices.Equal(got, want) {
		t.Errorf("where words need not be broken: %v, want %v", got, want)
	}
	if got, want := g.widths(1000), []int{4, 70, 20, 13, 200}; !slices.Equal(got, want) {
		t.Errorf("where there is room: %v, want %v", got, want)
	}
}
