package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"quorate/engine/orchestrator"
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
	for _, want := range []string{"compare both first", "cluster add --replace 7", "replay --verify --data-dir /srv/q", "cluster recover --data-dir /srv/q"} {
		if !strings.Contains(hints, want) {
			t.Errorf("%q is not in %q", want, hints)
		}
	}
}

// TestAlarmsHaveOneName wants what raft calls an alarm to be known by that in metrics.
func TestAlarmsHaveOneName(t *testing.T) {
	t.Parallel()
	for _, code := range []string{raft.AlarmLowSpace, raft.AlarmReadOnly, raft.AlarmSlowDisk} {
		if !slices.Contains(orchestrator.AlarmCodes(), code) {
			t.Errorf("alarm %q is not known", code)
		}
	}
}
