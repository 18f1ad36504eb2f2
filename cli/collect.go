package cli

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// agentHeapBytes is what an agent's heap may grow to until garbage is collected. It
	// holds a few megabytes, which would else be gone through for each few more that
	// short jobs leave behind: a sixth of all that an agent does while it is busy.
	agentHeapBytes = 16 << 20
	// agentGCPercent is how much a larger heap may grow.
	agentGCPercent = 100
	gcPercentMax   = 1000
)

// A collector decides after each collection how much the heap may grow until the next.
type collector struct {
	heapBytes uint64 // what it may grow to in any case
	percent   int    // how much more than what is live
	live      func() uint64
	set       func(percent int)
}

// collectFrom has garbage collected where the heap has grown to a size, and by a share
// of what was live after the last time. It lasts until the process ends.
func collectFrom(heapBytes uint64, percent int) {
	c := &collector{heapBytes: heapBytes, percent: percent, live: liveBytes, set: func(p int) { debug.SetGCPercent(p) }}
	c.tune(0)
}

// tune sets the share, where it has become another one, and comes again behind the
// next collection.
func (c *collector) tune(before int) {
	now := c.share(c.live())
	if now != before {
		c.set(now)
	}
	// What nothing refers to is found by the next collection.
	runtime.AddCleanup(new([16]byte), c.tune, now)
}

// share is by how many percent the heap may grow of which so much is live.
func (c *collector) share(live uint64) int {
	const step = 10 // so that it is not set anew each time
	if live >= c.heapBytes {
		return c.percent
	}
	room := (c.heapBytes - live) * 100 / max(live, 1)
	return max(c.percent, int(min(room, gcPercentMax))/step*step)
}

// liveBytes is the heap that the last collection has left.
func liveBytes() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
