package gateway

import (
	"context"
	"fmt"
	"sync"
	"time"

	"quorate/engine/orchestrator"
	"quorate/nodeagent/wire"
)

// factsTimeout is what an agent gets to say what it remembers, and factsAskedMax
// how many such questions are open at once.
const (
	factsTimeout  = 5 * time.Second
	factsAskedMax = 64
)

// A factsDesk brings the answers of agents to who asked for them.
type factsDesk struct {
	mu   sync.Mutex
	next uint64
	open map[uint64]factsAsked
}

type factsAsked struct {
	session *session
	reply   chan *wire.FactsReply // takes one
}

// ask gives a question its number; the caller has to close it.
func (d *factsDesk) ask(s *session) (id uint64, reply chan *wire.FactsReply, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.open) >= factsAskedMax {
		return 0, nil, false
	}
	if d.open == nil {
		d.open = map[uint64]factsAsked{}
	}
	d.next++
	reply = make(chan *wire.FactsReply, 1)
	d.open[d.next] = factsAsked{s, reply}
	return d.next, reply, true
}

func (d *factsDesk) close(id uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, id)
}

// answered takes an answer, of the agent that was asked alone.
func (d *factsDesk) answered(s *session, m *wire.FactsReply) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if asked, ok := d.open[m.ID]; ok && asked.session == s {
		delete(d.open, m.ID)
		asked.reply <- m
	}
}

// agentFacts is an [orchestrator.FactsSource].
func (g *gateway) agentFacts(ctx context.Context, agent uint64) (*wire.FactsReply, error) {
	s := g.sessions.of(agent)
	if s == nil {
		return nil, orchestrator.ErrNotHere
	}
	id, reply, ok := g.facts.ask(s)
	if !ok {
		return nil, fmt.Errorf("more than %d agents are asked for their facts", factsAskedMax)
	}
	defer g.facts.close(id)
	s.note(func(n *notes) { n.facts = append(n.facts, id) })
	ctx, cancel := context.WithTimeout(ctx, factsTimeout)
	defer cancel()
	select {
	case m := <-reply:
		return m, nil
	case <-s.ended:
		return nil, orchestrator.ErrNotHere
	case <-ctx.Done():
		return nil, fmt.Errorf("agent %s did not answer within %s", s.name, factsTimeout)
	}
}
