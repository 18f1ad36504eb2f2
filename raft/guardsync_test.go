package raft

import (
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftpb"
	"github.com/lni/vfs"
)

// countedSyncs counts how often logs are synced.
type countedSyncs struct {
	config.IFS
	syncs *atomic.Int64
}

func (d countedSyncs) Create(name string) (vfs.File, error) {
	f, err := d.IFS.Create(name)
	if err != nil || filepath.Ext(name) != ".log" {
		return f, err
	}
	return vfs.WithFd(f, countedFile{f, d.syncs}), nil
}

type countedFile struct {
	vfs.File
	syncs *atomic.Int64
}

func (f countedFile) Sync() error {
	f.syncs.Add(1)
	return f.File.Sync()
}

// TestACommitCostsNoSync: entries are synced, and a vote, but not how much of the log is
// committed, also where the library leaves out a state that has not changed. What is read
// after a restart is the newest of each.
func TestACommitCostsNoSync(t *testing.T) {
	dir, syncs := filepath.Join(t.TempDir(), "raft"), &atomic.Int64{}
	log, err := openGuardedOn(dir, countedSyncs{vfs.Default, syncs})
	if err != nil {
		t.Fatal(err)
	}
	save := func(u raftpb.Update) int64 {
		t.Helper()
		before := syncs.Load()
		u.ShardID, u.ReplicaID = controlShard, 1
		if err := log.SaveRaftState([]raftpb.Update{u}, 1); err != nil {
			t.Fatal(err)
		}
		return syncs.Load() - before
	}
	if n := save(raftpb.Update{State: raftpb.State{Term: 2, Vote: 1}}); n != 1 {
		t.Errorf("%d syncs of a vote", n)
	}
	for i := range uint64(5) {
		entry := []raftpb.Entry{{Index: i + 1, Term: 2, Cmd: []byte("x")}}
		if n := save(raftpb.Update{EntriesToSave: entry}); n != 1 {
			t.Errorf("%d syncs of entry %d", n, i+1)
		}
		if n := save(raftpb.Update{State: raftpb.State{Term: 2, Vote: 1, Commit: i + 1}}); n != 0 {
			t.Errorf("%d syncs of the commit of entry %d", n, i+1)
		}
	}
	if n := save(raftpb.Update{State: raftpb.State{Term: 3, Vote: 1, Commit: 5}}); n != 1 {
		t.Errorf("%d syncs of another vote", n)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if log, err = openGuarded(dir); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}()
	got, err := log.ReadRaftState(controlShard, 1, 0)
	if want := (raftpb.State{Term: 3, Vote: 1, Commit: 5}); err != nil || got.State != want || got.EntryCount != 5 {
		t.Errorf("after a restart the log holds %d entries and %v, %v", got.EntryCount, got.State, err)
	}
}
