package raft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/dragonboat/v4/raftpb"

	"quorate/eventlog"
	"quorate/eventlog/logtest"
)

// filled makes a data directory with a log of 60 records, and returns its head.
func filled(t *testing.T) (dir string, head eventlog.Hash) {
	t.Helper()
	dir, _, head = filledAndCrashed(t)
	return dir, head
}

// filledAndCrashed returns also a copy of the directory as a crash would have
// left it, behind a flush.
func filledAndCrashed(t *testing.T) (dir, crashed string, head eventlog.Hash) {
	t.Helper()
	dir, crashed = t.TempDir(), t.TempDir()
	n := start(t, dir)
	for i := range 60 {
		e := logtest.Entry(t, int64(i), fmt.Sprint(i, strings.Repeat("x", 1000)))
		if _, err := n.Append(t.Context(), []eventlog.Entry{e}); err != nil {
			t.Fatal(err)
		}
	}
	_, head = n.Head()
	if err := n.machine.flush(); err != nil {
		t.Fatal(err)
	}
	copyDir(t, dir, crashed)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, crashed, head
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func tryStart(t *testing.T, cfg Config) (*Node, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testDeadline)
	defer cancel()
	return Start(ctx, cfg)
}

// raftLog returns the file of Raft's log that holds the entries.
func raftLog(t *testing.T, dir string) string {
	t.Helper()
	var largest string
	var size int64
	err := filepath.WalkDir(filepath.Join(dir, raftDir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".log" {
			return err
		}
		b, err := os.ReadFile(path)
		if n := int64(len(strings.TrimRight(string(b), "\x00"))); n > size {
			largest, size = path, n
		}
		return err
	})
	if err != nil || largest == "" {
		t.Fatalf("no log of raft: %v", err)
	}
	return largest
}

// chunks returns the offsets of the headers in a log of raft: a checksum, a length
// (2 bytes at 4) and a type, in blocks of 32 KiB.
func chunks(b []byte) []int {
	const block, header = 32 << 10, 7
	var offsets []int
	for at := 0; at+header <= len(b); {
		if block-at%block < header {
			at += block - at%block
			continue
		}
		n := int(binary.LittleEndian.Uint16(b[at+4:]))
		if b[at+6] == 0 {
			break
		}
		offsets = append(offsets, at)
		at += header + n
	}
	return offsets
}

// A zeroed chunk header reads as the end of the log: 11 bytes, and everything
// behind them is gone without an error.
func TestRaftLogThatLostItsEndIsRefused(t *testing.T) {
	t.Parallel()
	_, crashed, head := filledAndCrashed(t)
	for _, tenths := range []int{2, 5, 9} {
		dir := t.TempDir()
		copyDir(t, crashed, dir)
		path := raftLog(t, dir)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		headers := chunks(b)
		if len(headers) < 60 {
			t.Fatalf("%d chunks for 60 entries", len(headers))
		}
		at := headers[len(headers)*tenths/10]
		clear(b[at : at+11])
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the library mends its log by dropping the end; that must not help
			n, err := tryStart(t, Config{DataDir: dir, Bootstrap: true})
			if n != nil {
				_ = n.Close()
			}
			if !errors.Is(err, ErrBehind) {
				t.Fatalf("header at %d of %d zeroed: %v", at, len(b), err)
			}
		}
	}
	n, err := tryStart(t, Config{DataDir: crashed})
	if err != nil {
		t.Fatalf("the undamaged directory is refused: %v", err)
	}
	if index, got := n.Head(); index != 60 || got != head {
		t.Errorf("started at %d %s, want %s", index, got, head)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFlippedByteInRaftLogIsRefused(t *testing.T) {
	dir, _ := filled(t)
	path := raftLog(t, dir)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	headers := chunks(b)
	b[headers[len(headers)/2]+50] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := tryStart(t, Config{DataDir: dir})
	if n != nil {
		_ = n.Close()
	}
	if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrBehind) {
		t.Fatalf("started with a flipped byte: %v", err)
	}
}

