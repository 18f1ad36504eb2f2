package edge

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"quorate/internal/pace"
)

// TestBulkYieldsOverTCP is [TestBulkYields] where UDP is blocked: there is one queue for
// all streams of a connection in the kernel, and another in front of the link.
func TestBulkYieldsOverTCP(t *testing.T) {
	beside(t)
	const near = 30 * time.Millisecond
	all := []Conditions{{Delay: near, BytesPerSecond: 400e3}}
	if full() {
		all = []Conditions{{Delay: near, BytesPerSecond: 2e6}, {Delay: near, BytesPerSecond: 256e3}, {Delay: roundTrip / 2, BytesPerSecond: 2e6}}
	}
	for _, c := range all {
		c.QueueMax, c.NoUDP = 2*time.Second, true
		t.Run(fmt.Sprintf("%d KB a second, %v", c.BytesPerSecond/1000, 2*c.Delay), func(t *testing.T) { overTCP(t, c) })
	}
}

func overTCP(t *testing.T, c Conditions) {
	s := newSite(t, 1, 1, c)
	s.goesOver("tcp")
	link := s.links[0]
	_, args := s.shipment("image", 50e6)
	s.begin(args...)
	s.until("the file is under way", func() bool { n, _ := link.Counts(); return n.Bytes > 2*c.BytesPerSecond })
	steady := measure(link)
	var took []time.Duration
	for n := range size(10, 2) {
		run, pid := s.sleeper(fmt.Sprintf("sleeper%d", n))
		took = append(took, s.cancel(run, func() bool { return gone(pid) }))
	}
	if full() {
		s.until("the link was full for a while", func() bool { return steady().took > 18*time.Second })
	}
	rest := steady()
	slices.Sort(took)
	t.Logf("over TCP, %v there and back: a cancel took %v in the median of %d and %v at worst; the file took %.0f %% of the link, and packets waited %v",
		2*c.Delay, took[len(took)/2].Round(time.Millisecond), len(took), took[len(took)-1].Round(time.Millisecond),
		100*float64(rest.bytes)/rest.took.Seconds()/float64(c.BytesPerSecond), rest.queue.Round(time.Millisecond))
	if most := 4 * pace.Target; rest.queue > most {
		t.Errorf("packets waited %v in the queue, want %v at most", rest.queue, most)
	}
}
