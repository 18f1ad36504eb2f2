package relay

import (
	"context"
	"sync"
	"time"
)

// burst is how much of a second a pace makes up for when it was late.
const burst = 100 * time.Millisecond

// A pace bounds the bytes of all that are fetched, in a second.
type pace struct {
	perSecond int64

	mu   sync.Mutex
	next time.Time // when what was taken so far was allowed to come
}

func newPace(bytesPerSecond int64) *pace { return &pace{perSecond: bytesPerSecond} }

// took waits until so many bytes more than those before may be taken, and reports
// whether ctx is still alive. What is not read is not sent for long: the sender's
// window is full then.
func (p *pace) took(ctx context.Context, bytes int) bool {
	if p.perSecond <= 0 {
		return ctx.Err() == nil
	}
	p.mu.Lock()
	now := time.Now()
	if earliest := now.Add(-burst); p.next.Before(earliest) {
		p.next = earliest
	}
	p.next = p.next.Add(time.Duration(int64(bytes) * int64(time.Second) / p.perSecond))
	pause := p.next.Sub(now)
	p.mu.Unlock()
	if pause <= 0 {
		return ctx.Err() == nil
	}
	return sleep(ctx, pause)
}
