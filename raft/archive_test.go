package raft

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/lni/dragonboat/v4"

	"quorate/eventlog"
	"quorate/eventlog/logtest"
)

// archived is a group of one whose log has so many records, those up to an index in
// segments.
func archived(t *testing.T, records int, to uint64) *group {
	t.Helper()
	g := newGroup(t)
	g.start(1, Config{Bootstrap: true})
	g.fill(1, records)
	g.seal(1, to)
	return g
}

// fill appends records that are few to propose.
func (g *group) fill(through uint64, records int) {
	g.t.Helper()
	for records > 0 {
		var entries []eventlog.Entry
		for range min(records, 1000) {
			entries = append(entries, logtest.Entry(g.t, 1, fmt.Sprint("record ", records)))
			records--
		}
		_, err := g.nodes[through].Append(g.ctx, entries)
		g.must(err)
	}
}

func (g *group) seal(id, to uint64) {
	g.t.Helper()
	n := g.nodes[id]
	g.must(n.Barrier(g.ctx))
	g.must(n.machine.flush())
	last, err := n.Seal(g.ctx, to)
	if err != nil || last == 0 || last > to {
		g.t.Fatalf("replica %d sealed up to %d of %d: %v", id, last, to, err)
	}
}

// TestReplicasAreSegmentedAsTheyLike compares three, one of which got all records from
// segments of another.
func TestReplicasAreSegmentedAsTheyLike(t *testing.T) {
	g := archived(t, 9000, 5000)
	_, err := g.nodes[1].host.SyncRequestSnapshot(g.ctx, controlShard, dragonboat.SnapshotOption{OverrideCompactionOverhead: true})
	g.must(err)
	g.join(1, 2) // by a snapshot
	g.join(1, 3)
	g.fill(2, 6000)
	g.seal(2, 14_000)
	g.append(3, "last")
	g.agree()
	index, hash := g.nodes[1].Head()
	var root eventlog.Hash
	for id := range uint64(3) {
		n := g.nodes[id+1]
		z, err := n.Sizes()
		if err != nil || (z.Sealed > 0) != (id < 2) {
			t.Errorf("replica %d: %+v, %v", id+1, z, err)
		}
		g.must(n.machine.flush())
		n.machine.tail.Reset(n.machine.tail.Head()) // from the files
		all := logtest.ReadAll(t, g.ctx, n, 4096)
		tree, err := n.Tree(index)
		g.must(err)
		its, err := tree.Root()
		g.must(err)
		if root == (eventlog.Hash{}) {
			root = its
		}
		if uint64(len(all)) < index || all[index-1].Hash != hash || its != root {
			t.Errorf("replica %d has %d records of %d, or others", id+1, len(all), index)
		}
	}
	// What is restarted is as it was, and a snapshot in the place of a segmented log
	// takes its segments along.
	g.stop(2)
	g.start(2, Config{})
	g.append(2, "again")
	g.agree()
}

// TestExportOfSegments restores a cluster from one whose log is in segments, and
// recovers one in place.
func TestExportOfSegments(t *testing.T) {
	g := archived(t, 6000, 5000)
	index, hash := g.nodes[1].Head()
	var out bytes.Buffer
	g.must(g.nodes[1].Export(g.ctx, &out))
	g.stop(1)
	restored, err := Restore(Config{DataDir: filepath.Join(g.base, "restored"), Replica: 101}, &out)
	if err != nil || restored.Index != index || restored.Hash != hash {
		t.Errorf("restored %+v, want %d %s: %v", restored, index, hash, err)
	}
	recovered, err := Recover(Config{DataDir: g.dir(1)}, 101)
	if err != nil || recovered.Index != index || recovered.Hash != hash {
		t.Fatalf("recovered %+v, want %d %s: %v", recovered, index, hash, err)
	}
	g.dirs[101] = g.dir(1)
	n := g.start(101, Config{})
	if z, err := n.Sizes(); err != nil || z.Sealed == 0 {
		t.Errorf("%+v, %v", z, err)
	}
	g.append(101, "after")
}

// TestNothingMovesWithoutRoom wants what only tidies up to leave the last room to Raft,
// and to go on where there is room again.
func TestNothingMovesWithoutRoom(t *testing.T) {
	g := newGroup(t)
	var free atomic.Uint64
	free.Store(64 << 30)
	n := g.start(1, Config{Bootstrap: true, space: func() (uint64, uint64, error) { return free.Load(), 512 << 30, nil }})
	g.fill(1, 6000)
	g.must(n.Barrier(g.ctx))
	g.must(n.machine.flush())
	free.Store(floorBytes + 1<<20)
	if last, err := n.Seal(g.ctx, 5000); !errors.Is(err, eventlog.ErrFull) || last != 0 {
		t.Errorf("sealed up to %d: %v", last, err)
	}
	free.Store(64 << 30)
	g.seal(1, 5000)
}

// TestDamagedSegmentHaltsTheReplica finds damage in a segment by a read and by the
// scrub, and a missing one at the start. Each names the replica's one way out.
func TestDamagedSegmentHaltsTheReplica(t *testing.T) {
	find := map[string]func(*Node) error{
		"scrub": func(n *Node) error { n.scrub(0, 1<<40); return nil },
		"read": func(n *Node) error {
			n.machine.tail.Reset(n.machine.tail.Head())
			_, err := n.Read(t.Context(), 1, 10)
			return err
		},
	}
	for name, find := range find {
		t.Run(name, func(t *testing.T) {
			g := archived(t, 6000, 5000)
			n := g.nodes[1]
			path := firstSegment(t, g.dir(1))
			b, err := os.ReadFile(path)
			g.must(err)
			b[20] ^= 1 // of the first records
			g.must(os.WriteFile(path, b, 0o600))
			var damage *eventlog.CorruptError
			if err := find(n); err != nil && (!errors.As(err, &damage) || damage.Index != 1 || damage.Path != path) {
				t.Errorf("read: %v", err)
			}
			<-n.Done()
			if err := n.Err(); !errors.Is(err, ErrHalted) || !bytes.Contains([]byte(err.Error()), []byte("at index 1: ")) {
				t.Errorf("ended with %v", err)
			}
			g.stop(1)
			b[20] ^= 1
			g.must(os.WriteFile(path, b, 0o600))
			if _, err := tryStart(t, Config{DataDir: g.dir(1), Replica: 1, transport: channels{}}); !errors.Is(err, ErrHalted) {
				t.Errorf("started once the file was back: %v", err)
			}
			if got, err := Recover(Config{DataDir: g.dir(1)}, 101); err != nil || got.Index < 6000 {
				t.Errorf("recovered %+v: %v", got, err)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		g := archived(t, 6000, 5000)
		g.stop(1)
		g.must(os.Remove(firstSegment(t, g.dir(1))))
		var damage *eventlog.CorruptError
		_, err := tryStart(t, Config{DataDir: g.dir(1), Replica: 1, transport: channels{}})
		if !errors.As(err, &damage) || damage.Index != 1 || !bytes.Contains([]byte(err.Error()), []byte("--replace 1")) {
			t.Errorf("started: %v", err)
		}
	})
}

func firstSegment(t *testing.T, dir string) string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, eventlog.SegmentsDir, "*1-*.seg"))
	if err != nil || len(all) != 1 {
		t.Fatalf("segments %q: %v", all, err)
	}
	return all[0]
}
