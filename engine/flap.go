package engine

import (
	"cmp"

	"quorate/eventlog"
)

// An agent whose connection comes and goes is damped as RFC 2439 damps routes: each
// reconnection costs it a penalty, of which half is forgotten in each half-life. Above
// a threshold the agent flaps, and below half of that it does not any more. All of it
// is counted in integers, by the times of the log's records: what an agent is depends
// on no clock of a reader.

// What a connection costs, in thousandths of a reconnection.
const (
	reconnectCost = 1000
	// movedCost is of a connection to another gateway that the agent says it was asked
	// for and that is not on record, as where the one before has no majority: an agent
	// that says so each time gets twice as many, and no more.
	movedCost = 500
	// connectFactor is at how many thresholds a gateway lets an agent wait, and
	// penaltyFactor at how many nothing more is added: three half-lives behind the last
	// reconnection every agent is calm.
	connectFactor = 2
	penaltyFactor = 4
)

const (
	millisecond = 1_000_000 // in nanoseconds
	second      = 1000 * millisecond

	halfLifeDefault  = 300 * second
	thresholdDefault = 5
)

// Bounds of what an operator may set; half-lives are in nanoseconds.
const (
	HalfLifeMin      = 1 * second
	HalfLifeMax      = 3600 * second
	FlapThresholdMin = 2
	FlapThresholdMax = 1000
)

// relayPauseMax is how long a relay waits that flaps: its whole site waits for it.
const relayPauseMax = 10 * second

// ChangesMax is how many of an agent's newest changes of connection are kept.
const ChangesMax = 20

// What an agent is given while it flaps.
const (
	// WorkHeld starts no step on it while the run gets on with others.
	WorkHeld = "hold"
	// WorkLast gives it what room is left by others.
	WorkLast = "last"
	// WorkNormal treats it like any other.
	WorkNormal = "normal"
)

// A Damping is how the cluster deals with agents that flap.
type Damping struct {
	Work      string // WorkHeld, WorkLast or WorkNormal
	HalfLife  int64  // of penalties, in nanoseconds
	Threshold uint32 // reconnections at once that make an agent one that flaps
	// By and Index are who set it last, and the record; empty and 0 for the default.
	By    string
	Index uint64
}

// Damping returns what is in force. Nothing is held by default: what the others do may
// wait, without our knowing, for what the agent would have done.
func (s *State) Damping() Damping {
	d := s.damping
	d.Work = cmp.Or(d.Work, WorkLast)
	d.HalfLife = cmp.Or(d.HalfLife, halfLifeDefault)
	d.Threshold = cmp.Or(d.Threshold, thresholdDefault)
	return d
}

// sound reports whether each part is within bounds, or not set.
func (d *Damping) sound() bool {
	half := d.HalfLife == 0 || d.HalfLife >= HalfLifeMin && d.HalfLife <= HalfLifeMax
	threshold := d.Threshold == 0 || d.Threshold >= FlapThresholdMin && d.Threshold <= FlapThresholdMax
	return half && threshold && (d.Work == "" || d.Work == WorkHeld || d.Work == WorkLast || d.Work == WorkNormal)
}

// flapsFrom is the penalty from which on an agent flaps, and calmBelow the one below
// which it does not any more.
func (d *Damping) flapsFrom() uint64 { return uint64(d.Threshold) * reconnectCost }
func (d *Damping) calmBelow() uint64 { return d.flapsFrom() / 2 }

// ConnectionsMax is how many connections of one agent its gateways put on record within
// a time, in nanoseconds, at most, whatever the agent does. Each of the gateways may add
// one to it where they are asked at the same moment, and so do the loss of its gateway,
// a move that its gateway asks for, and, twice, a connection of its site's relay.
func (d *Damping) ConnectionsMax(within int64) int {
	// What is taken counts for movedCost at least; no more than the limit and one
	// reconnection above it is on record at a time, and of what is on record half is
	// forgotten in a half-life, at an even pace.
	limit := int64(connectFactor*d.flapsFrom() + reconnectCost)
	return int((limit + limit*(within/millisecond)/(2*(d.HalfLife/millisecond))) / movedCost)
}

// decayed is what is left of a penalty after a time: half after each half-life, and on
// a straight line between. It never grows with time.
func (d *Damping) decayed(penalty uint64, after int64) uint64 {
	if after <= 0 {
		return penalty
	}
	half, ms := uint64(d.HalfLife/millisecond), uint64(after/millisecond)
	penalty >>= min(ms/half, 63)
	return penalty - penalty*(ms%half)/(2*half)
}

// until is how long a penalty takes to fall below a limit, which is not 0.
func (d *Damping) until(penalty, below uint64) (wait int64) {
	for penalty/2 >= below {
		penalty /= 2
		wait += d.HalfLife
	}
	if penalty < below {
		return wait
	}
	half := uint64(d.HalfLife / millisecond)
	ms := ((penalty-below+1)*2*half + penalty - 1) / penalty
	return wait + int64(ms)*millisecond
}

// A Steadiness is how an agent's connection has behaved.
type Steadiness struct {
	// Flapping is true from the reconnection that reached the threshold on until
	// the agent is calm, and FlappingSince when that was, unix nanoseconds.
	Flapping      bool
	FlappingSince int64
	// Connections counts those on record, and Flaps the reconnections that count
	// against the agent.
	Connections, Flaps uint64
	// Changes are the newest, oldest first, at most [ChangesMax].
	Changes []ConnectionChange

	penalty   uint64 // thousandths of a reconnection, at penaltyAt
	penaltyAt int64
	blameless bool   // its connection before ended by an orchestrator's doing
	sentTo    uint64 // the gateway that its own has asked it to go to, or 0
}

// A ConnectionChange is one record of an agent's connection.
type ConnectionChange struct {
	Time    int64 // unix nanoseconds
	Kind    eventlog.Kind
	Gateway uint64
	// Text is the address that the agent connected from, or why the connection ended.
	Text string
	// Counts is true where it counts against the agent.
	Counts bool

	// charged is what it counts, in thousandths of a reconnection. left is the gateway
	// whose connection it took the place of while that was on record, and via the relay
	// of the one before, or 0: where that was lost the agent is to be excused.
	charged   uint64
	left, via uint64
}

// PenaltyAt returns what counts against the agent at a time, unix nanoseconds, in
// thousandths of a reconnection.
func (s *State) PenaltyAt(a *Agent, now int64) uint64 {
	d := s.Damping()
	return d.decayed(a.penalty, now-a.penaltyAt)
}

// ConnectPause is how long the agent's next connection is to wait at a time, unix
// nanoseconds, so that it cannot flood the log: in nanoseconds, 0 where it may be taken.
func (s *State) ConnectPause(a *Agent, now int64) int64 {
	d := s.Damping()
	pause := d.until(s.PenaltyAt(a, now), connectFactor*d.flapsFrom())
	if a.Relay {
		return min(pause, relayPauseMax)
	}
	return pause
}

// CalmIn is how long an agent that flaps has to stay connected from a time on, unix
// nanoseconds, to be calm: in nanoseconds.
func (s *State) CalmIn(a *Agent, now int64) int64 {
	d := s.Damping()
	return d.until(s.PenaltyAt(a, now), d.calmBelow())
}

// Calmed reports whether the agent is to be put on record as calm at a time, unix
// nanoseconds.
func (s *State) Calmed(a *Agent, now int64) bool {
	d := s.Damping()
	return a.Flapping && s.PenaltyAt(a, max(now, s.Time)) < d.calmBelow()
}
