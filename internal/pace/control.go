package pace

import "time"

const (
	// Target is for how long bulk may make others wait in queues.
	Target = 80 * time.Millisecond
	// tripMin is what shorter round trips count as: what delays packets on a fast
	// network is processors, and no queue that anybody waits in.
	tripMin = Target / 2
	// rateMin is what bulk gets in bytes per second, whatever the line looks like: one
	// with jitter, or that others fill, still moves.
	rateMin = 32 << 10
	// growthMax bounds how much the window grows at once, and shrinkMax how little is
	// left of it.
	growthMax = 2
	shrinkMax = 0.5
	// spread is how much faster than evenly what fits into the window leaves.
	spread = 1.25
	// looksPerTrip is how often in a round trip a sender that waits looks whether there
	// is room; within the bounds that follow.
	looksPerTrip = 64
	lookMin      = time.Millisecond
	lookMax      = 10 * time.Millisecond
	// lookShare is how much of a round trip is looked at before a first queue is one.
	lookShare = 4
	// foreignAfter is how long round trips stay long at the lowest rate before that is
	// the line's new length, or somebody else's queue.
	foreignAfter = 5 * time.Second
)

// A Trip is what a connection shows of its round trips; zero where it shows none.
type Trip struct {
	// Latest is the newest one that was measured, and Min the shortest.
	Latest, Min time.Duration
	// Received counts the packets that came, or anything that changes with them: a
	// round trip that was measured again is known by it.
	Received uint64
}

// A control decides how many bytes are to be under way. It knows no clock.
//
// The window is set anew every two round trips: the first one is what it takes for a
// change to be seen, and what is measured in the second is what came of it, so that it
// may go to where it belongs in one step without swinging.
type control struct {
	window float64       // bytes under way at most; 0 is no limit
	base   time.Duration // the shortest round trip
	last   Trip
	flight flight

	began    time.Time     // of this half of a period
	settling bool          // it is the first half
	low      time.Duration // the shortest round trip in it; 0 is none
	full     bool          // the window was what limits, in this half
	lowest   time.Time     // since when the window is at its lowest and the queue long
	next     time.Time     // when what was sent has had its share of time
}

// take counts bytes as sent now and returns 0, or returns how long to wait before
// asking again.
func (c *control) take(now time.Time, t Trip, bytes int) (wait time.Duration) {
	if t.Latest <= 0 {
		return 0
	}
	c.see(now, t)
	if wait := c.next.Sub(now); wait > 0 {
		return wait
	}
	if !c.room(bytes) {
		return min(max(t.Latest/looksPerTrip, lookMin), lookMax)
	}
	c.flight.departed(now, bytes)
	if c.window > 0 {
		// What leaves in one go arrives in one go, makes a queue of its own length, and
		// has its successors leave in one go: so it is spread.
		share := float64(bytes) / (spread * c.window)
		c.next = later(c.next, now.Add(-lookMax)).Add(time.Duration(share * float64(max(c.low, c.base, tripMin))))
	}
	return 0
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// room reports whether so many bytes may be sent now.
func (c *control) room(bytes int) bool {
	if c.window == 0 || c.flight.bytes() == 0 {
		return true
	}
	if float64(c.flight.bytes()+int64(bytes)) <= c.window {
		return true
	}
	c.full = true
	return false
}

// see takes note of the present round trips.
func (c *control) see(now time.Time, t Trip) {
	if t.Latest <= 0 || t == c.last {
		return
	}
	if c.base == 0 {
		c.base, c.began = t.Latest, now
		if t.Min > 0 {
			c.base = t.Min
		}
	}
	c.last = t
	c.base = min(c.base, t.Latest)
	c.flight.arrived(now.Add(-t.Latest))
	if c.flight.bytes() == 0 { // whatever the line is like, it is none of our doing
		c.began, c.low, c.full = now, 0, false
		return
	}
	if c.low == 0 || t.Latest < c.low {
		c.low = t.Latest
	}
	half, queue := max(c.low, tripMin), c.low-c.base
	if c.window == 0 {
		half /= lookShare
	}
	if now.Sub(c.began) < half {
		return
	}
	switch {
	case c.window == 0 && queue > Target/2: // the first queue
		c.window = float64(c.flight.bytes())
		c.adjust(now, queue)
		c.settling = true
	case c.window == 0:
	case c.settling:
		c.settling = false
	default:
		c.adjust(now, queue)
		c.settling = true
	}
	c.began, c.low, c.full = now, 0, false
}

// adjust sets the window to what would have made the queue as long as it may be.
func (c *control) adjust(now time.Time, queue time.Duration) {
	base := max(c.base, tripMin)
	factor := min(max(float64(base+Target)/float64(base+queue), shrinkMax), growthMax)
	if factor > 1 && !c.full {
		return // it is something else that limits
	}
	floor := rateMin * (base + queue).Seconds()
	c.window = max(c.window*factor, floor)
	if c.window > floor || queue <= Target {
		c.lowest = time.Time{}
		return
	}
	if c.lowest.IsZero() {
		c.lowest = now
	}
	if now.Sub(c.lowest) >= foreignAfter {
		c.base, c.lowest = c.low, time.Time{}
	}
}
