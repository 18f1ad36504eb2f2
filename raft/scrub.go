package raft

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"quorate/eventlog"
)

const (
	// scrubBytesPerSecond is how fast the store is read through: a million small
	// records in a quarter of an hour, for less than a hundredth of a processor.
	scrubBytesPerSecond = 256 << 10
	// scrubInterval is between the end of one scrub and the next; so long again, at
	// most, by chance, so that replicas do not scrub together.
	scrubInterval = 12 * time.Hour
	// scrubDelay is until the first.
	scrubDelay = time.Minute
)

// scrub reads the store through from time to time and halts the replica where it
// is not what was written.
func (n *Node) scrub(delay time.Duration, bytesPerSecond int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n.running.Go(func() {
		select {
		case <-n.appends.stop:
		case <-n.ending.done:
		case <-ctx.Done():
		}
		cancel()
	})
	for {
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		err := n.store.Scrub(ctx, bytesPerSecond)
		if err := n.haltIfCorrupt(err); err != nil && ctx.Err() == nil {
			n.cfg.Logger.Warn("the log could not be scrubbed", "error", err)
		}
		delay = scrubInterval + rand.N(scrubInterval)
	}
}

// haltIfCorrupt halts the replica where an error says that its store is not what
// was written, and returns the error.
func (n *Node) haltIfCorrupt(err error) error {
	var corrupt *eventlog.CorruptError
	if errors.As(err, &corrupt) && n.Err() == nil {
		_ = n.Halt(corrupt.Error()) // it is stopped in any case, and says so
	}
	return err
}
