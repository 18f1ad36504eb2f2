package raft

import (
	"context"
	"errors"
	"io"

	"quorate/eventlog"
)

// Recovered is what [Recover] and [Restore] found.
type Recovered struct {
	// Index and Hash are the end of the log, with which it goes on.
	Index uint64
	Hash  eventlog.Hash
	// ClusterID is the id in the log's ClusterCreated.
	ClusterID string
	// Applied is the index in the old Raft log that the store had applied, and Last
	// where that log ended: what is between was taken over too, whether a majority
	// had it or not. Both are 0 after Restore.
	Applied, Last uint64
	// Unread is why the old Raft log could not be read to its end, or nil. Records
	// that only this part held are lost.
	Unread error
}

var errNotImplemented = errors.New("not there yet")

// Export writes everything that this replica has applied.
func (n *Node) Export(ctx context.Context, w io.Writer) error { return errNotImplemented }

// Recover makes a cluster of one from a surviving member's directory.
func Recover(cfg Config, newReplica uint64) (Recovered, error) {
	return Recovered{}, errNotImplemented
}

// Restore makes a cluster of one from an export.
func Restore(cfg Config, r io.Reader) (Recovered, error) { return Recovered{}, errNotImplemented }
