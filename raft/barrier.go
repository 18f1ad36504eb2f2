package raft

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lni/dragonboat/v4"

	"quorate/eventlog"
)

const (
	// readTimeout bounds one linearizable read; it is asked again after it.
	readTimeout = 500 * time.Millisecond
	readPause   = 5 * time.Millisecond
)

// Barrier returns when everything that was committed before the call is applied
// on this replica. It waits for a leader as long as ctx allows.
func (n *Node) Barrier(ctx context.Context) error {
	if err := n.ready(ctx); err != nil {
		return fmt.Errorf("barrier: %w", err)
	}
	return nil
}

// ready waits for a leader, and for a linearizable read: it returns when all that
// was committed at its beginning is applied here.
func (n *Node) ready(ctx context.Context) error {
	for {
		leader, _, changed := n.leader.get()
		if leader == 0 {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return ctx.Err()
			case <-n.ending.done:
				return n.ending.err
			case <-n.appends.stop:
				return errClosing
			}
		}
		done, err := n.readIndex(ctx, changed)
		if done || err != nil {
			return err
		}
		if err := n.rest(ctx, readPause); err != nil {
			return err
		}
	}
}

// readIndex asks once. A request that is left alone for a new leader is not
// released: the library still holds it.
func (n *Node) readIndex(ctx context.Context, changed <-chan struct{}) (done bool, err error) {
	request, err := n.host.ReadIndex(controlShard, readTimeout)
	switch {
	case errors.Is(err, dragonboat.ErrClosed), errors.Is(err, dragonboat.ErrShardClosed), errors.Is(err, dragonboat.ErrShardNotFound):
		return false, n.gone()
	case err != nil: // busy
		return false, nil
	}
	select {
	case result := <-request.ResultC():
		request.Release()
		return result.Completed(), nil
	case <-changed:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// gone is why the library knows this replica no more, or nil while it is stopped
// for want of room.
func (n *Node) gone() error {
	switch err := n.Err(); {
	case err != nil:
		return err
	case n.disk.isPaused():
		return nil
	}
	return eventlog.ErrClosed
}
