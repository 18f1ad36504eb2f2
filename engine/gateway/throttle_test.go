package gateway

import (
	"net/netip"
	"testing"
	"time"
)

// Enrolments that show no token are bounded for each address, and for all.
func TestThrottle(t *testing.T) {
	one, two, three := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
	now := time.Unix(1000, 0)
	th := newThrottle(2, 3)
	for i, step := range []struct {
		addr  netip.Addr
		after time.Duration
		want  bool
	}{
		{one, 0, true}, {one, 0, true}, {one, 0, false}, // its own share
		{two, 0, true}, {three, 0, false}, // everyone's
		{one, time.Minute, true}, // another minute
		{one, -time.Hour, true},  // a clock that was put back locks nobody out
	} {
		now = now.Add(step.after)
		if got := th.allow(step.addr, now); got != step.want {
			t.Errorf("step %d: allowed %t, want %t", i, got, step.want)
		}
	}
	th.forgive(one)
	th.forgive(one) // there is nothing more to take back
	for i, want := range []bool{true, true, false} {
		if got := th.allow(one, now); got != want {
			t.Errorf("try %d after one was forgiven: allowed %t, want %t", i, got, want)
		}
	}
}
