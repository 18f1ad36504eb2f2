package gateway

import (
	"net/netip"
	"sync"
	"time"
)

// throttle bounds how often something may be tried per minute, by each address
// and by all together. The memory it needs is bounded by the limit of all.
type throttle struct {
	perAddress, total int

	mu        sync.Mutex
	since     time.Time
	all       int
	byAddress map[netip.Addr]int
}

func newThrottle(perAddress, total int) *throttle {
	return &throttle{perAddress: perAddress, total: total}
}

// allow counts one try at a time and reports whether it may go on.
func (t *throttle) allow(addr netip.Addr, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byAddress == nil || now.Sub(t.since) >= time.Minute || now.Before(t.since) {
		t.since, t.all, t.byAddress = now, 0, map[netip.Addr]int{}
	}
	if t.all >= t.total || t.byAddress[addr] >= t.perAddress {
		return false
	}
	t.all++
	t.byAddress[addr]++
	return true
}

// forgive takes back one try of this minute, where there is one to take back.
func (t *throttle) forgive(addr netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byAddress[addr] > 0 {
		t.all--
		t.byAddress[addr]--
	}
}
