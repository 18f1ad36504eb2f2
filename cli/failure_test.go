package cli

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"quorate/engine/api"
	"quorate/eventlog"
)

// Errors of the packages below say what to do next, and one that does is given no other
// hint.
func TestHints(t *testing.T) {
	_, newer := eventlog.Decode(eventlog.Kind(9999), nil)
	_, damaged := eventlog.Decode(eventlog.KindRunEnded, nil)
	revoked := &api.Error{Code: "unauthorized", Message: "revoked", Hint: "have another one issued"}
	for _, tt := range []struct {
		name string
		err  error
		code int
		hint string
	}{
		{"a record of a later version", classify(fmt.Errorf("record 26: %w", newer)), exitError, "a newer version"},
		{"a damaged record", hinted(fmt.Errorf("record 26: %w", damaged), "come back"), exitError, "come back"},
		{"an answer with a hint", hinted(revoked, "come back"), exitRefused, revoked.Hint},
		{"an answer without", hinted(&api.Error{Code: "internal", Message: "broken"}, "come back"), exitError, "come back"},
		{"anything", hinted(errors.New("broken"), "come back"), exitError, "come back"},
	} {
		if f := classify(tt.err); f.code != tt.code || len(f.hints) != 1 || !strings.HasPrefix(f.hints[0], tt.hint) {
			t.Errorf("%s: exits %d, with the hints %q", tt.name, f.code, f.hints)
		}
	}
	if f := classify(fmt.Errorf("record 26: %w", damaged)); len(f.hints) != 0 {
		t.Errorf("a damaged record is taken for a newer one: %q", f.hints)
	}
}
