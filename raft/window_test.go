package raft

import (
	"fmt"
	"path/filepath"
	"testing"

	"quorate/eventlog"
	"quorate/raft/proposal"
)

// A process that slept while so many others came and went that it was forgotten
// proposes again what was applied before: that must not take effect twice. What
// it proposes anew does.
func TestForgottenProposerIsNotTakenForANewOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	m := openMachine(t, path, eventlog.StoreOptions{})
	link := func() proposal.Link {
		h := m.tail.Head()
		return proposal.Link{Index: h.Index, Hash: h.Hash}
	}
	linked := func(proposer, sequence uint64) proposal.Proposal {
		p := one(t, proposer, sequence, fmt.Sprint(proposer))
		p.Behind = link()
		return p
	}
	sleeper := linked(1, 1)
	update(t, m, 1, sleeper)
	for i := range uint64(proposersMax) {
		update(t, m, 2+i, linked(100+i, 1))
	}
	head := m.tail.Head()
	for range 2 { // the second time behind a restart
		if r := update(t, m, m.applied+1, sleeper); r.Value != 0 || len(r.Data) == 0 {
			t.Fatalf("it was applied again at %d", r.Value)
		}
		if m.tail.Head() != head {
			t.Fatal("the log grew")
		}
		closeMachine(t, m)
		m = openMachine(t, path, eventlog.StoreOptions{})
	}
	if r := update(t, m, m.applied+1, linked(1, 2)); r.Value != head.Index+1 {
		t.Errorf("what it proposes anew is at %d", r.Value)
	}
	closeMachine(t, m)
}

// A replica that lacks what a proposal stands behind, or has another record there,
// stores nothing more and says so.
func TestReplicaThatDiffersFromTheProposerStops(t *testing.T) {
	for name, behind := range map[string]proposal.Link{
		"a record is missing": {Index: 2},
		"another record":      {Index: 1, Hash: eventlog.Hash{1}},
	} {
		t.Run(name, func(t *testing.T) {
			m := openMachine(t, filepath.Join(t.TempDir(), "log.db"), eventlog.StoreOptions{})
			var told error
			m.diverged = func(err error) { told = err }
			update(t, m, 1, one(t, 1, 1, "x"))
			p := one(t, 2, 1, "y")
			p.Behind = behind
			if r := update(t, m, 2, p); r.Value != 0 {
				t.Errorf("applied at %d", r.Value)
			}
			if r := update(t, m, 3, one(t, 1, 2, "z")); r.Value != 0 || m.tail.Head().Index != 1 || m.applied != 1 {
				t.Errorf("it goes on: %d, head %d, applied %d", r.Value, m.tail.Head().Index, m.applied)
			}
			if told == nil || m.healthy() == nil {
				t.Errorf("told %v, healthy %v", told, m.healthy())
			}
			if _, err := m.PrepareSnapshot(); err == nil {
				t.Error("others get a snapshot of it")
			}
			closeMachine(t, m)
		})
	}
}
