package pace

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestPacer wants a full line and a short queue, on lines whose other end would take
// queues of any length.
func TestPacer(t *testing.T) {
	for _, c := range []struct {
		name string
		line line
		fill float64 // share of the line to be used at least
		wait time.Duration
	}{
		{"far and slow", line{rate: 2e6, base: 300 * time.Millisecond}, 0.9, Target * 3 / 2},
		{"far and slower", line{rate: 100e3, base: 300 * time.Millisecond}, 0.85, 2 * Target},
		{"near and slow", line{rate: 1e6, base: 20 * time.Millisecond}, 0.9, Target * 3 / 2},
		{"far and fast", line{rate: 50e6, base: 100 * time.Millisecond}, 0.9, Target * 3 / 2},
		{"with jitter", line{rate: 2e6, base: 300 * time.Millisecond, jitter: 50 * time.Millisecond}, 0.85, 2 * Target},
		{"with loss", line{rate: 2e6, base: 300 * time.Millisecond, loss: 0.01}, 0.85, Target * 3 / 2},
		{"satellite", line{rate: 5e6, base: 600 * time.Millisecond}, 0.85, 2 * Target},
		{"local", line{rate: 100e6, base: 200 * time.Microsecond}, 0.95, 2 * Target},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLine(c.line)
			p := New(l.shown)
			const begin, steady = 10 * time.Second, 30 * time.Second
			l.run(p, begin)
			t.Logf("at first: %.0f %% of the line, %v in the queue, %v at worst", 100*l.share(begin), l.queue().Round(time.Millisecond), l.worst.Round(time.Millisecond))
			l.run(p, steady)
			t.Logf("then: %.0f %% of the line, %v in the queue, %v at worst", 100*l.share(steady), l.queue().Round(time.Millisecond), l.worst.Round(time.Millisecond))
			if l.share(steady) < c.fill {
				t.Errorf("%.0f %% of the line used, want %.0f %%", 100*l.share(steady), 100*c.fill)
			}
			if l.queue() > c.wait {
				t.Errorf("packets wait %v in the queue, want %v at most", l.queue(), c.wait)
			}
		})
	}
}

// TestUnpaced is the trouble itself: without a pacer the same sender fills the queue.
func TestUnpaced(t *testing.T) {
	l := newLine(line{rate: 2e6, base: 300 * time.Millisecond, blind: true})
	l.run(New(l.shown), 10*time.Second)
	if l.queue() < time.Second {
		t.Errorf("packets wait %v in the queue of a sender that nobody holds back: the line shows nothing", l.queue())
	}
}

// TestWayChanges wants bulk back at the line's rate when its way has become longer,
// which looks like a queue that never goes.
func TestWayChanges(t *testing.T) {
	l := newLine(line{rate: 2e6, base: 50 * time.Millisecond})
	p := New(l.shown)
	l.run(p, 10*time.Second)
	l.base = 350 * time.Millisecond
	l.run(p, time.Minute)
	const steady = 20 * time.Second
	l.run(p, steady)
	if l.share(steady) < 0.8 {
		t.Errorf("%.0f %% of the line used, want 80 %%", 100*l.share(steady))
	}
	if l.queue() > 2*Target {
		t.Errorf("packets wait %v in the queue, want %v at most", l.queue(), 2*Target)
	}
}

// TestOthers wants bulk to make way for whom it shares the line with, and to go on
// where they leave nothing.
func TestOthers(t *testing.T) {
	l := newLine(line{rate: 2e6, base: 100 * time.Millisecond})
	p := New(l.shown)
	const while = 20 * time.Second
	l.run(p, while)
	l.others = 1e6
	l.run(p, while)
	if got := l.share(while); got < 0.4 || got > 0.6 {
		t.Errorf("%.0f %% of the line used where others use half of it", 100*got)
	}
	if l.queue() > 3*Target {
		t.Errorf("packets wait %v in the queue, want %v at most", l.queue(), 3*Target)
	}
	l.others = 2.2e6
	l.run(p, while)
	if l.delivered == 0 {
		t.Error("bulk has stopped for others")
	}
}

// TestWait wants senders to be held back, and to be let go when their time is over.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trip := Trip{Latest: 100 * time.Millisecond, Min: 100 * time.Millisecond}
		p := New(func() Trip { return trip })
		if err := p.Wait(t.Context(), ChunkBytesMax); err != nil {
			t.Fatal(err)
		}
		p.control.window = 1000
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := p.Wait(ctx, ChunkBytesMax); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("behind a full window: %v, want its deadline", err)
		}
		trip.Received++ // what was sent a round trip ago has arrived
		if err := p.Wait(t.Context(), ChunkBytesMax); err != nil {
			t.Errorf("behind an empty one: %v", err)
		}
	})
}

// TestFlight wants what has departed to be under way until its time is acknowledged, and
// the memory of it to be bounded where nothing ever is.
func TestFlight(t *testing.T) {
	var f flight
	begin := time.Unix(1000, 0)
	at := func(n int) time.Time { return begin.Add(time.Duration(n) * 2 * time.Millisecond) }
	const many = 3 * departuresMax
	for n := range many {
		f.departed(at(n), 1)
	}
	if f.bytes() != many || len(f.sent) != departuresMax {
		t.Errorf("%d bytes in %d departures, want %d in %d", f.bytes(), len(f.sent), many, departuresMax)
	}
	f.arrived(at(99))
	if f.bytes() != many-100 {
		t.Errorf("%d bytes are under way behind the first 100 of %d", f.bytes(), many)
	}
	f.arrived(at(many))
	if f.bytes() != 0 || len(f.sent) != 0 {
		t.Errorf("%d bytes in %d departures when all have arrived", f.bytes(), len(f.sent))
	}
}

// BenchmarkTake is what a chunk costs.
func BenchmarkTake(b *testing.B) {
	trip := Trip{Latest: time.Millisecond, Min: time.Millisecond}
	p := New(func() Trip { trip.Received++; return trip })
	b.ReportAllocs()
	for b.Loop() {
		p.Take(ChunkBytesMax)
	}
}

// TestIdle wants round trips that are long while nothing is sent to limit nothing: it
// is not we who make them long.
func TestIdle(t *testing.T) {
	var c control
	now := time.Unix(1000, 0)
	for n := range 100 {
		trip := Trip{Latest: 100 * time.Millisecond, Received: uint64(n)}
		if n > 10 {
			trip.Latest = 300 * time.Millisecond
		}
		now = now.Add(time.Minute)
		if wait := c.take(now, trip, 100<<10); wait != 0 || c.window != 0 {
			t.Fatalf("what is sent once in a minute waits %v for a window of %v", wait, c.window)
		}
	}
}
