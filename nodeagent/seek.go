package nodeagent

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// seekEvery is how often an agent that is connected over TCP tries QUIC, and
	// seekMax how rarely where QUIC did not last.
	seekEvery = 20 * time.Second
	seekMax   = 10 * time.Minute
	// seekSteady is how long QUIC has to last to be worth trying again soon.
	seekSteady = time.Minute
)

// seeking is what an agent on TCP knows of the way back to QUIC.
type seeking struct {
	every time.Duration
	moved time.Time // to QUIC, the last time
}

// after is how long to wait until QUIC is tried, with the connection over TCP that
// begins now.
func (k *seeking) after(now time.Time) time.Duration {
	if k.every == 0 || k.moved.IsZero() || now.Sub(k.moved) >= seekSteady {
		k.every = seekEvery
	} else {
		k.every = min(2*k.every, seekMax)
	}
	k.moved = time.Time{}
	return k.every
}

// failed is for an orchestrator that QUIC reaches, and over which it does not answer:
// reports wait while it is asked.
func (k *seeking) failed() { k.every = min(2*k.every, seekMax) }

// seekQUIC tries QUIC again and again at the orchestrator that the agent is connected
// to over TCP, and offers what it gets to the connect loop.
func (s *session) seekQUIC(ctx context.Context) {
	if !s.link.overTCP() {
		return
	}
	s.agent.mu.Lock()
	s.agent.seeking.after(time.Now())
	s.agent.mu.Unlock()
	every := func() time.Duration {
		s.agent.mu.Lock()
		defer s.agent.mu.Unlock()
		return s.agent.seeking.every*3/4 + rand.N(s.agent.seeking.every/4)
	}
	for sleep(ctx, every()) {
		limited, cancel := context.WithTimeout(ctx, handshakeTimeout)
		l, err := s.agent.cfg.sockets.dialQUIC(limited, s.address, s.agent.clusterTLS(), func() {})
		cancel()
		if err != nil {
			s.agent.log.Debug("QUIC is not answered yet", "server", s.address, "error", err)
			continue
		}
		select {
		case s.better <- l:
		case <-ctx.Done():
			l.close("the agent is connected elsewhere")
		}
	}
}

// improve goes on over QUIC, or stays on TCP where the orchestrator does not welcome
// the agent there.
func (a *agent) improve(ctx context.Context, s *session, l *link) *session {
	s.sentAway = true // it is no trouble of the line that makes the agent come
	defer func() { s.sentAway = false }()
	next, err := a.meet(ctx, dialled{address: s.address, link: l}, s, helloTimeoutOthers)
	if err != nil {
		a.log.Info("staying on TCP", "server", s.address, "error", err)
		a.mu.Lock()
		a.seeking.failed()
		a.mu.Unlock()
		if outcast(err) {
			a.abandon()
		}
		return nil
	}
	a.mu.Lock()
	a.seeking.moved = time.Now()
	a.mu.Unlock()
	a.log.Info("back on QUIC", "server", s.address)
	if a.cfg.site != nil {
		return a.succeed(ctx, s, next)
	}
	return a.replace(ctx, s, next)
}
