package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/orchestrator"
	"quorate/engine/snapshot"
	"quorate/eventlog"
)

// written waits until there is a snapshot at the index or behind it.
func written(t *testing.T, dir string, index uint64) {
	t.Helper()
	eventually(t, fmt.Sprintf("a snapshot at %d", index), func() bool {
		all, err := snapshot.At(dir).List()
		return err == nil && len(all) > 0 && all[len(all)-1] >= index
	})
}

// tokens puts records of which every second is void on the log.
func tokens(t *testing.T, r *replica, n int) {
	t.Helper()
	for i := range n {
		head, _ := r.log.Head()
		e := &eventlog.TokenCreated{TokenHash: fmt.Sprintf("%d-%d", head, i/2), Role: "agent", ExpiresAt: 1}
		if i%2 == 1 {
			e.TokenHash = fmt.Sprintf("%d-%d", head-1, (i-1)/2)
		}
		entry, err := eventlog.NewEntry(int64(i), e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.log.Append(t.Context(), []eventlog.Entry{entry}); err != nil {
			t.Fatal(err)
		}
	}
}

// end stops an orchestrator.
func (r *replica) end(t *testing.T) {
	t.Helper()
	r.stop()
	if err := <-r.ended; err != nil {
		t.Fatal(err)
	}
	r.ended <- nil
}

// whole is what the log folds to from its beginning, and its voids.
func whole(t *testing.T, r *replica) (*engine.State, snapshot.Voids) {
	t.Helper()
	s, voids := engine.NewState(), snapshot.Voids{}
	for {
		records, err := r.log.Read(t.Context(), s.Index+1, 1024)
		if err != nil {
			t.Fatal(err)
		}
		if len(records) == 0 {
			return s, voids
		}
		for _, rec := range records {
			void, err := s.Fold(rec)
			if err != nil {
				t.Fatal(err)
			}
			if void != "" {
				voids.Add(rec.Index, void)
			}
		}
	}
}

// wantWhole compares an orchestrator that has folded everything with the log.
func wantWhole(t *testing.T, r *replica) {
	t.Helper()
	head, _ := r.log.Head()
	if err := r.o.WaitFolded(t.Context(), head); err != nil {
		t.Fatal(err)
	}
	want, voids := whole(t, r)
	r.o.ViewVoids(func(s *engine.State, void func(uint64) string) {
		if s.Index != want.Index {
			t.Fatalf("compared %d with %d: something goes on", s.Index, want.Index)
		}
		if s.Hash() != want.Hash() {
			t.Error("the state differs from the log's")
		}
		for i := range head {
			if void(i+1) != voids.Reason(i+1) {
				t.Errorf("record %d is void for %q, want %q", i+1, void(i+1), voids.Reason(i+1))
			}
		}
	})
}

// TestStartFromSnapshot: a start takes the newest snapshot that fits, and comes to the
// state that the log folds to; without a fitting one it does so as well.
func TestStartFromSnapshot(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "states")
	states := func(c *orchestrator.Config) { c.States, c.StatesEvery = dir, 50 }
	s := newShared(t)
	first := s.start(1, states)
	tokens(t, first, 230)
	written(t, dir, 200)
	wantWhole(t, first)

	first.end(t)
	tokens(t, first, 5)
	second := s.start(2, states)
	if folded, _ := second.o.Watch(); folded < 200 {
		t.Errorf("it starts at %d", folded)
	}
	wantWhole(t, second)
	second.end(t)

	// Cut off, changed, of another log, ahead of the log: none of them is trusted.
	all, err := snapshot.At(dir).List()
	if err != nil || len(all) < 4 {
		t.Fatal(all, err)
	}
	name := func(index uint64) string { return filepath.Join(dir, fmt.Sprintf("%020d.state", index)) }
	data, err := os.ReadFile(name(all[3]))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name(all[3]), data[:len(data)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	other := engine.NewState()
	other.Index, other.Head = all[2], eventlog.Hash{1}
	if err := snapshot.At(dir).Save(&snapshot.Snapshot{State: other}); err != nil {
		t.Fatal(err)
	}
	other.Index = 1 << 40
	if err := snapshot.At(dir).Save(&snapshot.Snapshot{State: other}); err != nil {
		t.Fatal(err)
	}
	half := name(all[3]) + ".tmp"
	if err := os.WriteFile(half, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	third := s.start(3, func(c *orchestrator.Config) { c.States, c.StatesEvery = dir, 1<<40 })
	if folded, _ := third.o.Watch(); folded < all[1] || folded >= all[2] && folded < all[2]+3 {
		t.Errorf("it starts at %d, with %v", folded, all)
	}
	wantWhole(t, third)
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// damaged is a log in which one record is not what was written.
type damaged struct {
	engine.Log
	index uint64
}

func (l damaged) Read(ctx context.Context, from uint64, limit int) ([]eventlog.Record, error) {
	if from <= l.index && l.index < from+uint64(limit) {
		return nil, &eventlog.CorruptError{Path: "log.db", Index: l.index, Reason: "changed"}
	}
	return l.Log.Read(ctx, from, limit)
}

// A snapshot spares the fold of old records, and not that they are looked at.
func TestDamageBehindSnapshotIsNoticed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "states")
	s := newShared(t)
	first := s.start(1, func(c *orchestrator.Config) { c.States, c.StatesEvery = dir, 50 })
	tokens(t, first, 120)
	written(t, dir, 100)
	first.end(t)
	second := s.start(2, func(c *orchestrator.Config) {
		c.States, c.StatesEvery = dir, 1<<40
		c.Log = damaged{c.Log, 7}
	})
	var corrupt *eventlog.CorruptError
	select {
	case err := <-second.ended:
		if !errors.As(err, &corrupt) || corrupt.Index != 7 {
			t.Errorf("it ends with %v", err)
		}
		second.ended <- nil
	case <-time.After(time.Minute):
		t.Error("it serves")
	}
}
