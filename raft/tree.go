package raft

import "quorate/eventlog"

// Tree returns the Merkle tree over the first records that this replica has applied.
// Where there are fewer the error wraps [eventlog.ErrTooShort].
func (n *Node) Tree(size uint64) (*eventlog.Tree, error) {
	return eventlog.MergedTree(n.store, n.machine.tail, size)
}
