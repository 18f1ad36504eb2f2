package raft

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/dragonboat/v4/raftpb"
	"github.com/lni/dragonboat/v4/statemachine"

	"quorate/eventlog"
)

// receiving calls arrived once, when a snapshot of another replica is on record
// and not imported yet.
type receiving struct {
	raftio.ILogDB
	once    *sync.Once
	arrived func()
}

// SaveRaftState implements raftio.ILogDB.
func (l receiving) SaveRaftState(updates []raftpb.Update, worker uint64) error {
	err := l.ILogDB.SaveRaftState(updates, worker)
	for i := range updates {
		if err == nil && !raftpb.IsEmptySnapshot(updates[i].Snapshot) {
			l.once.Do(l.arrived)
		}
	}
	return err
}

// A crash between the receipt of a snapshot and the end of its import leaves a
// store that is behind Raft's log. That is no damage: the import begins again.
func TestCrashBeforeASnapshotIsImported(t *testing.T) {
	g := newGroup(t)
	g.start(1, Config{Bootstrap: true})
	for i := range 20 {
		g.append(1, fmt.Sprint("record ", i))
	}
	_, err := g.nodes[1].host.SyncRequestSnapshot(g.ctx, controlShard, dragonboat.SnapshotOption{OverrideCompactionOverhead: true})
	g.must(err)
	g.append(1, "behind the snapshot")
	g.must(g.nodes[1].AddLearner(g.ctx, 2))
	crashed := filepath.Join(g.base, "crashed")
	var once sync.Once
	n := g.start(2, Config{Join: true, wrapLog: func(log raftio.ILogDB) raftio.ILogDB {
		return receiving{log, &once, func() { copyDir(t, g.dir(2), crashed) }}
	}})
	g.must(n.Barrier(g.ctx))
	if !n.store.Marked(guardMark) {
		t.Error("the store that came with the snapshot does not know of the guard")
	}
	imported := g.dir(2)
	g.stop(2)
	g.dirs[2] = crashed
	survivor := filepath.Join(g.base, "survivor")
	copyDir(t, crashed, survivor)
	n = g.start(2, Config{Join: true})
	g.must(n.Barrier(g.ctx))
	index, hash := g.agree()
	g.stop(2)
	// So does a recovery, for which there may be nobody else.
	got, err := Recover(Config{DataDir: survivor}, 3)
	g.must(err)
	if got.Unread != nil || got.Index+1 < index || got.Index == index && got.Hash != hash {
		t.Errorf("recovered %+v from what ended at %d %s", got, index, hash)
	}
	// One that was imported leaves a stub, from which a store that was lost later
	// cannot be had again.
	g.must(os.Remove((&Config{DataDir: imported}).storePath()))
	if _, err := tryStart(t, Config{DataDir: imported, Replica: 2, transport: channels{}}); !errors.Is(err, ErrStoreBehind) {
		t.Errorf("without its store: %v", err)
	}
}

// A snapshot that finds no room is taken when there is some: the replica is not
// kept out by what was wrong before.
func TestSnapshotWithoutRoomIsTakenLater(t *testing.T) {
	from := openMachine(t, filepath.Join(t.TempDir(), "log.db"), eventlog.StoreOptions{})
	for i := range uint64(10) {
		update(t, from, i+1, one(t, 1, i+1, fmt.Sprint("record ", i)))
	}
	at, err := from.PrepareSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	var snapshot bytes.Buffer
	if err := from.SaveSnapshot(at, &snapshot, nil); err != nil {
		t.Fatal(err)
	}
	closeMachine(t, from)

	disk := smallDisk(t, 1<<20)
	to := stayingMachine{openMachine(t, filepath.Join(disk, "log.db"), eventlog.StoreOptions{})}
	free := fill(t, disk)
	stop, stopped := make(chan struct{}), make(chan error)
	go func() { stopped <- to.RecoverFromSnapshot(bytes.NewReader(snapshot.Bytes()), stop) }()
	n := &Node{machine: to.machine}
	until(t, "it needs room", n.full)
	close(stop)
	if err := <-stopped; !errors.Is(err, statemachine.ErrSnapshotStopped) {
		t.Fatalf("it ended with %v", err)
	}
	free()
	if n.full() {
		t.Error("it still says that there is no room, so that nobody tries again")
	}
	if err := to.RecoverFromSnapshot(bytes.NewReader(snapshot.Bytes()), nil); err != nil {
		t.Fatal(err)
	}
	if got := to.store.Head(); got.Index != 10 || to.healthy() != nil {
		t.Errorf("it ends at %d and is %v", got.Index, to.healthy())
	}
	closeMachine(t, to.machine)
}
