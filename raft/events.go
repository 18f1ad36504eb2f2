package raft

import (
	"fmt"

	"github.com/lni/dragonboat/v4/raftio"
)

// events is what a node wants to know of the library's life. The library calls
// it from one goroutine, and waits for it.
type events struct {
	node *Node
}

// NodeDeleted implements raftio.ISystemEventListener: this replica has applied
// its own removal.
func (e events) NodeDeleted(info raftio.NodeInfo) {
	if info.ShardID == controlShard && info.ReplicaID == e.node.cfg.Replica {
		e.node.abandon(fmt.Errorf("%w: it was replica %d", ErrRemoved, info.ReplicaID))
	}
}

// MembershipChanged implements raftio.ISystemEventListener.
func (e events) MembershipChanged(raftio.NodeInfo) {}

// ConnectionEstablished implements raftio.ISystemEventListener.
func (e events) ConnectionEstablished(raftio.ConnectionInfo) {}

// ConnectionFailed implements raftio.ISystemEventListener.
func (e events) ConnectionFailed(raftio.ConnectionInfo) {}

// NodeHostShuttingDown implements raftio.ISystemEventListener.
func (events) NodeHostShuttingDown() {}

// NodeUnloaded implements raftio.ISystemEventListener.
func (events) NodeUnloaded(raftio.NodeInfo) {}

// NodeReady implements raftio.ISystemEventListener.
func (events) NodeReady(raftio.NodeInfo) {}

// SendSnapshotStarted implements raftio.ISystemEventListener.
func (events) SendSnapshotStarted(raftio.SnapshotInfo) {}

// SendSnapshotCompleted implements raftio.ISystemEventListener.
func (events) SendSnapshotCompleted(raftio.SnapshotInfo) {}

// SendSnapshotAborted implements raftio.ISystemEventListener.
func (events) SendSnapshotAborted(raftio.SnapshotInfo) {}

// SnapshotReceived implements raftio.ISystemEventListener.
func (events) SnapshotReceived(raftio.SnapshotInfo) {}

// SnapshotRecovered implements raftio.ISystemEventListener.
func (events) SnapshotRecovered(raftio.SnapshotInfo) {}

// SnapshotCreated implements raftio.ISystemEventListener.
func (events) SnapshotCreated(raftio.SnapshotInfo) {}

// SnapshotCompacted implements raftio.ISystemEventListener.
func (events) SnapshotCompacted(raftio.SnapshotInfo) {}

// LogCompacted implements raftio.ISystemEventListener.
func (events) LogCompacted(raftio.EntryInfo) {}

// LogDBCompacted implements raftio.ISystemEventListener.
func (events) LogDBCompacted(raftio.EntryInfo) {}
