package nodeagent

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	// homeEvery is how soon an agent that had to do without the relays of its site tries
	// them again, by half of it more or less, as long as none of them has a way to the
	// cluster; one that is there lets it wait for its own.
	homeEvery = 2 * time.Second
	// homeMax is how rarely where what a relay brought was not good enough, or did not last.
	homeMax = time.Minute
	// homeSteady is how long a relay has to do for the next loss to be the first.
	homeSteady = time.Minute
	// homeSpread is by how much the agents of a site differ whose relay is back.
	homeSpread = 500 * time.Millisecond
	// homeDial is what a relay gets to answer: one that is being started may not hear of a
	// connection that was begun before.
	homeDial = 4 * time.Second
)

// relaysWithin is what the relays get to take an agent that knows orchestrators, too: the
// time in which one is started again.
const relaysWithin = 5 * time.Second

// homing is what an agent that does without its relays knows of the way back.
type homing struct {
	pause time.Duration
	went  time.Time // home, the last time
	// back is a token for a relay that has just answered.
	back chan struct{}
}

func newHoming() homing { return homing{pause: homeEvery, back: make(chan struct{}, 1)} }

// strayed begins the way back: at once, and more and more rarely where a relay that comes
// and goes has brought the agent home a moment ago.
func (h *homing) strayed(now time.Time) {
	switch {
	case h.went.IsZero(): // from one orchestrator to another
	case now.Sub(h.went) >= homeSteady:
		h.pause = homeEvery
	default:
		h.rarer()
	}
	h.went = time.Time{}
}

// rarer is for a way home that did not do.
func (h *homing) rarer() { h.pause = min(2*h.pause, homeMax) }

// eager reports whether a relay that is back is to be tried at once.
func (h *homing) eager() bool { return h.pause <= 2*homeEvery }

// seekHome looks for a relay while the session came through none, and offers what it
// gets to the connect loop.
func (s *session) seekHome(ctx context.Context) {
	a := s.agent
	if a.relays == nil || s.link.viaRelay() != nil {
		return
	}
	a.mu.Lock()
	a.homing.strayed(time.Now())
	a.mu.Unlock()
	for a.awaitHome(ctx) {
		l, address := a.wayHome(ctx)
		if l == nil {
			continue
		}
		select {
		case s.home <- dialled{address: address, link: l}:
		case <-ctx.Done():
			l.close("the agent is connected elsewhere")
		}
	}
}

// awaitHome waits until it is time to try the relays, and reports whether ctx is alive.
func (a *agent) awaitHome(ctx context.Context) bool {
	a.mu.Lock()
	pause, back := a.homing.pause, a.homing.back
	if !a.homing.eager() {
		back = nil
	}
	a.mu.Unlock()
	due := time.NewTimer(pause/2 + rand.N(pause))
	defer due.Stop()
	select {
	case <-due.C:
	case <-back:
		return sleep(ctx, rand.N(homeSpread))
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// wayHome returns a connection to an orchestrator through a relay, or nil.
func (a *agent) wayHome(ctx context.Context) (*link, string) {
	for _, address := range a.relays.addresses {
		l, err := a.relays.tunnel(ctx, address, a.clusterTLS(), homeDial)
		if err == nil {
			return l, address
		}
		a.log.Debug("no way through the relay yet", "relay", address, "error", err)
		if !unanswered(err) && !errors.Is(err, errCrowd) {
			a.mu.Lock()
			a.homing.rarer()
			a.mu.Unlock()
		}
	}
	return nil, ""
}

// relayBack tells that a relay has answered, where somebody waits for that.
func (a *agent) relayBack() { offer(a.homing.back) }

// goHome goes on through a relay, or stays where the orchestrator does not welcome the
// agent there.
func (a *agent) goHome(ctx context.Context, s *session, way dialled) *session {
	next, err := a.meet(ctx, way, s, helloTimeoutOthers)
	a.mu.Lock()
	if err != nil {
		a.homing.rarer()
	} else {
		a.homing.went = time.Now()
	}
	a.mu.Unlock()
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
