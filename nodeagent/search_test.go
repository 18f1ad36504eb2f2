package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// searched is what came of a search among addresses of which each does as it is told.
func searched(t *testing.T, heartbeat time.Duration, addresses []string, dial func(ctx context.Context, address string, n int, heard func()) error) (at []time.Duration, count map[string]int, took time.Duration, err error) {
	begin := time.Now()
	count = map[string]int{}
	dials := make(chan string, 100)
	number := make(chan map[string]int, 1)
	number <- count
	err = tempoFor(heartbeat).tryEach(t.Context(), addresses, nil, func(ctx context.Context, address string, heard func()) (*link, error) {
		count := <-number
		count[address]++
		n := count[address]
		at = append(at, time.Since(begin))
		number <- count
		dials <- address
		return nil, dial(ctx, address, n, heard)
	}, func(dialled) error { return nil })
	return at, count, time.Since(begin), err
}

// TestCrowd: an orchestrator that has too many agents to greet is asked again, each time
// after a longer pause, and nobody dials it beside that. The others are tried meanwhile.
func TestCrowd(t *testing.T) {
	crowd := fmt.Errorf("dial: %w", errCrowd)
	t.Run("one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			const heartbeat = 4 * time.Second // redials every two seconds
			at, _, took, err := searched(t, heartbeat, []string{"a"}, func(_ context.Context, _ string, n int, _ func()) error {
				if n < 4 {
					return crowd
				}
				return nil
			})
			if err != nil || len(at) != 4 {
				t.Fatalf("%v after dials at %s", err, at)
			}
			for i, most := range []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second} {
				if pause := at[i+1] - at[i]; pause < most/2 || pause > most {
					t.Errorf("pause %d is %s, want up to %s", i, pause, most)
				}
			}
			if took != at[3] {
				t.Errorf("it took %s", took)
			}
		})
	})
	t.Run("another has room", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, count, took, err := searched(t, 0, []string{"a", "b"}, func(_ context.Context, address string, _ int, _ func()) error {
				if address == "a" {
					return crowd
				}
				return nil
			})
			if err != nil || took != staggerEvery || !maps.Equal(count, map[string]int{"a": 1, "b": 1}) {
				t.Errorf("%v after %s, dials %v", err, took, count)
			}
		})
	})
	t.Run("another is dead", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, count, took, err := searched(t, 0, []string{"dead", "a"}, func(ctx context.Context, address string, n int, _ func()) error {
				switch {
				case address == "dead":
					sleep(ctx, handshakeTimeout)
					return context.DeadlineExceeded
				case n < 2:
					return crowd
				}
				return nil
			})
			if err != nil || took > staggerEvery+redialEvery || count["a"] != 2 {
				t.Errorf("%v after %s, dials %v", err, took, count)
			}
		})
	})
	t.Run("for ever", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, count, _, err := searched(t, 0, []string{"a"}, func(context.Context, string, int, func()) error { return crowd })
			if !errors.Is(err, errCrowd) || count["a"] != crowdMax+1 {
				t.Errorf("%v after dials %v", err, count)
			}
		})
	})
}

// TestCrowdOverQUIC: an agent that is sent away by QUIC before its handshake comes again,
// to join and to connect, and finds no fault in that.
func TestCrowdOverQUIC(t *testing.T) {
	t.Parallel()
	o := newOrchestrator(t)
	o.crowd = 1
	dir := t.TempDir()
	first := startAgent(t, o, dir)
	o.connected()
	first.stop()
	o.update(func() { o.crowd = 1 })
	second := startAgent(t, o, dir)
	o.until("another session", func() bool { return o.sessions == 2 })
	second.stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	said := first.log.String() + second.log.String()
	if o.crowd != 0 || !strings.Contains(second.log.String(), errCrowd.Error()) {
		t.Errorf("nobody was sent away: %s", said)
	}
	for _, complaint := range []string{"not connected", "could not join"} {
		if strings.Contains(said, complaint) {
			t.Errorf("%q in %s", complaint, said)
		}
	}
}

// TestAnswering: beside who has answered nobody is dialled, but not for ever.
func TestAnswering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const answer = staggerEvery / 2
		at, count, _, err := searched(t, 0, []string{"a", "b"}, func(ctx context.Context, address string, _ int, heard func()) error {
			if address == "b" {
				return nil
			}
			sleep(ctx, answer)
			heard()
			sleep(ctx, handshakeTimeout)
			return ctx.Err()
		})
		if err != nil || count["a"] != 1 || count["b"] != 1 || at[1] < answer+answeringRedials*redialEvery || at[1] > (answeringRedials+1)*redialEvery {
			t.Errorf("%v, dials %v at %s", err, count, at)
		}
	})
}

// TestAnswered: who has answered and then failed keeps nobody waiting.
func TestAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at, _, _, err := searched(t, 0, []string{"a", "b"}, func(ctx context.Context, address string, _ int, heard func()) error {
			if address == "b" {
				return nil
			}
			heard()
			sleep(ctx, time.Millisecond)
			return errors.New("bad")
		})
		if want := []time.Duration{0, time.Millisecond}; err != nil || !slices.Equal(at, want) {
			t.Errorf("%v, dials at %s, want %s", err, at, want)
		}
	})
}
