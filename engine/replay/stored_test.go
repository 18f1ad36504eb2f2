package replay_test

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quorate/engine/replay"
	"quorate/engine/snapshot"
	"quorate/eventlog"
)

var updateFlag = flag.Bool("update", false, "write the stored files that are missing")

// TestStoredFiles reads files that earlier versions of the program wrote: their chain is
// whole, and any point of them is what it was. Files are added, by -update where the
// newest is missing, and never changed.
func TestStoredFiles(t *testing.T) {
	t.Parallel()
	newest := filepath.Join("testdata", "v1.db.gz")
	if _, err := os.Stat(newest); err != nil && *updateFlag {
		store(t, newest)
	}
	all, err := filepath.Glob(filepath.Join("testdata", "*.db.gz"))
	if err != nil || len(all) == 0 {
		t.Fatal("no stored files", err)
	}
	for _, path := range all {
		want, err := os.ReadFile(strings.TrimSuffix(path, ".db.gz") + ".want")
		if err != nil {
			t.Fatal(err)
		}
		if got := told(t, unpacked(t, path)); got != string(want) {
			t.Errorf("%s means something else now:\n%s\nwant:\n%s", path, got, want)
		}
	}
}

// unpacked is a directory with the stored log, and the snapshot that lies beside it.
func unpacked(t *testing.T, path string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	inflate := func(from, to string) {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		r, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inflate(path, filepath.Join(dir, eventlog.StoreFile))
	if err := os.Mkdir(filepath.Join(dir, snapshot.DirName), 0o700); err != nil {
		t.Fatal(err)
	}
	state := strings.TrimSuffix(path, ".db.gz") + ".state.gz"
	inflate(state, filepath.Join(dir, snapshot.DirName, fmt.Sprintf("%020d.state", 50)))
	return dir
}

// told is what a directory's log says, point by point.
func told(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	head, hash, err := eventlog.Verify(filepath.Join(dir, eventlog.StoreFile))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "head %d %s\n", head, hash)
	r, _ := open(t, dir)
	for at := uint64(0); at <= r.Last(); at += 10 {
		s, err := r.StateAt(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "state %d %s\n", at, s.Hash())
	}
	w := replay.NewWalker(r)
	for at := uint64(1); at <= r.Last(); at++ {
		f, err := w.Frame(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%d %s void %q\n", f.Seq, f.Kind, f.VoidReason)
	}
	return b.String()
}

// store writes the log of the engine's stored story as a file of the present format.
func store(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "testdata", "logs", "everything.log"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s, err := eventlog.OpenStore(filepath.Join(dir, eventlog.StoreFile), eventlog.StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var head eventlog.Head
	for line := range strings.Lines(string(text)) {
		var index uint64
		var entry eventlog.Entry
		var data string
		if _, err := fmt.Sscan(line, &index, &entry.Time, &entry.Kind, &data); err != nil {
			t.Fatal(err)
		}
		if entry.Data, err = hex.DecodeString(data); err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(eventlog.Commit{Records: []eventlog.Record{head.Next(entry)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	deflate := func(from, to string) {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	states := snapshot.At(filepath.Join(dir, snapshot.DirName))
	if err := states.Save(&snapshot.Snapshot{State: folded(t, dir, 50), Voids: snapshot.Voids{}}); err != nil {
		t.Fatal(err)
	}
	stem := strings.TrimSuffix(path, ".db.gz")
	deflate(filepath.Join(dir, eventlog.StoreFile), path)
	deflate(filepath.Join(dir, snapshot.DirName, fmt.Sprintf("%020d.state", 50)), stem+".state.gz")
	if err := os.WriteFile(stem+".want", []byte(told(t, dir)), 0o644); err != nil {
		t.Fatal(err)
	}
}
