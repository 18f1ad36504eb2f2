package nodeagent

import (
	"testing"
	"time"
)

// TestSeeking: QUIC that does not last is tried the more rarely, until it has lasted.
func TestSeeking(t *testing.T) {
	var k seeking
	now := time.Unix(1_000_000, 0)
	for i, row := range []struct {
		lasted time.Duration // of QUIC before this connection over TCP; 0 is without any
		want   time.Duration
	}{
		{0, seekEvery}, {0, seekEvery},
		{seekSteady, seekEvery}, {time.Second, 2 * seekEvery}, {time.Second, 4 * seekEvery},
		{time.Second, 8 * seekEvery}, {time.Second, 16 * seekEvery}, {time.Second, seekMax}, {time.Second, seekMax},
		{seekSteady, seekEvery},
	} {
		if row.lasted != 0 {
			k.moved = now.Add(-row.lasted)
		}
		if got := k.after(now); got != row.want {
			t.Errorf("%d: after %s of QUIC it is tried in %s, want %s", i, row.lasted, got, row.want)
		}
	}
}

// TestSeekingInVain: QUIC that connects and bears no answer is tried the more rarely, too.
func TestSeekingInVain(t *testing.T) {
	var k seeking
	k.after(time.Unix(1_000_000, 0))
	for want := 2 * seekEvery; want <= seekMax; want *= 2 {
		if k.failed(); k.every != want {
			t.Errorf("it is tried again in %s, want %s", k.every, want)
		}
	}
	if k.failed(); k.every != seekMax {
		t.Errorf("it is tried again in %s, want %s", k.every, seekMax)
	}
}

// TestPatience: TCP is dialled soon enough for an agent that UDP does not reach, and not
// where QUIC only takes its time.
func TestPatience(t *testing.T) {
	if unheardAfter >= 3*time.Second {
		t.Errorf("an agent without UDP waits %s until it dials TCP", unheardAfter)
	}
	if slowAfter <= 2*unheardAfter || slowAfter >= handshakeTimeout {
		t.Errorf("QUIC that is answered gets %s", slowAfter)
	}
}
