package raft

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/lni/dragonboat/v4/statemachine"
	"pgregory.net/rapid"

	"quorate/eventlog"
	"quorate/eventlog/logtest"
	"quorate/raft/proposal"
)

func openMachine(t *testing.T, path string, opt eventlog.StoreOptions) *machine {
	t.Helper()
	store, err := eventlog.OpenStore(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	m, err := newMachine(store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func closeMachine(t *testing.T, m *machine) {
	t.Helper()
	if err := errors.Join(m.Close(), m.store.Close()); err != nil {
		t.Fatal(err)
	}
}

func update(t *testing.T, m *machine, raftIndex uint64, p proposal.Proposal) statemachine.Result {
	t.Helper()
	cmd := p.Encode()
	out, err := m.Update([]statemachine.Entry{{Index: raftIndex, Cmd: cmd}})
	if err != nil {
		t.Fatal(err)
	}
	clear(cmd) // the library reuses it
	return out[0].Result
}

func one(t *testing.T, proposer, sequence uint64, text string) proposal.Proposal {
	return proposal.Proposal{Proposer: proposer, Sequence: sequence, Entries: []eventlog.Entry{logtest.Entry(t, 1, text)}}
}

func TestRepeatedProposalIsAppliedOnceAlsoAfterRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	m := openMachine(t, path, eventlog.StoreOptions{})
	for s := uint64(1); s <= 3; s++ {
		if r := update(t, m, 10+s, one(t, 5, s, "x")); r.Value != s {
			t.Fatalf("proposal %d is at %d", s, r.Value)
		}
	}
	if r := update(t, m, 20, one(t, 5, 2, "x")); r.Value != 2 {
		t.Fatalf("repeat answered %d", r.Value)
	}
	closeMachine(t, m)
	m = openMachine(t, path, eventlog.StoreOptions{})
	defer closeMachine(t, m)
	if at, err := m.Open(nil); err != nil || at != 20 {
		t.Fatalf("opened at %d, %v", at, err)
	}
	if r := update(t, m, 21, one(t, 5, 3, "x")); r.Value != 3 {
		t.Fatalf("repeat after a restart answered %d", r.Value)
	}
	if r := update(t, m, 22, one(t, 6, 3, "another proposer")); r.Value != 4 {
		t.Fatalf("another proposer's proposal answered %d", r.Value)
	}
	if h := m.tail.Head(); h.Index != 4 {
		t.Fatalf("the log ends at %d", h.Index)
	}
}

func TestProposalTooOldToTellIsRefused(t *testing.T) {
	m := openMachine(t, filepath.Join(t.TempDir(), "log.db"), eventlog.StoreOptions{})
	defer closeMachine(t, m)
	update(t, m, 1, one(t, 5, windowSequences+3, "x"))
	if r := update(t, m, 2, one(t, 5, 3, "x")); r.Value != 0 || len(r.Data) == 0 {
		t.Fatalf("a proposal outside of the window answered %d %q", r.Value, r.Data)
	}
	if r := update(t, m, 3, one(t, 5, 4, "x")); r.Value != 2 {
		t.Fatalf("a proposal at the edge of the window answered %d", r.Value)
	}
	bad, err := m.Update([]statemachine.Entry{{Index: 4, Cmd: []byte("garbage")}})
	if err != nil || bad[0].Result.Value != 0 {
		t.Fatalf("garbage answered %v, %v", bad, err)
	}
}

// Two replicas that flush and restart at different points agree on every answer.
func TestReplicasAgreeWhateverTheirFlushes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		dir := t.TempDir()
		paths := []string{filepath.Join(dir, "a.db"), filepath.Join(dir, "b.db")}
		ms := []*machine{openMachine(t, paths[0], eventlog.StoreOptions{}), openMachine(t, paths[1], eventlog.StoreOptions{})}
		steps := rapid.IntRange(1, 150).Draw(r, "steps")
		for i := range steps {
			p := one(t, rapid.Uint64Range(1, proposersMax+6).Draw(r, "proposer"), rapid.Uint64Range(1, 80).Draw(r, "sequence"), "x")
			a, b := update(t, ms[0], uint64(i+1), p), update(t, ms[1], uint64(i+1), p)
			if a.Value != b.Value {
				r.Fatalf("step %d: %d and %d", i, a.Value, b.Value)
			}
			if rapid.IntRange(0, 19).Draw(r, "restart") == 0 {
				closeMachine(t, ms[1])
				ms[1] = openMachine(t, paths[1], eventlog.StoreOptions{})
			}
		}
		if a, b := ms[0].tail.Head(), ms[1].tail.Head(); a != b {
			r.Fatalf("heads %v and %v", a, b)
		}
		closeMachine(t, ms[0])
		closeMachine(t, ms[1])
	})
}

