package cli

import (
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

// TestLastCellFits: whatever the last cell of a row holds, the row is no wider than the
// terminal, and the cell loses nothing.
func TestLastCellFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		last, room := rapid.IntRange(0, 70).Draw(t, "last"), rapid.IntRange(lastRoomMin, 40).Draw(t, "room")
		head := strings.Repeat("x", max(last-1, 0)) + strings.Repeat(" ", min(last, 1))
		cell := rapid.StringMatching(`[a-zä]{1,12}( ?[a-zä@:]{1,60}){0,3}`).Draw(t, "cell")
		got := wrapWords(brokenFrom(head+cell, last, room), last+room, strings.Repeat(" ", last))
		var kept strings.Builder
		for part := range strings.SplitSeq(got, "\n") {
			if n := utf8.RuneCountInString(part); n > last+room {
				t.Fatalf("%q has %d columns, more than %d", part, n, last+room)
			}
			kept.WriteString(part)
		}
		if pure := strings.NewReplacer(" ", "").Replace; pure(kept.String()) != pure(head+cell) {
			t.Fatalf("%q lost something of %q", got, cell)
		}
	})
}
