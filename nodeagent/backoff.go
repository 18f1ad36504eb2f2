package nodeagent

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	backoffMin = 100 * time.Millisecond
	backoffMax = 10 * time.Second
)

// A backoff doubles the time between attempts. A part of it is random, so that
// the agents of a whole site do not come back all at once.
type backoff struct{ last time.Duration }

func (b *backoff) next() time.Duration {
	b.last = min(max(2*b.last, backoffMin), backoffMax)
	return b.last/2 + rand.N(b.last/2+1)
}

func (b *backoff) reset() { b.last = 0 }

// sleep waits and reports whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// A rotation goes through the servers in an order of chance.
type rotation struct {
	servers []string
	at      int
}

func newRotation(servers []string) *rotation {
	r := &rotation{servers: append([]string(nil), servers...)}
	rand.Shuffle(len(r.servers), func(i, k int) { r.servers[i], r.servers[k] = r.servers[k], r.servers[i] })
	return r
}

func (r *rotation) next() string {
	s := r.servers[r.at%len(r.servers)]
	r.at++
	return s
}
