package orchestrator

import (
	"context"
	"errors"
	"sync/atomic"

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

// AgentFacts asks an agent for what it remembers.
func (o *Orchestrator) AgentFacts(ctx context.Context, agent uint64) (*wire.FactsReply, error) {
	ask := o.facts.ask.Load()
	if ask == nil {
		return nil, ErrNotHere
	}
	return (*ask)(ctx, agent)
}
