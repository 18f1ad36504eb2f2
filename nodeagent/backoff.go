package nodeagent

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"syscall"
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

// after is how long to wait after an error. Where nobody has said anything it stays
// short: nobody is troubled by what gets lost, and a link may be back at any moment.
func (b *backoff) after(err error) time.Duration {
	pause := b.next()
	if unanswered(err) {
		return min(pause, redialEvery/2+rand.N(redialEvery/2))
	}
	return pause
}

// unanswered reports whether each of the orchestrators was silent, or out of reach, which
// a relay may have found out.
func unanswered(err error) bool {
	var several *reachError
	if errors.As(err, &several) {
		return !slices.ContainsFunc(several.errs, func(err error) bool { return !unanswered(err) })
	}
	if cut := new(RelayError); errors.As(err, &cut) {
		return cut.cutOff()
	}
	var late net.Error
	return errors.As(err, &late) && late.Timeout() || errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH)
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
