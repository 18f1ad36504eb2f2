package nodeagent

import (
	"testing"
	"time"
)

// TestLinger: reports travel the more together the longer the way is, and wait for
// each other for a small part of it at most.
func TestLinger(t *testing.T) {
	for _, row := range []struct{ rtt, want time.Duration }{
		{0, linger}, {time.Millisecond, linger}, {80 * time.Millisecond, linger},
		{160 * time.Millisecond, 10 * time.Millisecond}, {300 * time.Millisecond, 300 * time.Millisecond / lingerShare},
		{400 * time.Millisecond, lingerMax}, {time.Minute, lingerMax},
	} {
		if got := lingerFor(row.rtt); got != row.want {
			t.Errorf("round trip %s: %s, want %s", row.rtt, got, row.want)
		}
	}
}
