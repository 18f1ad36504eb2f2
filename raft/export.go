package raft

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
)

// Export writes everything that this replica has applied: all records, up to one
// moment, for [Restore]. The log goes on meanwhile.
func (n *Node) Export(ctx context.Context, w io.Writer) error {
	at, err := n.machine.PrepareSnapshot()
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	all := at.(moment)
	all.side = nil // of a Raft log that a restored cluster does not have
	buffered := bufio.NewWriterSize(w, 256<<10)
	err = errors.Join(n.machine.SaveSnapshot(all, buffered, ctx.Done()), ctx.Err())
	if err == nil {
		err = buffered.Flush()
	}
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}
