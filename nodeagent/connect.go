package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

const (
	// steadyAfter tells a connection that was lost from one that never held.
	steadyAfter = time.Second
	// moveTimeout is what another orchestrator gets to take the agent over, and
	// moveSpread by how much the agents of one that stops differ.
	moveTimeout = 10 * time.Second
	moveSpread  = 300 * time.Millisecond

	pendingRetry     = 3 * time.Second
	quarantinedRetry = 30 * time.Second
	foreignRetry     = 30 * time.Second
	refusedRetry     = 5 * time.Minute
)

// connectLoop keeps one connection to any of the orchestrators until ctx ends.
func (a *agent) connectLoop(ctx context.Context) {
	defer a.sessions.Wait()
	var wait backoff
	lost := ""
	for {
		s := a.connect(ctx, lost, &wait)
		for s != nil {
			lost = s.address
			begun := time.Now()
			next := a.stay(ctx, s)
			if next == nil && ctx.Err() == nil {
				a.lose(ctx, s, time.Since(begun), &wait)
			}
			s = next
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// connect tries until an orchestrator welcomes the agent, or ctx ends.
func (a *agent) connect(ctx context.Context, lost string, wait *backoff) *session {
	for ctx.Err() == nil {
		addresses := a.candidates(lost)
		silence := watchSilence(a.log, addresses[0])
		if wait.last != 0 { // what comes of later attempts is said anyway
			silence.Stop()
		}
		s, err := a.reach(ctx, addresses, nil, nil)
		silence.Stop()
		if err == nil {
			a.begin(ctx, s)
			return s
		}
		if ctx.Err() != nil {
			return nil
		}
		a.disconnected(ctx, addresses, err, wait)
	}
	return nil
}

// candidates are the addresses to try, as they are named to the operator.
func (a *agent) candidates(lost string) []string {
	if a.relays != nil && len(a.cfg.Servers) == 0 {
		return a.relays.addresses
	}
	return a.servers.order(lost)
}

// disconnected waits before the next attempt.
func (a *agent) disconnected(ctx context.Context, addresses []string, err error, wait *backoff) {
	if outcast(err) {
		a.abandon()
	}
	pause := retryAfter(err)
	if (errors.As(err, new(*ForeignError)) || forked(err)) && len(addresses) == 1 {
		pause = foreignRetry // with others to ask it would keep the agent from them
	}
	pause = max(pause, wait.after(err))
	a.log.Warn("not connected", "server", addresses[0], "error", err, "again_in", pause.Round(time.Millisecond))
	a.advise(err)
	sleep(ctx, pause)
}

// begin makes s the agent's session.
func (a *agent) begin(ctx context.Context, s *session) {
	a.log.Info("connected", "server", s.address, "epoch", s.epoch, "tcp", s.link.overTCP())
	a.heartbeat = s.pulse.every
	a.learn(s.servers)
	a.setSession(s)
	a.sessions.Go(func() {
		s.err = s.run(ctx)
		a.unsetSession(s)
		close(s.ended)
	})
}

// learn keeps where the cluster says that its orchestrators are, also for the next
// start: those that the agent was given first may all be gone by then.
func (a *agent) learn(servers []string) {
	if !a.servers.learn(servers) {
		return
	}
	a.id.Servers = a.servers.learned
	if err := a.id.saveInfo(a.cfg.DataDir); err != nil {
		a.log.Warn("the addresses of the orchestrators were not stored", "error", err)
	}
}

// stay holds a session until it ends, and then returns nil, or until there is
// another one to go on with.
func (a *agent) stay(ctx context.Context, s *session) *session {
	for {
		select {
		case way := <-s.home:
			if next := a.goHome(ctx, s, way); next != nil {
				return next
			}
		case <-s.ended:
			select { // what it said last counts
			case servers := <-s.told:
				a.learn(servers)
			default:
			}
			return nil
		case servers := <-s.told:
			a.learn(servers)
		case l := <-s.better:
			if next := a.improve(ctx, s, l); next != nil {
				return next
			}
		case m := <-s.moves:
			if next := a.move(ctx, s, m); next != nil {
				return next
			}
		case revived := <-s.silent:
			if next := a.leave(ctx, s, revived); next != nil {
				return next
			}
		}
	}
}

// lose says that a session has ended, and waits where it never held.
func (a *agent) lose(ctx context.Context, s *session, lasted time.Duration, wait *backoff) {
	if outcast(s.err) {
		a.abandon()
	}
	a.log.Info("connection lost", "server", s.address, "error", s.err)
	a.advise(s.err)
	pause := retryAfter(s.err)
	if pause == 0 && lasted >= steadyAfter {
		// An orchestrator that went away is no reason to wait for the next, but for
		// a moment: the more agents it had, the longer they take to come.
		wait.reset()
		sleep(ctx, rand.N(s.pulse.every/4+time.Millisecond))
		return
	}
	sleep(ctx, max(pause, wait.next()))
}

// move goes where the orchestrator asks the agent to go, or stays where nobody
// there answers.
func (a *agent) move(ctx context.Context, s *session, m *wire.Move) *session {
	var addresses []string
	for _, address := range soundAddresses(m.Servers) {
		if address != s.address {
			addresses = append(addresses, address)
		}
	}
	if len(addresses) == 0 && s.link.viaRelay() == nil || !sleep(ctx, rand.N(moveSpread)) {
		return nil // who came through a relay goes through it again, wherever that leads
	}
	limited, cancel := context.WithTimeout(ctx, moveTimeout)
	defer cancel()
	s.sentAway = true
	defer func() { s.sentAway = false }()
	next, err := a.reach(limited, addresses, s, nil)
	if err != nil {
		a.log.Info("staying: the other orchestrators do not take the agent", "servers", addresses, "reason", m.Reason, "error", err)
		return nil
	}
	a.log.Info("moving to another orchestrator", "from", s.address, "reason", m.Reason)
	if a.cfg.site != nil {
		return a.succeed(ctx, s, next)
	}
	return a.replace(ctx, s, next)
}

// replace ends a session whose place another one takes.
func (a *agent) replace(ctx context.Context, old, next *session) *session {
	a.begin(ctx, next)
	old.link.close("the agent is connected elsewhere")
	return next
}

// leave looks for another orchestrator while this one says nothing. The connection
// stays for as long as QUIC lets it: when the line was at fault it goes on.
func (a *agent) leave(ctx context.Context, s *session, revived <-chan struct{}) *session {
	a.log.Warn("the orchestrator is silent", "server", s.address)
	var wait backoff
	for {
		next, err := a.reach(ctx, a.servers.order(s.address), s, revived)
		if err == nil {
			return a.replace(ctx, s, next)
		}
		if errors.Is(err, errRevived) {
			a.log.Info("the orchestrator answers again", "server", s.address)
			return nil
		}
		if outcast(err) {
			a.abandon()
		}
		pause := time.NewTimer(max(retryAfter(err), wait.after(err)))
		select {
		case <-pause.C:
		case <-s.ended:
			return nil
		case <-revived:
			return nil
		case <-ctx.Done():
			return nil
		}
		pause.Stop()
	}
}

// outcast reports whether the cluster has given up on the agent for good.
func outcast(err error) bool {
	var refused *RefusedError
	return errors.As(err, &refused) && (refused.Code == "revoked" || refused.Code == "quarantined") ||
		errors.Is(err, journal.ErrRolledBack)
}

// advise tells, once, the administrator of this host what to do where the cluster has
// given up on the agent: it goes on asking, and would not be taken back.
func (a *agent) advise(err error) {
	if !outcast(err) {
		return
	}
	code := "quarantined" // or it is the agent that has found its journal to be an older one
	if refused := new(RefusedError); errors.As(err, &refused) {
		code = refused.Code
	}
	kind, role := "agent", ""
	if a.cfg.site != nil {
		kind, role = "relay", "--role relay "
	}
	again := fmt.Sprintf("make a token with \"quorate token create %s--name %s\", and start the %s with it and an empty --data-dir", role, a.id.Name, kind)
	if code == "quarantined" {
		again = fmt.Sprintf("look what it did last on this host, then \"quorate %s revoke %s --reason TEXT\", ", kind, a.id.Name) + again
	}
	a.advised.Do(func() {
		a.log.Error("the cluster will not take this "+kind+" back", "code", code, "todo", again)
		if alone := a.ranAlone(); alone != "" && code == "quarantined" {
			a.log.Error("what was done without a connection since the host has restarted may have run twice", "attempts", alone)
		}
	})
}

// abandon ends what runs, and has nothing start any more of what was accepted, also
// after a restart of the agent. The cluster has settled it as unknown, and may let
// another agent of this host do the same again.
func (a *agent) abandon() {
	a.mu.Lock()
	a.outcast = true
	for id, cancel := range a.running {
		a.log.Warn("ending an attempt that the cluster has given up", "attempt", id)
		cancel(errCancelled)
	}
	a.mu.Unlock()
	a.chainBroken(a.journal.Commit(func(s *journal.State, add func(journal.Record)) error {
		for _, id := range s.Open() {
			if r, ok := s.Forsake(id); ok {
				add(r)
			}
		}
		return nil
	}))
	a.provisions.look()
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
	return refused.After
}
