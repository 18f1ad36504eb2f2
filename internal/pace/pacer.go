package pace

import (
	"context"
	"sync"
	"time"
)

const (
	// ChunkBytesMax is the most that is sent at once.
	ChunkBytesMax = 256 << 10
	chunkBytesMin = 4 << 10
	// chunkBytesUnknown are sent at once on a line that may have a queue, and tripLocal
	// is the round trip from which on it may.
	chunkBytesUnknown = 16 << 10
	tripLocal         = 5 * time.Millisecond
	// chunkShare is how much of the window a chunk may take.
	chunkShare = 64
)

// A Pacer holds back what one connection carries beside its urgent messages. All
// senders of the connection share one. Its methods may be called concurrently.
type Pacer struct {
	trip func() Trip

	mu      sync.Mutex
	control control
}

// New returns a pacer of the connection whose round trips are shown by trip. It limits
// nothing where trip shows none.
func New(trip func() Trip) *Pacer { return &Pacer{trip: trip} }

// Chunk is how many bytes to send at once, 4 to 256 KiB: so few that the queue is not
// made longer by them.
func (p *Pacer) Chunk() int {
	trip := p.trip().Latest
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.control.chunk(trip)
}

func (c *control) chunk(trip time.Duration) int {
	switch {
	case c.window > 0:
		return min(max(int(c.window/chunkShare), chunkBytesMin), ChunkBytesMax)
	case trip < tripLocal:
		return ChunkBytesMax
	}
	return chunkBytesUnknown
}

// Take counts bytes as sent and returns 0, or returns how long to wait before asking
// again.
func (p *Pacer) Take(bytes int) (wait time.Duration) {
	trip := p.trip()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.control.take(time.Now(), trip, bytes)
}

// Wait counts bytes as sent and returns once they may be sent, or with ctx's error when
// that ends.
func (p *Pacer) Wait(ctx context.Context, bytes int) error {
	wait := p.Take(bytes)
	if wait == 0 {
		return ctx.Err()
	}
	again := time.NewTimer(wait)
	defer again.Stop()
	for {
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if wait = p.Take(bytes); wait == 0 {
			return nil
		}
		again.Reset(wait)
	}
}
