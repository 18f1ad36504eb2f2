package raft

import (
	"context"

	"quorate/eventlog"
)

// Seal moves records of this replica's store up to an index to segment files, see
// [eventlog.Store.Seal]. What other replicas keep where is of no matter. A store that
// turns out to be damaged halts the replica.
func (n *Node) Seal(ctx context.Context, to uint64) (last uint64, err error) {
	last, err = n.store.Seal(ctx, to)
	return last, n.haltIfCorrupt(err)
}

// Sizes returns what this replica's store takes on its disk.
func (n *Node) Sizes() (eventlog.Sizes, error) { return n.store.Sizes() }
