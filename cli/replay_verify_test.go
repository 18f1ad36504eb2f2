package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"quorate/engine"
	"quorate/engine/snapshot"
	"quorate/eventlog"
	"quorate/internal/bench/biglog"
)

// TestVerifyStops: the first Ctrl-C ends it, however long the log is.
func TestVerifyStops(t *testing.T) {
	dir := t.TempDir()
	if _, err := biglog.Write(dir, "c1", biglog.Shape{Hosts: 3, Tasks: 2, Jobs: 2}, 200); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := verified(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// TestVerifySnapshots has a snapshot that somebody made up: it is sound and fits the
// chain, so replay believes it, and only folding the log shows what it is.
func TestVerifySnapshots(t *testing.T) {
	dir := t.TempDir()
	state, err := biglog.Write(dir, "c1", biglog.Shape{Hosts: 3, Tasks: 2, Jobs: 2}, 200)
	if err != nil {
		t.Fatal(err)
	}
	at := state.Index / 2
	kept := &snapshot.Snapshot{State: foldedTo(t, dir, at)}
	states := snapshot.At(filepath.Join(dir, snapshot.DirName))
	if err := states.Save(kept); err != nil {
		t.Fatal(err)
	}
	if s, err := verified(t.Context(), dir); err != nil || s.Hash() != state.Hash() {
		t.Fatalf("with a good snapshot: %v", err)
	}
	kept.State.Runs[0].By = "somebody else"
	if err := states.Save(kept); err != nil {
		t.Fatal(err)
	}
	var other *stateError
	if _, err := verified(t.Context(), dir); !errors.As(err, &other) || other.index != at {
		t.Errorf("with one that is made up: %v", err)
	}
	if err := os.WriteFile(states.File(at), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := verified(t.Context(), dir); err != nil || s.Hash() != state.Hash() {
		t.Errorf("with a damaged one, which nobody believes: %v", err)
	}
}

// foldedTo folds so many records of a directory's log.
func foldedTo(t *testing.T, dir string, n uint64) *engine.State {
	t.Helper()
	store, err := eventlog.OpenStore(filepath.Join(dir, eventlog.StoreFile), eventlog.StoreOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	records, err := store.Read(1, int(n))
	if err != nil {
		t.Fatal(err)
	}
	s := engine.NewState()
	for _, r := range records {
		if _, err := s.Fold(r); err != nil {
			t.Fatal(err)
		}
	}
	if s.Index != n {
		t.Fatalf("folded to %d, want %d", s.Index, n)
	}
	return s
}
