package nodeagent

import (
	"context"
	"math/rand/v2"
	"time"
)

// homeEvery is how often an agent that had to do without the relays of its site tries
// them again, by half of it more or less.
const homeEvery = 20 * time.Second

// homesick fires when it is time to look whether a relay is back; never where the
// session came through one, or there is none.
func (a *agent) homesick(s *session) <-chan time.Time {
	if a.relays == nil || s.link.viaRelay() != nil {
		return nil
	}
	return time.After(homeEvery/2 + rand.N(homeEvery))
}

// goHome returns a session through a relay, which takes the place of the other one, or
// nil.
func (a *agent) goHome(ctx context.Context, s *session) *session {
	limited, cancel := context.WithTimeout(ctx, moveTimeout)
	defer cancel()
	next, err := a.reachAny(limited, a.relays.addresses, s, nil)
	if err != nil {
		a.log.Debug("the relays of the site still do not take the agent", "error", err)
		return nil
	}
	a.log.Info("going on through the site's relay", "relay", next.address)
	return a.replace(ctx, s, next)
}
