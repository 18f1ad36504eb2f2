package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

const (
	// helloTimeout is what an orchestrator gets to welcome the agent, and
	// helloTimeoutOthers what it gets where there are others to try: more than an
	// election takes.
	helloTimeout       = 15 * time.Second
	helloTimeoutOthers = 6 * time.Second
	// challengesMax bounds how often the agent introduces itself on one connection.
	challengesMax = 8
)

// final reports whether the error is the cluster's word, which no other
// orchestrator would take back.
func final(err error) bool {
	var refused *RefusedError
	return errors.As(err, &refused) && refused.Code != codeBusy && refused.Code != codeForked || errors.Is(err, journal.ErrRolledBack)
}

// codeBusy and codeForked are of refusals by one orchestrator that others need not
// share: it lacks what the agent has seen of the log.
const (
	codeBusy   = "busy"
	codeForked = "forked"
)

// reach returns a session with the first of the addresses that welcomes the agent.
// Where there is an old one, it stays, and is the agent's again if there is no new
// one.
//
// Relays come first. Addresses of orchestrators are tried where no relay will do, and
// the operator has named some.
func (a *agent) reach(ctx context.Context, addresses []string, old *session, stop <-chan struct{}) (*session, error) {
	if a.relays == nil {
		return a.reachAny(ctx, addresses, old, stop)
	}
	within, cancel := ctx, func() {}
	if len(a.cfg.Servers) > 0 {
		within, cancel = context.WithTimeout(ctx, relaysWithin)
	}
	s, err := a.reachAny(within, a.relays.addresses, old, stop)
	cancel()
	if err == nil || final(err) || errors.Is(err, errRevived) || ctx.Err() != nil || len(a.cfg.Servers) == 0 {
		return s, err
	}
	a.log.Info("no relay will do", "error", err)
	return a.reachAny(ctx, addresses, old, stop)
}

func (a *agent) reachAny(ctx context.Context, addresses []string, old *session, stop <-chan struct{}) (s *session, err error) {
	err = tempoFor(a.heartbeat).tryEach(ctx, addresses, stop, a.dial, func(d dialled) (err error) {
		limit := helloTimeout
		if len(addresses) > 1 || old != nil {
			limit = helloTimeoutOthers
		}
		s, err = a.meet(ctx, d, old, limit)
		return err
	})
	return s, err
}

func (a *agent) dial(ctx context.Context, address string, heard func()) (*link, error) {
	if a.relays.has(address) {
		return a.relays.tunnel(ctx, address, a.clusterTLS(), handshakeTimeout)
	}
	if a.mute.Load() >= muteMax {
		limited, cancel := context.WithTimeout(ctx, handshakeTimeout)
		l, err := dialTCP(limited, address, a.clusterTLS(), heard)
		cancel()
		if err == nil {
			return l, nil
		}
	}
	l, err := a.cfg.sockets.dial(ctx, address, a.clusterTLS(), heard)
	if errors.Is(err, errCrowd) {
		a.log.Info("the orchestrator has too many agents to greet at once", "server", address)
	}
	if err != nil {
		return nil, foreign(err, address, "identity")
	}
	return l, nil
}

// muteMax is how often in a row a connection over QUIC may be made and then bear no
// answer until TCP is dialled first: some networks let nothing but handshakes through.
const muteMax = 2

// greeted notes whether an orchestrator was heard over QUIC after the handshake.
func (a *agent) greeted(l *link, err error) {
	switch {
	case !l.overQUIC():
	case err != nil && unanswered(err):
		a.mute.Add(1)
	default:
		a.mute.Store(0)
	}
}

// meet introduces the agent on a new connection. From then on nothing may be
// reported by the old one: the cluster would compare what the agent says now with
// more than it says.
func (a *agent) meet(ctx context.Context, d dialled, old *session, limit time.Duration) (*session, error) {
	if old != nil {
		old.pause()
	}
	control, welcome, err := a.greet(ctx, d.link, limit, old != nil && old.sentAway)
	if ctx.Err() == nil {
		a.greeted(d.link, err)
	}
	if err != nil {
		d.link.close("agent closes the connection")
		if old != nil {
			old.unpause()
		}
		return nil, err
	}
	return newSession(a, d.link, d.address, control, welcome), nil
}

// greet opens the control stream and agrees with the orchestrator on who is who
// and on what the cluster has committed.
func (a *agent) greet(ctx context.Context, l *link, limit time.Duration, asked bool) (stream, *wire.Welcome, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	control, err := l.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = control.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	for range challengesMax {
		hello := a.hello()
		hello.Asked = asked
		if err := wire.WriteMessage(control, hello); err != nil {
			return nil, nil, err
		}
		m, err := wire.ReadFrom(control, wire.Orchestrator)
		if err != nil {
			return nil, nil, fmt.Errorf("greeting: %w", err)
		}
		switch m := m.(type) {
		case *wire.Challenge:
			a.log.Info("the orchestrator asks again for the journal", "reason", m.Reason)
		case *wire.Refuse:
			return nil, nil, refusedBy(m)
		case *wire.Welcome:
			if m.ClusterID != a.id.ClusterID || m.Agent != a.id.Agent || m.Session == "" {
				return nil, nil, fmt.Errorf("%w: the welcome is for another agent", wire.ErrMalformed)
			}
			if !stop() {
				return nil, nil, ctx.Err()
			}
			if err := a.trust.welcome(m); err != nil {
				a.distrust(ctx, l, control, err)
				return nil, nil, err
			}
			return control, m, a.settleNumbers(m)
		default:
			return nil, nil, fmt.Errorf("%w: %T answers a hello", wire.ErrMalformed, m)
		}
	}
	return nil, nil, fmt.Errorf("%w: asked for the journal too often", wire.ErrMalformed)
}

// settleNumbers takes over what the cluster has committed. Only then is it sure
// that the journal is no backup that was put back after the machine went down.
func (a *agent) settleNumbers(m *wire.Welcome) error {
	certain := true
	alone, doubts := a.ranAlone(), false
	err := a.journal.Commit(func(s *journal.State, add func(journal.Record)) error {
		certain = s.Certain()
		d, err := s.Welcome(m)
		for _, r := range d.Records {
			_, doubted := r.(*journal.Doubted)
			doubts = doubts || doubted
			add(r)
		}
		return err
	})
	if err != nil {
		if !errors.Is(err, journal.ErrRolledBack) {
			a.broken(err)
		}
		return err
	}
	if doubts {
		a.log.Error("the cluster has heard more than the journal held when the host restarted: what was done without a connection may have run twice", "attempts", alone)
	}
	a.ackArrived()
	if !certain {
		a.resume()
		a.onward()
	}
	return nil
}
