package verb

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestEditOfAnotherIsNotLost: what somebody else writes between the decision and the
// write stays.
func TestEditOfAnotherIsNotLost(t *testing.T) {
	h := newHost(t)
	h.write("f", "old\n")
	e, err := editOf(filepath.Join(h.dir, "f"), owner{uid: -1, gid: -1})
	if err != nil {
		t.Fatal(err)
	}
	steps, err := e.steps([]byte("new\n"))
	if err != nil || len(steps) != 1 {
		t.Fatalf("%d steps, %v", len(steps), err)
	}
	h.write("f", "theirs\n")
	res := perform(t.Context(), steps)
	if res.Outcome != Failed || res.Changed || !strings.Contains(res.Info, "somebody else") || h.read("f") != "theirs\n" {
		t.Errorf("%+v: %q", res, h.read("f"))
	}
}