func TestSnapshotReplacesWhatAReplicaHas(t *testing.T) {
	from := openMachine(t, filepath.Join(t.TempDir(), "log.db"), eventlog.StoreOptions{})
	defer closeMachine(t, from)
	for i := uint64(1); i <= 5000; i++ {
		update(t, from, i, one(t, 5, i, fmt.Sprint(i)))
	}
	at, err := from.PrepareSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	update(t, from, 5001, one(t, 5, 5001, "behind the snapshot"))
	var stream bytes.Buffer
	if err := from.SaveSnapshot(at, &stream, nil); err != nil {
		t.Fatal(err)
	}

	to := openMachine(t, filepath.Join(t.TempDir(), "log.db"), eventlog.StoreOptions{})
	defer closeMachine(t, to)
	update(t, to, 1, one(t, 9, 1, "other"))
	for name, damaged := range map[string][]byte{
		"cut":      stream.Bytes()[:stream.Len()-1],
		"flipped":  flip(stream.Bytes(), stream.Len()-1),
		"no magic": flip(stream.Bytes(), 0),
		"empty":    nil,
	} {
		if err := to.RecoverFromSnapshot(bytes.NewReader(damaged), nil); err == nil {
			t.Fatalf("a %s snapshot was taken", name)
		}
	}
	if h := to.tail.Head(); h.Index != 1 {
		t.Fatalf("after refusals the log ends at %d", h.Index)
	}
	stopped := make(chan struct{})
	close(stopped)
	if err := to.RecoverFromSnapshot(bytes.NewReader(stream.Bytes()), stopped); !errors.Is(err, statemachine.ErrSnapshotStopped) {
		t.Fatalf("a stopped recovery: %v", err)
	}
	if err := to.RecoverFromSnapshot(bytes.NewReader(stream.Bytes()), nil); err != nil {
		t.Fatal(err)
	}
	if h := to.tail.Head(); h != at.(moment).head || to.store.Applied() != 5000 {
		t.Fatalf("recovered to %d, applied %d", h.Index, to.store.Applied())
	}
	if r := update(t, to, 5001, one(t, 5, 5000, "5000")); r.Value != 5000 {
		t.Fatalf("the window did not come along: %d", r.Value)
	}
	page, err := eventlog.ReadMerged(to.store, to.tail, 4999, 10)
	if err != nil || len(page) != 2 {
		t.Fatalf("read %d records, %v", len(page), err)
	}
}

func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

func TestFullDiskIsReportedAndLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	m := openMachine(t, path, eventlog.StoreOptions{BytesMax: 18 << 20})
	big := string(bytes.Repeat([]byte("x"), 1<<20))
	index := uint64(0)
	for m.healthy() == nil && index < 100 {
		index++
		update(t, m, index, one(t, 5, index, big))
		_ = m.flush() // its error is what healthy returns
	}
	if err := m.healthy(); !errors.Is(err, eventlog.ErrFull) {
		t.Fatalf("after %d MiB: %v", index, err)
	}
	update(t, m, index+1, one(t, 5, index+1, "in flight when the disk was full"))
	page, err := eventlog.ReadMerged(m.store, m.tail, index+1, 1)
	if err != nil || len(page) != 1 {
		t.Fatalf("what is applied is readable: %d records, %v", len(page), err)
	}
	if err := m.Close(); !errors.Is(err, eventlog.ErrFull) {
		t.Fatalf("close: %v", err)
	}
	if err := m.store.Close(); err != nil {
		t.Fatal(err)
	}
	m = openMachine(t, path, eventlog.StoreOptions{})
	defer closeMachine(t, m)
	if m.store.Applied() >= index || m.store.Applied() != m.store.Head().Index {
		t.Fatalf("applied %d, stored %d", m.store.Applied(), m.store.Head().Index)
	}
	for i := m.store.Applied() + 1; i <= index+1; i++ { // Raft's log replays the rest
		if r := update(t, m, i, one(t, 5, i, big)); r.Value != i {
			t.Fatalf("replay of %d answered %d", i, r.Value)
		}
	}
}
