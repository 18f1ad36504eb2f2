package pace

import (
	"math/rand/v2"
	"time"
)

const packetBytes = 1200

// A line is the narrowest part of a way, in time of its own: packets queue in front of
// it, and their acknowledgements come back a round trip later. Its sender is a
// congestion control that grows whenever it may, so that the queue is as long as the
// pacer lets it be.
type line struct {
	rate   float64 // bytes a second
	base   time.Duration
	jitter time.Duration
	loss   float64
	others float64 // bytes a second of somebody else's, in the same queue
	blind  bool    // shows the pacer nothing

	now    time.Time
	free   time.Time // when the queue is empty
	acks   []ack     // in their order
	flight int
	window float64
	trip   Trip
	random *rand.Rand

	delivered int
	waited    time.Duration // of all packets
	worst     time.Duration
	packets   int
}

type ack struct {
	due  time.Time
	trip time.Duration
	lost bool
}

func newLine(l line) *line {
	l.now = time.Unix(1_000_000, 0)
	l.free, l.window, l.random = l.now, 32*packetBytes, rand.New(rand.NewPCG(1, 2))
	return &l
}

// run sends as much as the pacer lets for so long.
func (l *line) run(p *Pacer, d time.Duration) {
	l.delivered, l.waited, l.worst, l.packets = 0, 0, 0, 0
	for end := l.now.Add(d); l.now.Before(end); l.now = l.now.Add(time.Millisecond) {
		l.settle()
		l.fill(l.others / 1000)
		for float64(l.flight) < l.window && p.control.take(l.now, l.shown(), p.Chunk()) == 0 {
			for range max(1, p.Chunk()/packetBytes) {
				l.send()
			}
		}
	}
}

func (l *line) shown() Trip {
	if l.blind {
		return Trip{}
	}
	return l.trip
}

func (l *line) fill(bytes float64) {
	if l.free.Before(l.now) {
		l.free = l.now
	}
	l.free = l.free.Add(time.Duration(bytes / l.rate * float64(time.Second)))
}

func (l *line) send() {
	l.fill(packetBytes)
	wait := l.free.Sub(l.now)
	l.waited, l.worst, l.packets = l.waited+wait, max(l.worst, wait), l.packets+1
	trip := l.base + wait
	if l.jitter > 0 {
		trip += time.Duration(l.random.Int64N(int64(l.jitter)))
	}
	due := l.now.Add(trip)
	if n := len(l.acks); n > 0 && due.Before(l.acks[n-1].due) {
		due = l.acks[n-1].due
	}
	l.flight += packetBytes
	l.acks = append(l.acks, ack{due, trip, l.random.Float64() < l.loss})
}

// settle takes the acknowledgements that have come.
func (l *line) settle() {
	for len(l.acks) > 0 && !l.acks[0].due.After(l.now) {
		a := l.acks[0]
		l.acks = l.acks[1:]
		l.flight -= packetBytes
		if a.lost {
			l.window = max(l.window*0.9999, 2*packetBytes)
			continue
		}
		l.delivered += packetBytes
		l.window += packetBytes
		l.trip.Latest = a.trip
		l.trip.Received++
		if l.trip.Min == 0 || a.trip < l.trip.Min {
			l.trip.Min = a.trip
		}
	}
}

// share is how much of the line was used in a run.
func (l *line) share(d time.Duration) float64 {
	return float64(l.delivered) / (l.rate * d.Seconds())
}

// queue is how long a packet waited on average.
func (l *line) queue() time.Duration { return l.waited / time.Duration(max(l.packets, 1)) }
