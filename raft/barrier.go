package raft

import (
	"context"
	"errors"
	"fmt"
	"sync"
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
	asked := time.Now()
	if err := n.ready(ctx); err != nil {
		return fmt.Errorf("barrier: %w", err)
	}
	n.contact.note(asked)
	return nil
}

// Majority returns nil where a majority has answered a question that was put within
// age, and somebody leads as far as this replica knows; else it is [Node.Barrier].
// Several ask all the time, and each new question wakes every replica.
func (n *Node) Majority(ctx context.Context, age time.Duration) error {
	if led, _ := n.leader.known(); led && n.contact.within(age) {
		return nil
	}
	return n.Barrier(ctx)
}

// A contact is when a majority answered last.
type contact struct {
	mu   sync.Mutex
	last time.Time // when the question was put; zero is never
}

func (c *contact) note(asked time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if asked.After(c.last) {
		c.last = asked
	}
}

func (c *contact) within(age time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.last.IsZero() && time.Since(c.last) < age
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
