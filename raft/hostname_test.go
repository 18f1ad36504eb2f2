package raft

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"quorate/eventlog"
)

// renamed makes a directory one of a host that had another name.
func renamed(t *testing.T, dir string) {
	t.Helper()
	hosted := filepath.Join(dir, hostDir(t, dir))
	note := filepath.Join(dir, raftDir, libraryFile)
	b, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1 // it names the host; the library refuses it where it reads it
	if err := errors.Join(os.WriteFile(note, b, 0o600), os.Rename(hosted, filepath.Join(filepath.Dir(hosted), "before"))); err != nil {
		t.Fatal(err)
	}
}

// A host that got another name finds its log, also when it died while it looked.
func TestRenamedHostFindsItsLog(t *testing.T) {
	t.Parallel()
	for name, died := range map[string]bool{"at once": false, "after a crash": true} {
		t.Run(name, func(t *testing.T) {
			dir, head := filled(t)
			renamed(t, dir)
			if died {
				if err := os.Remove(filepath.Join(dir, raftDir, libraryFile)); err != nil {
					t.Fatal(err)
				}
			}
			n := start(t, dir)
			if _, got := n.Head(); got != head {
				t.Errorf("head %s, want %s", got, head)
			}
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
			hostDir(t, dir)
		})
	}
}

// Another replica's files are not taken for its own.
func TestRenamedHostTakesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	dir, _ := filled(t)
	renamed(t, dir)
	n, err := tryStart(t, Config{DataDir: dir, Replica: 2})
	if err == nil {
		_ = n.Close()
	}
	if !errors.Is(err, ErrHostname) {
		t.Errorf("started as another replica: %v", err)
	}
}

// A recovery on a host that got another name keeps what was only in Raft's log.
func TestRecoverOnRenamedHost(t *testing.T) {
	t.Parallel()
	dir, head := filled(t)
	renamed(t, dir)
	if err := os.Remove(filepath.Join(dir, eventlog.StoreFile)); err != nil {
		t.Fatal(err)
	}
	got, err := Recover(Config{DataDir: dir}, 100)
	if err != nil || got.Unread != nil || got.Hash != head {
		t.Errorf("recovered %+v, %v; want the head %s", got, err, head)
	}
}
