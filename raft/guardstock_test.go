package raft

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/plugin/tan"
	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/dragonboat/v4/statemachine"

	"quorate/eventlog"
	"quorate/eventlog/logtest"
	"quorate/raft/proposal"
)

// stockLog is the library's own log, without the guard around it.
type stockLog struct {
	raftio.ILogDB
	guarded *guardedLog
}

func unguarded(log raftio.ILogDB) raftio.ILogDB {
	g := log.(*guardedLog)
	return stockLog{ILogDB: g.ILogDB, guarded: g}
}

// Close implements raftio.ILogDB.
func (l stockLog) Close() error { return errors.Join(l.ILogDB.Close(), l.guarded.sidecar.close()) }

// stockNode is a replica whose log nobody guards.
type stockNode struct {
	host    *dragonboat.NodeHost
	machine *machine
	leader  *leadership
}

func startStock(t *testing.T, cfg Config) *stockNode {
	t.Helper()
	if err := cfg.normalize(); err != nil {
		t.Fatal(err)
	}
	useLogger(cfg.Logger)
	store, err := eventlog.OpenStore(cfg.storePath(), eventlog.StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := newMachine(store, cfg.Logger)
	if err != nil {
		t.Fatal(err)
	}
	n := &stockNode{machine: m, leader: newLeadership(cfg.Replica)}
	unused := &Node{cfg: cfg, ending: newEnding(), leader: n.leader}
	n.host, err = dragonboat.NewNodeHost(cfg.nodeHost(tan.Factory, n.leader, events{unused}))
	if err != nil {
		t.Fatal(err)
	}
	create := func(uint64, uint64) statemachine.IOnDiskStateMachine { return m }
	if err := n.host.StartOnDiskReplica(nil, cfg.Join, create, cfg.replica(cfg.Join)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.host.Close()
		if err := errors.Join(m.Close(), store.Close()); err != nil {
			t.Error(err)
		}
	})
	return n
}

// lose makes an image of replica 2 as a crash would have left it, of which the log
// lost a chunk header, 11 bytes, in the middle of what it acknowledged while
// replica 3 was away. Replica 3 is stopped; acknowledged is the index of the last
// record that 1 and 2 have.
func lose(t *testing.T, c *trio) (damaged string, acknowledged uint64) {
	t.Helper()
	c.settle(t, 3, c.append(t, 1, 20, "all have it "))
	c.stop(t, 3)
	acknowledged = c.append(t, 1, 200, "a majority has it ")
	c.settle(t, 2, acknowledged)
	if err := c.nodes[2].machine.flush(); err != nil { // so that the image has what the log loses
		t.Fatal(err)
	}
	damaged = filepath.Join(t.TempDir(), "2")
	copyDir(t, c.data(2), damaged)
	zeroHeader(t, damaged, 0.5)
	return damaged, acknowledged
}

// zeroHeader zeroes the header of a chunk in Raft's log, at a share of its chunks.
func zeroHeader(t *testing.T, dir string, share float64) {
	t.Helper()
	path := raftLog(t, dir)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	headers := chunks(b)
	at := headers[int(float64(len(headers)-1)*share)]
	clear(b[at : at+11])
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestStockLibraryLosesAcknowledgedEntries shows why there is a guard (D1, D2): two
// of three replicas form a majority without a record that was acknowledged, and
// nothing says so. When this fails, the library has learnt to notice.
func TestStockLibraryLosesAcknowledgedEntries(t *testing.T) {
	c := formTrio(t, nil)
	damaged, acknowledged := lose(t, c)
	lagging := filepath.Join(t.TempDir(), "3")
	copyDir(t, c.data(3), lagging)
	c.stop(t, 1)
	c.stop(t, 2)
	nodes := map[uint64]*stockNode{}
	for replica, dir := range map[uint64]string{2: damaged, 3: lagging} {
		nodes[replica] = startStock(t, Config{DataDir: dir, Replica: replica, Join: true, transport: &inProcess{}})
	}
	deadline := time.Now().Add(testDeadline)
	index := uint64(0)
	for i := uint64(1); index == 0; i++ {
		if time.Now().After(deadline) {
			t.Fatal("the library no longer forms a majority of a damaged and a lagging replica")
		}
		cmd := proposal.Proposal{Proposer: 9, Sequence: i, Entries: []eventlog.Entry{logtest.Entry(t, 1, fmt.Sprint("new ", i))}}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		result, err := nodes[3].host.SyncPropose(ctx, nodes[3].host.GetNoOPSession(controlShard), cmd.Encode())
		cancel()
		if err == nil {
			index = result.Value
		}
	}
	if index > acknowledged {
		t.Fatalf("the new record is at %d, behind the %d acknowledged: nothing was lost", index, acknowledged)
	}
	a, b := nodes[2].machine.tail.Head(), nodes[3].machine.tail.Head()
	t.Logf("%d records were acknowledged; the new one is at %d; replica 2 ends at %d, replica 3 at %d", acknowledged, index, a.Index, b.Index)
	if a == b {
		t.Error("the replicas agree")
	}
}

// TestGuardKeepsADamagedReplicaOut is the same with the guard; and the replica is
// healed by one with a new number.
func TestGuardKeepsADamagedReplicaOut(t *testing.T) {
	c := formTrio(t, nil)
	damaged, acknowledged := lose(t, c)
	c.stop(t, 2)
	if err := os.RemoveAll(c.data(2)); err != nil {
		t.Fatal(err)
	}
	copyDir(t, damaged, c.data(2))
	for range 2 { // the library mends its log by dropping the end; that must not help
		err := c.tryStart(2)
		if !errors.Is(err, ErrBehind) {
			t.Fatalf("a log that lost its end: %v", err)
		}
		t.Log(err)
	}
	c.start(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), testDeadline)
	defer cancel()
	if err := c.nodes[1].Remove(ctx, 2); err != nil {
		t.Fatal(err)
	}
	c.add(t, 4)
	last := c.append(t, 4, 5, "after the repair ")
	if last != acknowledged+5 {
		t.Fatalf("the log ends at %d, and %d were acknowledged", last, acknowledged+5)
	}
	c.agree(t, last, 1, 3, 4)
}

// agree waits until the replicas have a record, and compares their chains.
func (c *trio) agree(t *testing.T, index uint64, replicas ...uint64) {
	t.Helper()
	var want eventlog.Record
	for i, replica := range replicas {
		c.settle(t, replica, index)
		page, err := c.nodes[replica].Read(t.Context(), index, 1)
		if err != nil || len(page) != 1 {
			t.Fatalf("replica %d: record %d: %d read, %v", replica, index, len(page), err)
		}
		if i == 0 {
			want = page[0]
		}
		if page[0].Hash != want.Hash {
			t.Fatalf("replica %d differs from %d at record %d", replica, replicas[0], index)
		}
	}
}
