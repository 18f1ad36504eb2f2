package raft

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestSidecarKeepsTheNewestWholeSlot(t *testing.T) {
	path := filepath.Join(t.TempDir(), sidecarFile)
	s, err := createSidecar(path, 7)
	if err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); i <= 5; i++ {
		if err := s.write(claim{last: i - 1}, claim{last: i, term: 3, hash: entryHash{1}}, []byte("update")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	read := func() (slot, bool, error) {
		s, newest, whole, err := openSidecar(path, 7)
		if err == nil {
			err = s.close()
		}
		return newest, whole, err
	}
	got, whole, err := read()
	if err != nil || !whole || got.after.last != 5 || got.before.last != 4 || string(got.update) != "update" {
		t.Fatalf("got %+v, %v, %v", got, whole, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	newest := int(got.sequence%sidecarSlots) * sidecarSlotBytes
	b[newest+slotUpdateAt] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, whole, err = read(); err != nil || whole || got.after.last != 4 {
		t.Fatalf("torn: got %+v, %v, %v", got, whole, err)
	}
	if _, _, _, err := openSidecar(path, 8); !errors.Is(err, errSidecarDamaged) {
		t.Fatalf("of another replica: %v", err)
	}
	clear(b)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := read(); !errors.Is(err, errSidecarDamaged) {
		t.Fatalf("zeroed: %v", err)
	}
}

func FuzzSidecarSlot(f *testing.F) {
	s := slot{sequence: 9, replica: 2, before: claim{last: 4}, after: claim{last: 5, term: 6, vote: 1}, update: []byte("u")}
	f.Add(s.encode(nil))
	f.Add([]byte(sidecarMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := decodeSlot(b)
		if !ok {
			return
		}
		again, ok := decodeSlot(got.encode(nil))
		if !ok || !reflect.DeepEqual(again, got) && !bytes.Equal(again.update, got.update) {
			t.Fatalf("%+v became %+v", got, again)
		}
	})
}

// TestOldCopiesAreRefused puts files of some time before in the place of newer
// ones. Of all at once nothing in the directory can tell: the other replicas have
// to.
func TestOldCopiesAreRefused(t *testing.T) {
	t.Parallel()
	dir, old := t.TempDir(), t.TempDir()
	c := &trio{dir: dir, nodes: map[uint64]*Node{}}
	c.start(t, 1)
	c.append(t, 1, 20, "before ")
	copyDir(t, c.data(1), old)
	last := c.append(t, 1, 20, "after ")
	c.stop(t, 1)
	tests := []struct {
		name string
		put  []string // relative to the directory, of the old one
		want error
	}{
		{"raft's directory", []string{raftDir}, ErrBehind},
		{"the library's files only", []string{hostDir(t, old)}, ErrBehind},
		{"the guard only", []string{filepath.Join(raftDir, sidecarFile)}, ErrDamaged},
		{"the store only, which raft's log makes up for", []string{"log.db"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &trio{dir: t.TempDir(), nodes: map[uint64]*Node{}}
			copyDir(t, dir, c.dir)
			for _, name := range tt.put {
				if err := os.RemoveAll(filepath.Join(c.data(1), name)); err != nil {
					t.Fatal(err)
				}
				info, err := os.Stat(filepath.Join(old, name))
				if err != nil {
					t.Fatal(err)
				}
				if info.IsDir() {
					copyDir(t, filepath.Join(old, name), filepath.Join(c.data(1), name))
					continue
				}
				b, err := os.ReadFile(filepath.Join(old, name))
				if err == nil {
					err = os.WriteFile(filepath.Join(c.data(1), name), b, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			err := c.tryStart(1)
			defer c.stop(t, 1)
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if err == nil {
				c.settle(t, 1, last)
			}
		})
	}
}

// hostDir is where the library keeps its files, relative to a data directory.
func hostDir(t *testing.T, dir string) string {
	t.Helper()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, raftDir, name)); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(raftDir, name)
}
