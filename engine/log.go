package engine

import (
	"context"

	"quorate/eventlog"
)

// A Log is the replicated, append-only log that the engine is a function of.
// The embedded log of package eventlog and the node of package raft satisfy it,
// and one contract suite runs against both.
type Log interface {
	// Append makes the entries durable, next to each other and in order, and
	// returns the index of the first. When it returns an error other than
	// [eventlog.ErrRefused] the outcome is ambiguous: the entries may be in the
	// log, now or later. Concurrent calls are grouped into one commit.
	Append(ctx context.Context, entries []eventlog.Entry) (first uint64, err error)

	// Read returns up to max committed records from the index on. It returns
	// none where the log ends before.
	Read(ctx context.Context, from uint64, max int) ([]eventlog.Record, error)

	// Wait blocks until the log has a committed record at the index, or ctx ends.
	Wait(ctx context.Context, index uint64) error

	// Head returns the index of the last committed record on this replica and
	// the chain hash there.
	Head() (uint64, eventlog.Hash)

	// Tree returns the Merkle tree over the first records; the error wraps
	// [eventlog.ErrTooShort] where this replica has fewer.
	Tree(size uint64) (*eventlog.Tree, error)

	// Barrier returns when everything that was committed anywhere before the call
	// is committed on this replica too. It fails where there is no majority.
	Barrier(ctx context.Context) error

	// Leading reports whether this replica leads, and the term it does so in;
	// the term changes with every change of leader. Changed is closed at the
	// next change.
	Leading() (term uint64, leading bool, changed <-chan struct{})
}
