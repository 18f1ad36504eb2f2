package cli

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"quorate/raft"
)

// TestHaltedMemberHasAWayBack wants a member that is halted to name the ways on: with
// others, and where it was the only one.
func TestHaltedMemberHasAWayBack(t *testing.T) {
	t.Parallel()
	n := &node{cfg: nodeConfig{dir: "/srv/q"}, member: &membership{Replica: 7}}
	f, ok := errors.AsType[*failure](n.explainRaft(fmt.Errorf("%w: damage", raft.ErrHalted)))
	if !ok {
		t.Fatal("no hint")
	}
	hints := strings.Join(f.hints, "\n")
	for _, want := range []string{"cluster add --replace 7", "replay --verify --data-dir /srv/q", "cluster recover --data-dir /srv/q"} {
		if !strings.Contains(hints, want) {
			t.Errorf("%q is not in %q", want, hints)
		}
	}
}
