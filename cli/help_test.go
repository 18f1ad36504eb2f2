package cli

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestHelpFits: no help text is wider than a terminal, and fitting it loses no word.
func TestHelpFits(t *testing.T) {
	t.Parallel()
	paths := commandPaths()
	if len(paths) < 50 {
		t.Fatalf("only %d commands", len(paths))
	}
	for _, path := range paths {
		help := func(wide bool) string {
			var out bytes.Buffer
			app := quiet().app()
			app.Writer = &helpWriter{out: &out}
			if wide {
				app.Writer = &out
			}
			if err := app.Run(append(slices.Clone(path), "--help")); err != nil {
				t.Errorf("%q: %v", path, err)
			}
			return out.String()
		}
		fitted := help(false)
		for line := range strings.Lines(fitted) {
			if line = strings.TrimSuffix(line, "\n"); utf8.RuneCountInString(line) > helpColumns && strings.Contains(strings.TrimLeft(line, " "), " ") {
				t.Errorf("%s: %d columns: %s", strings.Join(path, " "), utf8.RuneCountInString(line), line)
			}
		}
		if got, want := strings.Fields(fitted), strings.Fields(help(true)); !slices.Equal(got, want) {
			t.Errorf("%s: the text has lost words:\n%s", strings.Join(path, " "), fitted)
		}
	}
}
