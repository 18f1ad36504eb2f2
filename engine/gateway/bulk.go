package gateway

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/time/rate"

	"quorate/internal/pace"
)

// A bulk is what large content goes through on its way into one connection, so that
// commands and reports are not kept waiting by it: blobs of all streams together leave
// no faster than the line takes them, and than the operator allows.
type bulk struct {
	pacer *pace.Pacer
	rates []*rate.Limiter // of the connection, and of all
}

// rateShare is how much of a second's bytes may go at once under a rate.
const rateShare = 10

// newRate bounds bytes per second; nil where there is no bound.
func newRate(bytesPerSecond int64) *rate.Limiter {
	if bytesPerSecond <= 0 {
		return nil
	}
	burst := min(max(bytesPerSecond/rateShare, 1), pace.ChunkBytesMax)
	return rate.NewLimiter(rate.Limit(bytesPerSecond), int(burst))
}

// newBulk returns what blobs go through to a peer, be it an agent or a relay.
func (g *gateway) newBulk(c *connection) *bulk {
	b := &bulk{pacer: pace.New(c.carrier.trip)}
	for _, r := range []*rate.Limiter{newRate(g.limits.BulkRatePerSite), g.bulkRate} {
		if r != nil {
			b.rates = append(b.rates, r)
		}
	}
	return b
}

// copy copies n bytes, or fewer where over says between two pieces that this is enough,
// and returns how many.
func (b *bulk) copy(ctx context.Context, to io.Writer, from io.Reader, n int64, over func() bool) (copied int64, err error) {
	buf := make([]byte, min(n, pace.ChunkBytesMax))
	for copied < n {
		chunk := buf[:min(n-copied, int64(b.chunk()))]
		if _, err := io.ReadFull(from, chunk); err != nil {
			return copied, fmt.Errorf("%d bytes before its end: %w", n-copied, err)
		}
		for _, r := range b.rates {
			if err := r.WaitN(ctx, len(chunk)); err != nil {
				return copied, err
			}
		}
		if err := b.pacer.Wait(ctx, len(chunk)); err != nil {
			return copied, err
		}
		if _, err := to.Write(chunk); err != nil {
			return copied, err
		}
		if copied += int64(len(chunk)); over() {
			break
		}
	}
	return copied, nil
}

// chunk is how many bytes to send at once.
func (b *bulk) chunk() int {
	n := b.pacer.Chunk()
	for _, r := range b.rates {
		n = min(n, r.Burst())
	}
	return n
}
