package nodeagent

import (
	"context"
	"math/rand/v2"
	"time"
)

// homeFirst is how long an agent waits that had to do without the relays of its site
// until it tries them again, and homeEvery how long after many times; each by half of it
// more or less.
const (
	homeFirst = 2 * time.Second
	homeEvery = 20 * time.Second
)

// relaysWithin is what the relays get to take an agent that knows orchestrators, too: the
// time in which one is started again.
const relaysWithin = 5 * time.Second

// seekHome looks for a relay while the session came through none, and offers what it
// gets to the connect loop.
func (s *session) seekHome(ctx context.Context) {
	relays := s.agent.relays
	if relays == nil || s.link.viaRelay() != nil {
		return
	}
	for pause := homeFirst; sleep(ctx, pause/2+rand.N(pause)); pause = min(2*pause, homeEvery) {
		for _, address := range relays.addresses {
			l, err := relays.tunnel(ctx, address, s.agent.clusterTLS())
			if err != nil {
				s.agent.log.Debug("no way through the relay yet", "relay", address, "error", err)
				continue
			}
			select {
			case s.home <- dialled{address: address, link: l}:
			case <-ctx.Done():
				l.close("the agent is connected elsewhere")
			}
			break
		}
	}
}

// goHome goes on through a relay, or stays where the orchestrator does not welcome the
// agent there.
func (a *agent) goHome(ctx context.Context, s *session, way dialled) *session {
	next, err := a.meet(ctx, way, s, helloTimeoutOthers)
	if err != nil {
		a.log.Info("staying without a relay", "relay", way.address, "error", err)
		if outcast(err) {
			a.abandon()
		}
		return nil
	}
	a.log.Info("going on through the site's relay", "relay", way.address)
	return a.replace(ctx, s, next)
}
