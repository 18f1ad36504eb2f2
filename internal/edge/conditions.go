package edge

import (
	"math/rand/v2"
	"time"
)

// lateBy is how long packets are held back that others are to overtake.
const lateBy = 15 * time.Millisecond

// Conditions are what a link does to each packet, in either direction. The zero value
// is a link that nothing is wrong with.
type Conditions struct {
	// Delay is how long a packet takes; the round trip is twice that. Up to Jitter is
	// added to it by chance, which keeps the order.
	Delay, Jitter time.Duration
	// Loss is the share of packets that are lost, and Reorder that of those which
	// others overtake, by 15 ms; 0 to 1.
	Loss, Reorder float64
	// BytesPerSecond is what fits through; 0 is no limit.
	BytesPerSecond int64
	// QueueMax is how long packets may wait for that at most, before more are
	// dropped; 0 is for ever.
	QueueMax time.Duration
	// NoUDP drops what is sent over UDP, as some firewalls do. Refused has them say so, by
	// ICMP messages that the port cannot be reached.
	NoUDP, Refused bool
	// NATForgets is how long a NAT before the second device remembers a port of UDP that
	// sends nothing; 0 is no NAT.
	NATForgets time.Duration
}

const (
	protocolICMP = 1
	protocolUDP  = 17

	headerIPBytes    = 20
	protocolAt       = 9 // in a header of IPv4
	headerChecksumAt = 10
	sourceAt         = 12
	targetAt         = 16

	headerUDPBytes = 8
	sourcePortAt   = 0 // in a header of UDP
	targetPortAt   = 2
	checksumAt     = 6
)

// bars reports whether the packet, of IPv4, is one that is always dropped.
func (c *Conditions) bars(packet []byte) bool {
	return c.NoUDP && len(packet) >= headerIPBytes && packet[protocolAt] == protocolUDP
}

// A passage decides when the packets of one direction arrive. It knows no clock. waits
// is how long the last one that was admitted is in the queue of its rate.
type passage struct {
	random *rand.Rand
	free   time.Time // when what was sent before is through
	last   time.Time // when the last packet in order is due
	waits  time.Duration
}

// admit says when a packet that is sent now is due, or that it is lost.
func (p *passage) admit(c Conditions, now time.Time, bytes int) (due time.Time, ok bool) {
	if p.random.Float64() < c.Loss {
		return time.Time{}, false
	}
	due, p.waits = now, 0
	if c.BytesPerSecond > 0 {
		if p.free.Before(now) {
			p.free = now
		}
		if c.QueueMax > 0 && p.free.Sub(now) > c.QueueMax {
			return time.Time{}, false
		}
		p.waits = p.free.Sub(now)
		p.free = p.free.Add(time.Duration(int64(bytes) * int64(time.Second) / c.BytesPerSecond))
		due = p.free
	}
	due = due.Add(c.Delay)
	if c.Jitter > 0 {
		due = due.Add(time.Duration(p.random.Int64N(int64(c.Jitter))))
	}
	if p.random.Float64() < c.Reorder {
		return due.Add(lateBy), true
	}
	if due.Before(p.last) {
		due = p.last
	}
	p.last = due
	return due, true
}
