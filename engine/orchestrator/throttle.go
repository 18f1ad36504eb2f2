package orchestrator

import (
	"sync"
	"time"
)

// strangersPerMinuteMax bounds the joins per minute that show a token which is
// not on record here: each of them costs the cluster a question.
const strangersPerMinuteMax = 60

// A throttle bounds how often something may be tried per minute.
type throttle struct {
	perMinute int

	mu    sync.Mutex
	since time.Time
	tries int
}

// allow counts one try and reports whether it may go on.
func (t *throttle) allow(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tries == 0 || now.Sub(t.since) >= time.Minute || now.Before(t.since) {
		t.since, t.tries = now, 0
	}
	if t.tries >= t.perMinute {
		return false
	}
	t.tries++
	return true
}
