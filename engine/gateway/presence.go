package gateway

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"quorate/engine"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
)

// presence puts the ends of sessions on record, those that come together in one
// append: when a site loses its link, all its agents are gone at once. What is no news
// any more when its turn comes is left out, and agents that flap, or whose relay does, or
// that are on their way, get some time before it does: the next connection says the same.
type presence struct {
	o      *orchestrator.Orchestrator
	logger *slog.Logger
	hold   time.Duration // for the end of a session whose agent flaps

	mu    sync.Mutex
	queue []parted
	held  []held // by the time when their turn comes
	lost  bool   // the death of the process before is to be put on record, behind the queue
	more  chan struct{}
}

// A parted is the end of a session. Where it was welcomed the agent's next connection
// is behind it; otherwise its own may yet come.
type parted struct {
	event    *eventlog.AgentDisconnected
	welcomed bool
}

type held struct {
	parted
	due time.Time
}

func newPresence(o *orchestrator.Orchestrator, hold time.Duration, logger *slog.Logger) *presence {
	return &presence{o: o, hold: hold, logger: logger, more: make(chan struct{}, 1)}
}

// gone says that a session has ended.
func (p *presence) gone(s *session, reason string) {
	end := parted{&eventlog.AgentDisconnected{Agent: s.agent, Session: s.nonce, Reason: reason}, s.welcomed}
	returns := s.replaced.Load()
	p.o.View(func(st *engine.State) {
		a := st.Agent(s.agent)
		relay := st.Agent(a.Via)
		returns = s.welcomed && (returns || a.Flapping || relay != nil && relay.Flapping)
	})
	if !returns {
		p.add(end)
		return
	}
	p.mu.Lock()
	p.held = append(p.held, held{end, time.Now().Add(p.hold)})
	p.mu.Unlock()
	p.wake()
}

func (p *presence) add(end parted) {
	p.mu.Lock()
	p.queue = append(p.queue, end)
	p.mu.Unlock()
	p.wake()
}

func (p *presence) wake() {
	select {
	case p.more <- struct{}{}:
	default:
	}
}

// restarted is why the connections of the process before are gone.
const restarted = "the orchestrator was restarted"

// leftovers ends, on record, the sessions of this replica that the process before it
// left open, and says, behind that, that it has died: agents that noticed it, and went
// elsewhere, are excused.
func (p *presence) leftovers(ctx context.Context, ours func(agent uint64) (session string)) {
	if err := p.o.CaughtUp(ctx); err != nil {
		return
	}
	missed := false
	p.o.View(func(s *engine.State) {
		missed = slices.Contains(s.Deserted(), p.o.Replica())
		for _, a := range s.Agents {
			if a.Connected && a.Gateway == p.o.Replica() && ours(a.ID) != a.Session {
				missed = true
				p.add(parted{&eventlog.AgentDisconnected{
					Agent: a.ID, Session: a.Session, Reason: restarted, Blameless: true,
				}, true})
			}
		}
		missed = missed && len(s.Members()) > 1
	})
	if missed {
		p.mu.Lock()
		p.lost = true
		p.mu.Unlock()
		p.wake()
	}
}

// run records until ctx ends. What is not recorded by then is noticed by the
// next process.
func (p *presence) run(ctx context.Context) {
	due := time.NewTimer(p.hold)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.more:
		case <-due.C:
		}
		events, next := p.take(time.Now())
		due.Reset(next)
		for len(events) > 0 {
			_, _, err := p.o.Propose(ctx, events...)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return
			}
			p.logger.Warn("disconnects were not recorded; trying again", "events", len(events), "error", err)
			select {
			case <-time.After(retryDelay):
			case <-ctx.Done():
				return
			}
		}
	}
}

// take returns what is to be put on record now, and how long there is nothing more.
func (p *presence) take(now time.Time) (events []eventlog.Event, next time.Duration) {
	p.mu.Lock()
	for len(p.held) > 0 && !p.held[0].due.After(now) {
		p.queue = append(p.queue, p.held[0].parted)
		p.held = p.held[1:]
	}
	if next = p.hold; len(p.held) > 0 {
		next = p.held[0].due.Sub(now)
	}
	some := p.queue[:min(len(p.queue), presenceEventMax)]
	if p.queue = p.queue[len(some):]; len(p.queue) > 0 {
		next = 0
	}
	lost := p.lost && len(p.queue) == 0
	p.lost = p.lost && !lost
	p.mu.Unlock()
	p.o.View(func(st *engine.State) {
		for _, end := range some {
			if !end.welcomed || st.Agent(end.event.Agent).Session == end.event.Session {
				events = append(events, end.event)
			}
		}
	})
	if lost {
		events = append(events, &eventlog.GatewayLost{Gateway: p.o.Replica(), Reason: restarted})
	}
	return events, next
}
