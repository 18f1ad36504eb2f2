package raft

import (
	"context"
	"fmt"

	"quorate/eventlog"
)

// sealBytes is more than a segment takes, and the transaction that names it. A replica
// pauses at the floor, and what only tidies up is not to bring it there.
const sealBytes = 64 << 20

// Seal moves records of this replica's store up to an index to segment files, see
// [eventlog.Store.Seal]. What other replicas keep where is of no matter. A store that
// turns out to be damaged halts the replica. Where there is hardly room for Raft
// nothing moves, and the error wraps [eventlog.ErrFull].
func (n *Node) Seal(ctx context.Context, to uint64) (last uint64, err error) {
	if free, total, err := n.disk.space(); err == nil {
		if need := n.disk.limits.of(total).Floor + sealBytes; free < need {
			return n.store.Sealed(), fmt.Errorf("%w: %d MiB are free in %s, and old records move where %d are", eventlog.ErrFull, free>>20, n.cfg.DataDir, need>>20)
		}
	}
	last, err = n.store.Seal(ctx, to)
	return last, n.haltIfCorrupt(err)
}

// Sizes returns what this replica's store takes on its disk.
func (n *Node) Sizes() (eventlog.Sizes, error) { return n.store.Sizes() }
