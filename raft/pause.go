package raft

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/dragonboat/v4/statemachine"

	"quorate/eventlog"
)

// yieldTimeout bounds one attempt to give leadership away.
const yieldTimeout = 5 * time.Second

const (
	// roomInterval is how often it is looked whether there is room again.
	roomInterval = 50 * time.Millisecond
	// snapshotRoomBytes is what the library's files of a snapshot fit in.
	snapshotRoomBytes = 1 << 20
	// stuckChecks is how often in a row a goroutine of the library is seen waiting
	// for room until Close leaves it behind.
	stuckChecks = 20
)

// A stayingMachine outlives a stop of the replica: what it applied stays in
// memory, stored or not, and the replica goes on from there. Its owner closes it.
type stayingMachine struct{ *machine }

// Open implements statemachine.IOnDiskStateMachine.
func (m stayingMachine) Open(<-chan struct{}) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.applied, nil
}

// Close implements statemachine.IOnDiskStateMachine.
func (m stayingMachine) Close() error {
	if err := m.flush(); err != nil && !errors.Is(err, eventlog.ErrFull) {
		return err
	}
	return nil
}

// Sync implements statemachine.IOnDiskStateMachine. The library ends the process
// where it fails, and compacts its log after it: so it waits for room.
func (m stayingMachine) Sync() error {
	for {
		err := m.flush()
		if err == nil && m.roomy() {
			return nil
		}
		if err != nil && !errors.Is(err, eventlog.ErrFull) {
			return err
		}
		m.stuck.Store(true)
		time.Sleep(roomInterval)
		if m.given.Load() {
			select {} // nobody waits for this goroutine, and the process ends
		}
		m.stuck.Store(false)
	}
}

// roomy reports that the library can write the few files of a snapshot.
func (m *machine) roomy() bool {
	if m.space == nil {
		return true
	}
	free, _, err := m.space()
	return err != nil || free >= snapshotRoomBytes
}

// PrepareSnapshot implements statemachine.IOnDiskStateMachine.
func (m stayingMachine) PrepareSnapshot() (any, error) {
	at, err := m.machine.PrepareSnapshot()
	if errors.Is(err, eventlog.ErrFull) {
		return nil, statemachine.ErrSnapshotAborted
	}
	return at, err
}

// RecoverFromSnapshot implements statemachine.IOnDiskStateMachine. Without room
// for it, it waits until the replica is stopped: the snapshot is on record, and
// taken at the next start.
func (m stayingMachine) RecoverFromSnapshot(r io.Reader, stop <-chan struct{}) error {
	err := m.machine.RecoverFromSnapshot(r, stop)
	if !errors.Is(err, eventlog.ErrFull) && !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	full := fmt.Errorf("snapshot: %w: %w", eventlog.ErrFull, err)
	m.mu.Lock()
	m.health = full
	m.mu.Unlock()
	<-stop
	m.mu.Lock()
	defer m.mu.Unlock()
	if errors.Is(m.health, full) { // nothing is left to store, which else would tell that there is room
		m.health = nil
	}
	return statemachine.ErrSnapshotStopped
}

// unwritable ends the replica because Raft's log could not be written. It does
// not return: the library would end the process with a trace.
func (n *Node) unwritable(err error) {
	n.ending.end(fmt.Errorf("raft's log cannot be written; start again when that is mended: %w", err))
	n.leader.lost()
	n.machine.given.Store(true)
	n.machine.stuck.Store(true)
	select {}
}

// unsynced is told that Raft's log could not be synced. What was written may be lost,
// also where a later sync works (fsync(2)), so the replica ends. While it starts there
// is nobody yet who waits for its end, and the library ends the process.
func (n *Node) unsynced(err error) {
	if !n.opened.Load() {
		n.cfg.Logger.Error("raft's log cannot be synced, and the process ends; start again when the disk works", "error", err)
		return
	}
	n.unwritable(err)
}

// closeHost ends the library's part. Where a goroutine of it waits for room that
// does not come, it is left behind: what was acknowledged is synced, and the
// process ends.
func (n *Node) closeHost() error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.host.Close()
	}()
	ticker := time.NewTicker(roomInterval)
	defer ticker.Stop()
	for stuck := 0; ; {
		select {
		case <-done:
			return nil
		case <-ticker.C:
		}
		if stuck++; !n.machine.stuck.Load() {
			stuck = 0
		}
		if stuck > stuckChecks {
			n.machine.given.Store(true)
			return fmt.Errorf("raft: %w: closed without waiting for what could not be written", eventlog.ErrFull)
		}
	}
}

// refuse implements diskUser.
func (n *Node) refuse(reason error) {
	n.machine.mu.Lock()
	defer n.machine.mu.Unlock()
	n.machine.noRoom = reason
}

// full implements diskUser.
func (n *Node) full() bool {
	n.machine.mu.Lock()
	defer n.machine.mu.Unlock()
	return errors.Is(n.machine.health, eventlog.ErrFull)
}

// yield implements diskUser.
func (n *Node) yield() {
	if _, leading, _ := n.Leading(); !leading || n.cfg.alone() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), yieldTimeout)
	defer cancel()
	members, err := n.Members(ctx)
	if err != nil {
		return // somebody else leads by now, or nobody can
	}
	for _, voter := range members.Voters {
		if voter == n.cfg.Replica {
			continue
		}
		if err := n.Transfer(ctx, voter); err == nil {
			n.cfg.Logger.Warn("leadership was given away for want of room", "to", voter)
			return
		}
	}
}

// suspend implements diskUser: the library gives the replica up, and keeps its
// files. Proposals wait as they do without a leader.
func (n *Node) suspend() error {
	n.leader.LeaderUpdated(raftio.LeaderInfo{ShardID: controlShard, ReplicaID: n.cfg.Replica, LeaderID: raftio.NoLeader})
	err := n.host.StopShard(controlShard)
	if errors.Is(err, dragonboat.ErrShardNotFound) {
		return nil
	}
	return err
}

// resume implements diskUser.
func (n *Node) resume() error {
	if n.Err() != nil {
		return nil
	}
	create := func(uint64, uint64) statemachine.IOnDiskStateMachine { return stayingMachine{n.machine} }
	err := n.host.StartOnDiskReplica(nil, n.joined, create, n.cfg.replica(n.joined))
	switch {
	case errors.Is(err, dragonboat.ErrShardAlreadyExist):
		return errNotYet // the library has not let go of it
	case err != nil:
		return fmt.Errorf("raft: %w", err)
	}
	return nil
}

// Alarms are what somebody should see to on this replica, none or more.
func (n *Node) Alarms() []Alarm { return n.disk.alarms(time.Now()) }

// whenGone is when to propose again once the library knows this replica no more.
func (n *Node) whenGone() then {
	if n.gone() == nil {
		return later
	}
	return never
}
