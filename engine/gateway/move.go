package gateway

import (
	"context"
	"math/rand/v2"
	"time"

	"quorate/engine"
	"quorate/nodeagent/wire"
)

const (
	// dismissTimeout is what agents get to go elsewhere when the orchestrator stops.
	dismissTimeout = 3 * time.Second
	dismissPoll    = 20 * time.Millisecond

	// majorityEvery is how often a gateway makes sure that it is not cut off, for
	// which it waits twice as long; an answer that is not much older will do.
	// strandedMin and strandedMax are how long it waits before it sends its agents
	// away once more. Where nobody has a majority none of them leaves.
	majorityEvery = 2 * time.Second
	strandedMin   = 5 * time.Second
	strandedMax   = time.Minute
)

// sendTo asks the agent of a session to go to the addresses. Its work goes on: it
// leaves when one of them has welcomed it, and not before.
func (s *session) sendTo(servers []string, reason string) {
	s.note(func(n *notes) { n.move = &wire.Move{Servers: servers, Reason: reason} })
}

// sendElsewhere asks all agents to go to the other gateways, and returns how many
// there are to go to.
func (g *gateway) sendElsewhere(sessions []*session, reason string) (others int) {
	servers := make([][]string, len(sessions))
	g.o.View(func(st *engine.State) {
		for i, s := range sessions {
			if s.conn.via() == 0 { // or it follows its relay
				servers[i] = g.elsewhere(st, s.agent)
			}
		}
	})
	for i, s := range sessions {
		if len(servers[i]) > 0 {
			s.sendTo(servers[i], reason)
			others = max(others, len(servers[i]))
		}
	}
	return others
}

// dismissAll sends all agents to the other gateways before this one stops, and
// waits a moment for them to leave: what they report then counts at once.
func (g *gateway) dismissAll() {
	if g.sendElsewhere(g.sessions.all(), "the orchestrator stops") == 0 {
		return
	}
	deadline := time.NewTimer(dismissTimeout)
	defer deadline.Stop()
	poll := time.NewTicker(dismissPoll)
	defer poll.Stop()
	for g.sessions.count() > 0 {
		select {
		case <-deadline.C:
			return
		case <-poll.C:
		}
	}
}

// watchMajority sends the agents elsewhere while this gateway is cut off from the
// majority: here nothing that they report counts, and nothing is given to them.
func (g *gateway) watchMajority(ctx context.Context) {
	if g.o.CaughtUp(ctx) != nil {
		return
	}
	pause := strandedMin
	for wait(ctx, g.limits.MajorityEvery) {
		if g.alone() {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, 2*g.limits.MajorityEvery)
		err := g.o.Majority(limited, g.limits.MajorityEvery*7/4)
		cancel()
		if err == nil || ctx.Err() != nil {
			pause = strandedMin
			continue
		}
		g.logger.Warn("cut off from the majority; agents are sent to the other orchestrators", "error", err)
		g.sendElsewhere(g.sessions.all(), "this orchestrator is cut off from the others")
		if !wait(ctx, pause/2+rand.N(pause/2)) {
			return
		}
		pause = min(2*pause, strandedMax)
	}
}

// alone reports whether there is no other orchestrator.
func (g *gateway) alone() (yes bool) {
	g.o.View(func(st *engine.State) { yes = len(st.Members()) < 2 })
	return yes
}

// wait sleeps and reports whether ctx is still alive.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
