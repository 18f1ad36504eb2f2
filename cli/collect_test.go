package cli

import (
	"runtime"
	"testing"
	"time"
)

func TestShareOfGarbage(t *testing.T) {
	c := collector{heapBytes: 16 << 20, percent: 100}
	for _, x := range []struct {
		live uint64
		want int
	}{{0, gcPercentMax}, {1 << 20, gcPercentMax}, {4 << 20, 300}, {5 << 20, 220}, {8 << 20, 100}, {15 << 20, 100}, {16 << 20, 100}, {1 << 40, 100}} {
		if got := c.share(x.live); got != x.want {
			t.Errorf("of %d bytes: %d percent, want %d", x.live, got, x.want)
		}
	}
}

func TestShareFollowsCollections(t *testing.T) {
	live := make(chan uint64, 1)
	set := make(chan int, 1)
	c := &collector{heapBytes: 100, percent: 50, live: func() uint64 { return <-live }, set: func(p int) {
		select {
		case set <- p:
		default:
		}
	}}
	live <- 20
	c.tune(0)
	if got := <-set; got != 400 {
		t.Fatalf("%d percent", got)
	}
	live <- 90
	deadline := time.After(time.Minute)
	for {
		runtime.GC()
		select {
		case got := <-set:
			if got != 50 {
				t.Fatalf("%d percent", got)
			}
			close(live) // for the cleanup that is left
			return
		case <-deadline:
			t.Fatal("no collection was noticed")
		case <-time.After(time.Millisecond):
		}
	}
}
