package raft

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lni/dragonboat/v4/raftpb"
)

// An old copy of a replica's whole directory beside peers that remember what it
// acknowledged: it halts, for good, and the others go on.
func TestOldCopyBesideItsPeersHalts(t *testing.T) {
	g := three(t)
	g.must(g.nodes[1].Transfer(g.ctx, 1))
	until(t, "replica 1 leads", func() bool { _, leads, _ := g.nodes[1].Leading(); return leads })
	g.stop(3)
	old := filepath.Join(g.base, "old")
	copyDir(t, g.dir(3), old)
	g.start(3, Config{})
	for i := range 20 {
		g.append(1, fmt.Sprint("since ", i))
	}
	g.agree()
	g.stop(3)
	g.dirs[3] = old
	want := func(err error) {
		t.Helper()
		if !errors.Is(err, ErrHalted) || !strings.Contains(err.Error(), "an older copy of the data directory") || !strings.Contains(err.Error(), "--replace 3") {
			t.Fatalf("ended with %v", err)
		}
	}
	n, err := tryStart(t, Config{DataDir: old, Replica: 3, transport: channels{}})
	if err == nil { // it may take longer than a start waits for
		select {
		case <-n.Done():
		case <-g.ctx.Done():
			t.Fatal("the old copy goes on")
		}
		err = n.Err()
		g.must(n.Close())
	}
	want(err)
	_, err = tryStart(t, Config{DataDir: old, Replica: 3, transport: channels{}})
	want(err)
	g.append(2, "without it")
	g.agree()
}

// Only a heartbeat tells what was acknowledged: all else may run ahead of the log.
func TestWitness(t *testing.T) {
	for _, tt := range []struct {
		name string
		m    raftpb.Message
		lost bool
	}{
		{"less", raftpb.Message{Type: raftpb.Heartbeat, ShardID: controlShard, Commit: 68}, false},
		{"all", raftpb.Message{Type: raftpb.Heartbeat, ShardID: controlShard, Commit: 69}, false},
		{"more", raftpb.Message{Type: raftpb.Heartbeat, ShardID: controlShard, Commit: 70}, true},
		{"entries to come", raftpb.Message{Type: raftpb.Replicate, ShardID: controlShard, Commit: 90, LogIndex: 89}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			told := 0
			w := &witness{lost: func(acknowledged, last uint64) {
				if told++; acknowledged != tt.m.Commit || last != 69 {
					t.Errorf("told %d of %d", acknowledged, last)
				}
			}}
			w.holds(69)
			for _, armed := range []bool{false, true, true} {
				w.armed.Store(armed)
				if w.sound(&tt.m) == tt.lost {
					t.Error("misjudged")
				}
				if told > 0 != (tt.lost && armed) || told > 1 {
					t.Errorf("armed %v: told %d times", armed, told)
				}
			}
		})
	}
}