func TestStartTellsWhatIsWrongWithADirectory(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(dir string) error
		want   error
	}{
		{"raft's files are gone", func(dir string) error { return os.RemoveAll(filepath.Join(dir, raftDir)) }, ErrBehind},
		{"two other hosts", func(dir string) error {
			raft := filepath.Join(dir, raftDir)
			return errors.Join(os.CopyFS(filepath.Join(raft, "elsewhere"), os.DirFS(filepath.Join(raft, host))), os.Rename(filepath.Join(raft, host), filepath.Join(raft, "third")))
		}, ErrHostname},
		{"the store is another file", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, eventlog.StoreFile), []byte("not a log"), 0o600)
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir, _ := filled(t)
			if err := tt.change(dir); err != nil {
				t.Fatal(err)
			}
			n, err := tryStart(t, Config{DataDir: dir, Bootstrap: true})
			if err == nil {
				_ = n.Close()
				t.Fatal("started")
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestNoClusterIsMadeUnlessAskedFor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := tryStart(t, Config{DataDir: dir}); !errors.Is(err, ErrNotBootstrapped) {
		t.Fatalf("start of an empty directory: %v", err)
	}
	n := start(t, dir)
	if _, err := tryStart(t, Config{DataDir: dir, Bootstrap: true}); !errors.Is(err, eventlog.ErrInUse) {
		t.Errorf("second start of one directory: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLostStoreIsReplayedFromRaftLog(t *testing.T) {
	dir, head := filled(t)
	if err := os.Remove(filepath.Join(dir, eventlog.StoreFile)); err != nil {
		t.Fatal(err)
	}
	n, err := tryStart(t, Config{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if index, got := n.Head(); index != 60 || got != head {
		t.Errorf("replayed to %d %s, want %s", index, got, head)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

// savedLog is a log of raft of which the guard sees the extent.
type savedLog struct {
	raftio.ILogDB
	none                        bool
	onDisk, snapshot, last, len uint64
	hole                        uint64 // an entry that is not there
}

func (l savedLog) GetBootstrapInfo(uint64, uint64) (raftpb.Bootstrap, error) {
	if l.none {
		return raftpb.Bootstrap{}, raftio.ErrNoBootstrapInfo
	}
	return raftpb.Bootstrap{}, nil
}

func (l savedLog) GetSnapshot(uint64, uint64) (raftpb.Snapshot, error) {
	return raftpb.Snapshot{Index: l.snapshot, OnDiskIndex: l.onDisk}, nil
}

func (l savedLog) ReadRaftState(_, _, behind uint64) (raftio.RaftState, error) {
	if l.len == 0 && l.snapshot == 0 {
		return raftio.RaftState{}, raftio.ErrNoSavedLog
	}
	if l.last <= behind {
		return raftio.RaftState{}, nil
	}
	return raftio.RaftState{FirstIndex: behind + 1, EntryCount: l.last - behind}, nil
}

func (l savedLog) IterateEntries(_ []raftpb.Entry, _, _, _, low, high, _ uint64) ([]raftpb.Entry, uint64, error) {
	var entries []raftpb.Entry
	for i := low; i < min(high, low+7); i++ {
		if i != l.hole {
			entries = append(entries, raftpb.Entry{Index: i})
		}
	}
	return entries, 0, nil
}

func TestGuardComparesTheStoreWithRaftLog(t *testing.T) {
	tests := []struct {
		name  string
		log   savedLog
		guard guard
		want  error
	}{
		{"new, asked for", savedLog{none: true}, guard{bootstrap: true}, nil},
		{"new, not asked for", savedLog{none: true}, guard{}, ErrNotBootstrapped},
		{"raft is new, the store is not", savedLog{none: true}, guard{bootstrap: true, applied: 3, head: 3}, ErrBehind},
		{"an embedded store under raft", savedLog{none: true}, guard{bootstrap: true, head: 3}, ErrBehind},
		{"level", savedLog{last: 9, len: 9}, guard{applied: 9}, nil},
		{"store behind", savedLog{last: 9, len: 9}, guard{applied: 2}, nil},
		{"log one short", savedLog{last: 8, len: 8}, guard{applied: 9}, ErrBehind},
		{"hole in the log", savedLog{last: 90, len: 90, hole: 50}, guard{applied: 9}, ErrDamaged},
		{"log empty", savedLog{}, guard{applied: 1}, ErrBehind},
		{"snapshot and tail", savedLog{snapshot: 100, onDisk: 100, last: 120, len: 20}, guard{applied: 110}, nil},
		{"snapshot only", savedLog{snapshot: 100, onDisk: 100}, guard{applied: 100}, nil},
		{"snapshot, log short", savedLog{snapshot: 100, onDisk: 100}, guard{applied: 101}, ErrBehind},
		{"store behind the snapshot", savedLog{snapshot: 100, onDisk: 100, last: 120, len: 20}, guard{applied: 99}, ErrStoreBehind},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.guard.replica = 1
			log, err := tt.guard.open(tt.log, filepath.Join(t.TempDir(), sidecarFile))
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if log != nil {
				if err := log.sidecar.close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
