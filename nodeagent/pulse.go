package nodeagent

import (
	"math"
	"time"

	pacing "quorate/internal/pace"
)

const (
	// silenceFactor is how many heartbeats without a word make a gateway dead.
	silenceFactor = 2.5
	// roundTrips is how many round trips of the longest kind it takes beside one
	// heartbeat, however short that is.
	roundTrips = 2
	// resendMin is what TCP waits at least until it sends something again, beside round
	// trips, and resends how often that may be in a row on a line which seems good.
	resendMin = 200 * time.Millisecond
	resends   = 2
	// falseAlarm is how likely it may be that all packets got lost by chance, and
	// lossMax the loss up to which that is worked out.
	falseAlarm = 1e-6
	lossMax    = 0.5
	// lossSample keeps the first lost packet of a connection from looking like a
	// bad line.
	lossSample = 32
	// silenceMax is below what QUIC itself ends a connection after.
	silenceMax = idleTimeout - time.Second
	// answerMax is for a gateway whose host answers and which says nothing itself.
	answerMax = 30 * time.Second
)

// signs are what a connection shows of the other side.
type signs struct {
	heard          uint64 // changes when the other side's process has done something
	packets        uint64 // that came
	sent, lost     uint64 // packets
	rtt, deviation time.Duration
	answered       time.Time // of the newest message
	// latest is the newest round trip, where that is known apart from rtt; or 0.
	latest time.Duration
	// ordered is a connection on which what is lost holds up what comes behind it.
	ordered bool
}

// line is what reports are held back by.
func (s *signs) line() pacing.Trip {
	latest := s.latest
	if latest == 0 {
		latest = s.rtt
	}
	return pacing.Trip{Latest: latest, Received: s.packets}
}

// trip is how long a round trip takes at most, but for rare ones.
func (s *signs) trip() time.Duration { return s.rtt + 4*s.deviation }

// recovery is what it takes on an ordered connection until what was lost is there: TCP
// sends the last packet of several again after two round trips, and a single one later.
func (s *signs) recovery() time.Duration { return s.rtt + s.trip() + resendMin }

// A pulse tells by the packets of a connection whether somebody is there. Packets
// and not messages: what is lost holds up the messages behind it. Over TCP the packets
// are the kernel's, and say nothing of the process; there it is what comes through.
type pulse struct {
	every time.Duration // between two pings; 0 never asks

	sign   uint64 // heard, as it was last
	looked time.Time
	due    time.Time // when to look next
	heard  time.Time
	asked  time.Time
	limit  time.Duration
	step   time.Duration
	// dead and mute are since when it was taken for that, by heard and answered:
	// what makes later alarms wait longer does not take one back.
	dead, mute time.Time
}

// look says whether to ask, whether the other side is to be taken for dead, and
// when to look again. patience multiplies how long the other side may be silent.
func (p *pulse) look(now time.Time, s signs, patience int) (ask, silent bool, next time.Duration) {
	if late := now.Sub(p.due); !p.looked.IsZero() && late > 0 {
		slept := p.heard.Add(late) // it is we who slept, if only a little each time
		if p.dead.Equal(p.heard) {
			p.dead = slept // which is no sign of life
		}
		p.heard = slept
	}
	ask, silent, next = p.judge(now, s, patience)
	p.looked, p.due = now, now.Add(next)
	return ask, silent, next
}

func (p *pulse) judge(now time.Time, s signs, patience int) (ask, silent bool, next time.Duration) {
	if p.heard.IsZero() || s.heard != p.sign {
		p.sign, p.heard = s.heard, now
		if !p.looked.IsZero() && s.answered.After(p.looked) {
			p.heard = s.answered // what is known to the moment
		}
		// What goes missing from here on says nothing about the line any more.
		p.step = max(p.every/4, s.trip()/2)
		p.limit = p.silence(&s)
	}
	limit := min(time.Duration(patience)*p.limit, silenceMax)
	quiet, unanswered := now.Sub(p.heard), now.Sub(s.answered)
	if quiet >= limit {
		p.dead = p.heard
	}
	if unanswered >= answerMax+limit {
		p.mute = s.answered
	}
	silent = p.dead.Equal(p.heard) || p.mute.Equal(s.answered)
	if quiet < p.every && unanswered < answerMax {
		return false, silent, p.every - quiet
	}
	if now.Sub(p.asked) >= p.step {
		p.asked, ask = now, true
	}
	return ask, silent, p.step
}

// refuse takes the other side for dead until more is heard of it: its host says so.
func (p *pulse) refuse() { p.dead = p.heard }

// silence is how long the other side may be silent on such a line.
func (p *pulse) silence(s *signs) time.Duration {
	limit, again := max(time.Duration(silenceFactor*float64(p.every)), p.every+roundTrips*s.trip()), p.step
	if s.ordered {
		again = max(again, s.recovery())
		limit = max(limit, p.every+resends*s.recovery()+s.trip())
	}
	loss := min(float64(s.lost)/float64(s.sent+lossSample), lossMax)
	if loss <= 0 {
		return limit
	}
	// A ping and its answer both have to arrive.
	probes := math.Ceil(math.Log(falseAlarm) / math.Log(1-(1-loss)*(1-loss)))
	return max(limit, p.every+time.Duration(probes)*again+s.trip())
}

// caution makes an agent that was mistaken, or has just had reason to leave, wait
// longer before it leaves again: a bad line is no dead gateway, and going from one
// to the other does not make it better.
type caution struct {
	level int
	last  time.Time
}

const (
	cautionMax    = 3
	cautionWithin = time.Minute
	cautionAfter  = 5 * time.Minute
)

// alarm notes that a gateway was taken for dead.
func (c *caution) alarm(now time.Time) {
	if !c.last.IsZero() && now.Sub(c.last) < cautionWithin {
		c.raise(now)
	}
	c.last = now
}

// raise notes that it was a mistake.
func (c *caution) raise(now time.Time) { c.level, c.last = min(c.level+1, cautionMax), now }

// patience is what to multiply the time with.
func (c *caution) patience(now time.Time) int {
	if now.Sub(c.last) >= cautionAfter {
		c.level = 0
	}
	return 1 << c.level
}

// patience multiplies how long an orchestrator may be silent.
func (a *agent) patience(now time.Time) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.caution.patience(now)
}

// alarmed notes that an orchestrator was taken for dead, or that this was a mistake.
func (a *agent) alarmed(now time.Time, mistaken bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if mistaken {
		a.caution.raise(now)
	} else {
		a.caution.alarm(now)
	}
}
