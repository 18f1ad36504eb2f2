package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"quorate/engine"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
)

// presence puts the ends of sessions on record, those that come together in one
// append: when a site loses its link, all its agents are gone at once.
type presence struct {
	o      *orchestrator.Orchestrator
	logger *slog.Logger

	mu    sync.Mutex
	queue []eventlog.Event
	more  chan struct{}
}

func newPresence(o *orchestrator.Orchestrator, logger *slog.Logger) *presence {
	return &presence{o: o, logger: logger, more: make(chan struct{}, 1)}
}

// gone says that a session has ended.
func (p *presence) gone(agent uint64, session, reason string) {
	p.mu.Lock()
	p.queue = append(p.queue, &eventlog.AgentDisconnected{Agent: agent, Session: session, Reason: reason})
	p.mu.Unlock()
	select {
	case p.more <- struct{}{}:
	default:
	}
}

// leftovers ends, on record, the sessions of this replica that the process
// before it left open.
func (p *presence) leftovers(ctx context.Context, ours func(agent uint64) (session string)) {
	if err := p.o.CaughtUp(ctx); err != nil {
		return
	}
	p.o.View(func(s *engine.State) {
		for _, a := range s.Agents {
			if a.Connected && a.Gateway == p.o.Replica() && ours(a.ID) != a.Session {
				p.gone(a.ID, a.Session, "the orchestrator was restarted")
			}
		}
	})
}

// run records until ctx ends. What is not recorded by then is noticed by the
// next process.
func (p *presence) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.more:
		}
		p.mu.Lock()
		events := p.queue[:min(len(p.queue), presenceEventMax)]
		p.queue = p.queue[len(events):]
		rest := len(p.queue) > 0
		p.mu.Unlock()
		if rest {
			select {
			case p.more <- struct{}{}:
			default:
			}
		}
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
