package logtest

import (
	"context"
	"sync"
	"testing"

	"quorate/eventlog"
)

// AppendFrom appends the entries once an iteration, from concurrent writers, and
// reports events a second.
func AppendFrom(b *testing.B, log Log, writers int, entries []eventlog.Entry) {
	b.Helper()
	ctx := context.Background()
	b.ReportAllocs()
	turns := make(chan struct{}, writers)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range turns {
				if _, err := log.Append(ctx, entries); err != nil {
					b.Errorf("append: %v", err)
				}
			}
		})
	}
	for b.Loop() {
		turns <- struct{}{}
	}
	close(turns)
	wg.Wait()
	b.ReportMetric(float64(b.N*len(entries))/b.Elapsed().Seconds(), "events/s")
}
