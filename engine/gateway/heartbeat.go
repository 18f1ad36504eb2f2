package gateway

import (
	"errors"
	"sync"
	"time"

	"quorate/engine"
)

// How often agents ask whether the gateway is there. All of them together ask at
// most pingsPerSecond times, so that the fewer there are the sooner they notice
// that it is not. A gateway that takes over another's agents keeps within twice that.
const (
	heartbeatMin   = 500 * time.Millisecond
	heartbeatMax   = 10 * time.Second
	pingsPerSecond = 200

	// crowdEvery is how long a count of the agents is used.
	crowdEvery = time.Second
	// pingsMax is what one agent may send in pingsWithin, also when a network that
	// was gone hands over what it had kept.
	pingsMax    = 256
	pingsWithin = time.Second
)

// heartbeatFor is how often each of so many agents asks.
func heartbeatFor(agents int) time.Duration {
	return min(max(heartbeatMin, time.Duration(agents)*time.Second/pingsPerSecond), heartbeatMax)
}

// heartbeat is what an agent that connects now is told. It goes by the agents to
// come, not only by those that are there: after a restart all connect in turn.
func (g *gateway) heartbeat() time.Duration {
	return heartbeatFor(max(g.sessions.count(), g.crowd.share(g.o, time.Now())))
}

// A viewer shows the state.
type viewer interface {
	View(f func(s *engine.State))
}

// A crowd remembers this gateway's fair share of all agents: counting them looks
// at every one.
type crowd struct {
	mu   sync.Mutex
	at   time.Time
	last int
}

func (c *crowd) share(o viewer, now time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.at.IsZero() && now.Sub(c.at) < crowdEvery && !now.Before(c.at) {
		return c.last
	}
	o.View(func(s *engine.State) {
		agents := 0
		for _, a := range s.Agents {
			if a.Usable() {
				agents++
			}
		}
		members := max(1, len(s.Members()))
		c.last = (agents + members - 1) / members
	})
	c.at = now
	return c.last
}

// A pingBudget bounds how often one agent may ask.
type pingBudget struct {
	since time.Time
	count int
}

var errPings = errors.New("protocol: too many pings")

func (b *pingBudget) take(now time.Time) error {
	if now.Sub(b.since) >= pingsWithin || now.Before(b.since) {
		b.since, b.count = now, 0
	}
	if b.count++; b.count > pingsMax {
		return errPings
	}
	return nil
}

// ping lets the sender answer. Pings that arrive together are answered once.
func (s *session) ping() error {
	if err := s.pings.take(time.Now()); err != nil {
		return err
	}
	s.note(func(n *notes) { n.pong = true })
	return nil
}
