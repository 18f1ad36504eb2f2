package replay_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"quorate/engine"
	"quorate/engine/replay"
	"quorate/engine/snapshot"
	"quorate/eventlog"
	"quorate/internal/bench/biglog"
)

const recordsOfPast = 6000

// made is a directory with a log and a few snapshots, made once.
var made = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "quorate-replay-")
	if err != nil {
		return "", err
	}
	_, err = biglog.Write(dir, "c1", biglog.Shape{Hosts: 5, Tasks: 6, Jobs: 3}, recordsOfPast)
	return dir, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := made(); dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// past copies the log, with snapshots at these points.
func past(t *testing.T, snapshots ...uint64) (dir string) {
	t.Helper()
	source, err := made()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	data, err := os.ReadFile(filepath.Join(source, eventlog.StoreFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, eventlog.StoreFile), data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, at := range snapshots {
		s := &snapshot.Snapshot{State: folded(t, dir, at), Voids: snapshot.Voids{}}
		if err := snapshot.At(filepath.Join(dir, snapshot.DirName)).Save(s); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// folded is the log folded from its beginning, without any of this package.
func folded(t *testing.T, dir string, to uint64) *engine.State {
	t.Helper()
	store, err := eventlog.OpenStore(filepath.Join(dir, eventlog.StoreFile), eventlog.StoreOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	s := engine.NewState()
	for s.Index < to {
		records, err := store.Read(s.Index+1, int(to-s.Index))
		if err != nil || len(records) == 0 {
			t.Fatal(s.Index, err)
		}
		for _, rec := range records {
			if _, err := s.Fold(rec); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

// counting counts the records that are read.
type counting struct {
	*replay.Files
	read int
}

func (c *counting) Records(ctx context.Context, from uint64, limit int) ([]eventlog.Record, error) {
	records, err := c.Files.Records(ctx, from, limit)
	c.read += len(records)
	return records, err
}

func open(t *testing.T, dir string) (*replay.Replay, *counting) {
	t.Helper()
	files, err := replay.OpenFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { files.Close() })
	log := &counting{Files: files}
	r, err := replay.New(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	return r, log
}

// TestStateAt: the state at any point is that of the records up to there, and no more
// than those behind the nearest snapshot are read for it.
func TestStateAt(t *testing.T) {
	t.Parallel()
	dir := past(t, 2000, 4000)
	r, log := open(t, dir)
	for _, at := range []uint64{0, 1, 17, 1999, 2000, 2001, 3999, 5432, r.Last()} {
		log.read = 0
		s, err := r.StateAt(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		if want := folded(t, dir, at); s.Index != at || s.Hash() != want.Hash() {
			t.Errorf("at %d the state is another one", at)
		}
		if most := int(at%2000) + 1; at < 6000 && log.read > most {
			t.Errorf("for %d %d records were read", at, log.read)
		}
	}
	if _, err := r.StateAt(t.Context(), r.Last()+1); !errors.Is(err, replay.ErrOutside) {
		t.Errorf("behind the end: %v", err)
	}
	s, err := r.StateAt(t.Context(), 1234)
	if err != nil {
		t.Fatal(err)
	}
	for nanos, want := range map[int64]uint64{s.Time: 1234, s.Time - 1: 1233, s.Time + 1: 1234, 0: 0, 1 << 62: r.Last()} {
		if got, err := r.IndexAt(t.Context(), nanos); got != want || err != nil {
			t.Errorf("at time %d: %d, %v, want %d", nanos, got, err, want)
		}
	}
}

// TestSnapshotOfAnotherLog: one that does not fit the chain is not believed.
func TestSnapshotOfAnotherLog(t *testing.T) {
	t.Parallel()
	dir := past(t)
	forged := folded(t, dir, 3000)
	forged.Agents[slices.Collect(mapKeys(forged.Agents))[0]].Name = "mallory"
	forged.Head[0] ^= 1
	if err := snapshot.At(filepath.Join(dir, snapshot.DirName)).Save(&snapshot.Snapshot{State: forged}); err != nil {
		t.Fatal(err)
	}
	r, _ := open(t, dir)
	s, err := r.StateAt(t.Context(), 3001)
	if err != nil {
		t.Fatal(err)
	}
	if s.Hash() != folded(t, dir, 3001).Hash() {
		t.Error("a snapshot that does not fit the log was believed")
	}
}

func mapKeys[K comparable, V any](m map[K]V) func(func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// TestNothingIsWritten: on a directory that may not be written to everything works,
// and every file is as it was.
func TestNothingIsWritten(t *testing.T) {
	t.Parallel()
	dir := past(t, 2000)
	sums := func() map[string][32]byte {
		all := map[string][32]byte{}
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			all[path] = sha256.Sum256(data)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := sums()
	modes := func(file, folder fs.FileMode) {
		for path := range before {
			if err := errors.Join(os.Chmod(path, file), os.Chmod(filepath.Dir(path), folder)); err != nil {
				t.Fatal(err)
			}
		}
	}
	modes(0o400, 0o500)
	t.Cleanup(func() { modes(0o600, 0o700) })
	r, _ := open(t, dir)
	if _, err := r.StateAt(t.Context(), 2500); err != nil {
		t.Error(err)
	}
	if _, err := r.Diff(t.Context(), 10, 2500); err != nil {
		t.Error(err)
	}
	if _, err := replay.NewWalker(r).Frame(t.Context(), 2222); err != nil {
		t.Error(err)
	}
	after := sums()
	if len(after) != len(before) {
		t.Errorf("there were %d files, and now %d", len(before), len(after))
	}
	for path, sum := range before {
		if after[path] != sum {
			t.Errorf("%s was written to", path)
		}
	}
}

// TestWalk: each record's changes, taken one after the other, are what a comparison of
// the two ends says, whichever way the walk went.
func TestWalk(t *testing.T) {
	t.Parallel()
	dir := past(t, 2000)
	r, _ := open(t, dir)
	w := replay.NewWalker(r)
	type field struct {
		run                uint64
		what, which, field string
	}
	const from, to = 3000, 3300
	forward := map[field]string{}
	for i := uint64(from + 1); i <= to; i++ {
		f, err := w.Frame(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		if f.Seq != i {
			t.Fatalf("frame %d is of record %d", i, f.Seq)
		}
		for _, c := range f.Changes {
			key := field{c.Run, c.What, c.Which, c.Field}
			if before, seen := forward[key]; seen && before != c.Before {
				t.Errorf("record %d: %v goes on from %q, and not %q", i, key, c.Before, before)
			}
			forward[key] = c.After
		}
	}
	whole, err := r.Diff(t.Context(), from, to)
	if err != nil {
		t.Fatal(err)
	}
	if len(whole) == 0 {
		t.Fatal("nothing has changed")
	}
	for _, c := range whole {
		if strings.HasPrefix(c.Field, "tasks ") {
			continue // a run that is new is told in sums, where steps tell each task
		}
		if got := forward[field{c.Run, c.What, c.Which, c.Field}]; got != c.After {
			t.Errorf("%s %s %s: %q by steps, %q at once", c.What, c.Which, c.Field, got, c.After)
		}
	}
	for i := uint64(to); i > from; i -= 7 {
		back, err := w.Frame(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		other, _ := open(t, dir)
		again, err := replay.NewWalker(other).Frame(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		if len(back.Changes) != len(again.Changes) || !slices.Equal(back.Changes, again.Changes) {
			t.Errorf("record %d changed %v going back, and %v", i, back.Changes, again.Changes)
		}
	}
}

// TestSearch finds kinds and hosts in both directions, as a look at every record does.
func TestSearch(t *testing.T) {
	t.Parallel()
	r, _ := open(t, past(t, 2000))
	w := replay.NewWalker(r)
	want := map[string][]uint64{}
	for i := uint64(1); i <= 5000; i++ {
		f, err := w.Frame(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		if f.Kind == "attempt_ended" {
			want["kind"] = append(want["kind"], i)
		}
		for _, c := range f.Changes {
			if c.What == "step" && strings.HasSuffix(c.Which, "@host-003") && f.Kind == "attempt_ended" {
				want["host"] = append(want["host"], i)
				break
			}
		}
	}
	for name, wanted := range map[string]replay.Wanted{
		"kind": {Kind: eventlog.KindAttemptEnded}, "host": {Kind: eventlog.KindAttemptEnded, Host: "host-003"},
	} {
		all := want[name]
		if len(all) < 10 {
			t.Fatalf("%s: only %d", name, len(all))
		}
		for _, i := range []int{0, 1, len(all) / 2, len(all) - 2} {
			if got, err := w.Next(t.Context(), all[i], wanted); got != all[i+1] || err != nil {
				t.Errorf("%s behind %d: %d, %v, want %d", name, all[i], got, err, all[i+1])
			}
			if got, err := w.Previous(t.Context(), all[i+1], wanted); got != all[i] || err != nil {
				t.Errorf("%s before %d: %d, %v, want %d", name, all[i+1], got, err, all[i])
			}
		}
		if got, err := w.Previous(t.Context(), all[0], wanted); got != 0 || err != nil {
			t.Errorf("%s before the first: %d, %v", name, got, err)
		}
	}
	if got, err := w.Next(t.Context(), 0, replay.Wanted{Kind: eventlog.KindAgentRevoked}); got != 0 || err != nil {
		t.Errorf("what is nowhere is at %d, %v", got, err)
	}
}
