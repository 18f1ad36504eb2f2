package gateway

import (
	"testing"
	"time"
)

// TestDamper: an agent waits as long as the log wants it to, and where that never ends,
// since the log's clock was set ahead, as long as it was told at first.
func TestDamper(t *testing.T) {
	var d damper
	now := time.Unix(1_000_000, 0)
	for i, step := range []struct {
		connection   uint64
		pause, later time.Duration
		want         time.Duration
	}{
		{connection: 1},
		{connection: 1, pause: 40 * time.Second, want: 40 * time.Second},
		{connection: 1, pause: 40 * time.Second, later: 30 * time.Second, want: 10 * time.Second},
		{connection: 1, pause: 5 * time.Second, want: 5 * time.Second},
		{connection: 1, pause: 40 * time.Second, later: 10 * time.Second},
		{connection: 2, pause: 40 * time.Second, want: 40 * time.Second},
		{connection: 2},
		{connection: 2, pause: 7 * time.Second, want: 7 * time.Second},
	} {
		now = now.Add(step.later)
		if got := d.left(9, step.connection, step.pause, now); got != step.want {
			t.Errorf("step %d: it waits for %s, want %s", i, got, step.want)
		}
	}
}

// TestSpread: those who are put off in the same moment come back in different ones, and
// none too soon.
func TestSpread(t *testing.T) {
	for _, wait := range []time.Duration{0, time.Second, calmAskEvery} {
		seen := map[time.Duration]bool{}
		for range 100 {
			got := spread(wait)
			if got < wait || got > wait+wait/spreadShare+time.Second {
				t.Fatalf("%v became %v", wait, got)
			}
			seen[got] = true
		}
		if len(seen) < 90 {
			t.Errorf("a hundred that wait for %v come in %d moments", wait, len(seen))
		}
	}
}
