package orchestrator

import (
	"context"
	"errors"
	"sync/atomic"

	"quorate/engine"
	"quorate/nodeagent/wire"
)

// ErrNotHere says that the agent's connection is not this orchestrator's.
var ErrNotHere = errors.New("the agent is not connected to this orchestrator")

// A FactsSource asks an agent, by its number, for what it remembers. The error is
// [ErrNotHere] where the agent is connected elsewhere or not at all.
type FactsSource func(ctx context.Context, agent uint64) (*wire.FactsReply, error)

// factsSource holds the gateway's, while there is one.
type factsSource struct{ ask atomic.Pointer[FactsSource] }

// ServeFacts makes ask the way to agents, until stop is called.
func (o *Orchestrator) ServeFacts(ask FactsSource) (stop func()) {
	o.facts.ask.Store(&ask)
	return func() { o.facts.ask.CompareAndSwap(&ask, nil) }
}

// A factsPeer asks agents that are connected to another orchestrator.
type factsPeer interface {
	AgentFacts(ctx context.Context, replica, agent uint64) (*wire.FactsReply, error)
}

// AgentFacts asks an agent for what it remembers, through the orchestrator that it is
// connected to. The error is [ErrNotHere] where there is none.
func (o *Orchestrator) AgentFacts(ctx context.Context, agent uint64) (*wire.FactsReply, error) {
	reply, err := o.OwnAgentFacts(ctx, agent)
	peer, ok := o.cfg.Peers.(factsPeer)
	if !errors.Is(err, ErrNotHere) || !ok {
		return reply, err
	}
	gateway := uint64(0)
	o.View(func(s *engine.State) {
		if a := s.Agent(agent); a != nil && a.Connected {
			gateway = a.Gateway
		}
	})
	if gateway == 0 || gateway == o.cfg.Replica {
		return nil, err
	}
	return peer.AgentFacts(ctx, gateway, agent)
}

// OwnAgentFacts asks an agent that is connected to this very orchestrator.
func (o *Orchestrator) OwnAgentFacts(ctx context.Context, agent uint64) (*wire.FactsReply, error) {
	ask := o.facts.ask.Load()
	if ask == nil {
		return nil, ErrNotHere
	}
	return (*ask)(ctx, agent)
}
