package gateway

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"quorate/engine"
	"quorate/eventlog"
)

// A damper has agents that flap wait before they are taken, so that the log grows by a
// bounded number of records whatever an agent does.
type damper struct {
	mu    sync.Mutex
	waits map[uint64]turn // by agent
}

// A turn is when an agent is let in again behind its connection on record, by this
// process's clock: where the log's clock was set ahead nothing is forgotten until the
// others have come that far, and the agent would wait as long.
type turn struct {
	connection uint64
	until      time.Time
}

// left is how long an agent still has to wait that has to wait for a pause by the log.
func (d *damper) left(agent, connection uint64, pause time.Duration, now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if pause <= 0 {
		delete(d.waits, agent)
		return 0
	}
	w, ok := d.waits[agent]
	if !ok || w.connection != connection {
		w = turn{connection, now.Add(pause)}
		if d.waits == nil {
			d.waits = map[uint64]turn{}
		}
		d.waits[agent] = w
	}
	return max(0, min(pause, w.until.Sub(now)))
}

// calmAskEvery is how long an agent that has to wait is kept from asking at most: an
// operator may calm it at any time.
const calmAskEvery = 30 * time.Second

// damp returns the refusal of an agent that has come too often lately, or nil. It
// comes before the agent's session is replaced, which it keeps then.
func (g *gateway) damp(id uint64) *refusal {
	var pause time.Duration
	var connection uint64
	var came float64
	now := g.o.Now()
	g.o.View(func(s *engine.State) {
		a := s.Agent(id)
		pause, connection = time.Duration(s.ConnectPause(a, now.UnixNano())), a.Connection
		came = float64(s.PenaltyAt(a, now.UnixNano())) / 1000
	})
	pause = g.damper.left(id, connection, pause, time.Now())
	if pause == 0 {
		return nil
	}
	g.o.Damped()
	return &refusal{
		code:   "flapping",
		reason: fmt.Sprintf("the agent has connected too often lately (%.0f times): it is let in again in %s", math.Ceil(came), pause.Round(time.Second)),
		after:  spread(min(pause, calmAskEvery)),
	}
}

// spread makes a wait longer by up to a quarter and a second, by chance: the agents of a
// site that flap with its line have come, and are put off, in the same moment.
func spread(wait time.Duration) time.Duration {
	return wait + rand.N(wait/spreadShare+time.Second)
}

const spreadShare = 4

// arrivals know which connections on record are of this process.
type arrivals struct {
	once sync.Once
	from uint64 // the serial behind which they are
}

// came says why an agent connects. A connection on record at this gateway from before
// the process began was not lost by the agent.
func (g *gateway) came(id uint64, asked bool) (came eventlog.Arrival) {
	g.o.View(func(s *engine.State) {
		g.arrivals.once.Do(func() { g.arrivals.from = s.Serial(s.Index) })
		a := s.Agent(id)
		switch {
		case a.Connected && a.Gateway == g.o.Replica() && a.Connection <= g.arrivals.from:
			came = eventlog.Dropped
		case asked:
			came = eventlog.Asked
		default:
			came = eventlog.ByItself
		}
	})
	return came
}
