package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"quorate/internal/pace"
)

// TestBulkRates wants blobs to take as long as the narrowest of the rates that they are
// under lets them: that of their connection, and that of all.
func TestBulkRates(t *testing.T) {
	const blob = 1 << 20
	for _, c := range []struct {
		name        string
		all, site   int64
		connections int
		want        time.Duration
	}{
		{"none", 0, 0, 4, 0},
		{"of a connection", 0, 1 << 20, 4, time.Second},
		{"of all", 1 << 20, 0, 4, 4 * time.Second},
		{"both, and all is less", 2 << 20, 1 << 20, 4, 2 * time.Second},
		{"the least that is allowed", 0, 16 << 10, 1, 64 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &gateway{limits: Limits{BulkRate: c.all, BulkRatePerSite: c.site}, bulkRate: newRate(c.all)}
				began := time.Now()
				var copies sync.WaitGroup
				for range c.connections {
					b := g.newBulk(&connection{carrier: silentCarrier{}})
					copies.Go(func() {
						var got bytes.Buffer
						if _, err := b.copy(t.Context(), &got, strings.NewReader(strings.Repeat("x", blob)), blob, goOn); err != nil || got.Len() != blob {
							t.Errorf("%d bytes, %v", got.Len(), err)
						}
					})
				}
				copies.Wait()
				took := time.Since(began)
				// What may go at once takes no time, and is a tenth of a second's worth.
				if took > c.want || took < c.want*8/10 {
					t.Errorf("took %v, want %v or a little less", took, c.want)
				}
			})
		})
	}
}

// goOn is for a copy that nobody else waits for.
func goOn() bool { return false }

// TestBulkEnds wants a copy to end with its context, however low the rate is, and to
// tell a blob that is shorter than it was.
func TestBulkEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{limits: Limits{BulkRatePerSite: 1}}
		b := g.newBulk(&connection{carrier: silentCarrier{}})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		if _, err := b.copy(ctx, io.Discard, strings.NewReader(strings.Repeat("x", 1000)), 1000, goOn); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if _, err := b.copy(t.Context(), io.Discard, strings.NewReader(""), 1, goOn); !errors.Is(err, io.EOF) {
			t.Errorf("a blob without its end: %v", err)
		}
	})
}

// A silentCarrier shows nothing.
type silentCarrier struct{ carrier }

func (silentCarrier) trip() pace.Trip { return pace.Trip{} }

// TestBulkFollowsTheLine wants a blob to be held back by what its connection shows of
// the line, of which all else is package pace's.
func TestBulkFollowsTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const blob, rate = 10 << 20, 1 << 20
		line := &fluid{rate: rate, base: 100 * time.Millisecond, began: time.Now()}
		b := (&gateway{}).newBulk(&connection{carrier: line})
		if _, err := b.copy(t.Context(), line, strings.NewReader(strings.Repeat("x", blob)), blob, goOn); err != nil {
			t.Fatal(err)
		}
		if line.longest > time.Second/2 {
			t.Errorf("the queue was %v long", line.longest)
		}
		if took, ideal := time.Since(line.began), blob/rate*time.Second; took > ideal*5/4 {
			t.Errorf("took %v, and the line could have done it in %v", took, ideal)
		}
	})
}

// A fluid is a carrier over a line of a rate, whose queue takes one second of it.
type fluid struct {
	silentCarrier
	rate        float64
	base        time.Duration
	began, free time.Time     // when the queue is empty
	longest     time.Duration // that it was after the first seconds
	received    uint64
}

func (f *fluid) Write(p []byte) (int, error) {
	if now := time.Now(); f.free.Before(now) {
		f.free = now
	}
	<-time.After(time.Until(f.free.Add(-time.Second)))
	f.free = f.free.Add(time.Duration(float64(len(p)) / f.rate * float64(time.Second)))
	if time.Since(f.began) > 5*time.Second {
		f.longest = max(f.longest, time.Until(f.free))
	}
	return len(p), nil
}

func (f *fluid) trip() pace.Trip {
	f.received++
	return pace.Trip{Latest: f.base + max(0, time.Until(f.free)), Min: f.base, Received: f.received}
}
