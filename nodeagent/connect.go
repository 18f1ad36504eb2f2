package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quorate/internal/pki"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

const (
	helloTimeout = 15 * time.Second
	// steadyAfter tells a connection that was lost from one that never held.
	steadyAfter = time.Second

	pendingRetry     = 3 * time.Second
	quarantinedRetry = 30 * time.Second
	foreignRetry     = 30 * time.Second
	refusedRetry     = 5 * time.Minute
)

// connectLoop keeps one connection to any of the orchestrators until ctx ends.
func (a *agent) connectLoop(ctx context.Context) {
	servers := newRotation(a.cfg.Servers)
	var wait backoff
	for ctx.Err() == nil {
		address := servers.next()
		var begun time.Time
		silence := watchSilence(a.log, address)
		if wait.last != 0 { // what comes of later attempts is said anyway
			silence.Stop()
		}
		err := a.serve(ctx, address, func() { begun = time.Now(); silence.Stop() })
		silence.Stop()
		if ctx.Err() != nil {
			return
		}
		if outcast(err) {
			a.abandon()
		}
		pause := retryAfter(err)
		if errors.As(err, new(*ForeignError)) && len(a.cfg.Servers) == 1 {
			pause = foreignRetry // with others to ask it would keep the agent from them
		}
		switch {
		case !begun.IsZero() && pause == 0 && time.Since(begun) >= steadyAfter:
			// An orchestrator that went away is no reason to wait for the next.
			wait.reset()
			a.log.Info("connection lost", "server", address, "error", err)
			continue
		case !begun.IsZero():
			a.log.Info("connection lost", "server", address, "error", err)
		}
		pause = max(pause, wait.next())
		a.log.Warn("not connected", "server", address, "error", err, "again_in", pause.Round(time.Millisecond))
		if !sleep(ctx, pause) {
			return
		}
	}
}

// outcast reports whether the cluster has given up on the agent for good.
func outcast(err error) bool {
	var refused *RefusedError
	return errors.As(err, &refused) && (refused.Code == "revoked" || refused.Code == "quarantined") ||
		errors.Is(err, journal.ErrRolledBack)
}

// abandon ends what runs. The cluster has settled it as unknown, and may let
// another agent of this host do the same again.
func (a *agent) abandon() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, cancel := range a.running {
		a.log.Warn("ending an attempt that the cluster has given up", "attempt", id)
		cancel(errCancelled)
	}
}

// retryAfter is how long a refused agent waits at least.
func retryAfter(err error) time.Duration {
	if errors.Is(err, journal.ErrRolledBack) {
		return refusedRetry
	}
	var refused *RefusedError
	if !errors.As(err, &refused) {
		return 0
	}
	switch refused.Code {
	case "pending":
		return pendingRetry
	case "quarantined":
		return quarantinedRetry
	case "revoked", "unknown-agent", "version":
		return refusedRetry
	}
	return 0
}

// serve holds one connection from its beginning to its end. It calls begun when
// the orchestrator has accepted the agent.
func (a *agent) serve(ctx context.Context, address string, begun func()) error {
	l, err := dial(ctx, address, pki.AgentTLS(a.id.cert, a.id.ca))
	if err != nil {
		return foreign(err, address, "identity")
	}
	defer l.close("agent closes the connection")
	control, welcome, err := a.greet(ctx, l)
	if err != nil {
		return err
	}
	s := newSession(a, l, control, welcome)
	begun()
	a.log.Info("connected", "server", address, "epoch", welcome.Epoch)
	a.setSession(s)
	defer a.setSession(nil)
	return s.run(ctx)
}

// greet opens the control stream and agrees with the orchestrator on who is who
// and on what the cluster has committed.
func (a *agent) greet(ctx context.Context, l *link) (stream, *wire.Welcome, error) {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	control, err := l.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = control.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := wire.WriteMessage(control, a.hello()); err != nil {
		return nil, nil, err
	}
	m, err := wire.ReadFrom(control, wire.Orchestrator)
	if err != nil {
		return nil, nil, fmt.Errorf("greeting: %w", err)
	}
	switch m := m.(type) {
	case *wire.Refuse:
		return nil, nil, &RefusedError{m.Code, m.Reason}
	case *wire.Welcome:
		if m.ClusterID != a.id.ClusterID || m.Agent != a.id.Agent || m.Session == "" {
			return nil, nil, fmt.Errorf("%w: the welcome is for another agent", wire.ErrMalformed)
		}
		return control, m, a.settleNumbers(m)
	}
	return nil, nil, fmt.Errorf("%w: %T answers a hello", wire.ErrMalformed, m)
}

func (a *agent) settleNumbers(m *wire.Welcome) error {
	err := a.journal.Commit(func(s *journal.State, add func(journal.Record)) error {
		d, err := s.Welcome(m)
		for _, r := range d.Records {
			add(r)
		}
		return err
	})
	if err != nil && !errors.Is(err, journal.ErrRolledBack) {
		a.broken(err)
	}
	if err == nil {
		a.ackArrived()
	}
	return err
}
