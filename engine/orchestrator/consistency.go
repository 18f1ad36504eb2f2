package orchestrator

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// proofsKeptMax bounds the proofs that are kept: agents that connect together have
// mostly seen the same checkpoint.
const proofsKeptMax = 64

// A proofCache keeps the proofs that were asked for last.
type proofCache struct {
	mu     sync.Mutex
	proofs map[[2]uint64][]byte
}

// ProveGrowth returns the hashes, one behind the other, which show that the newer of
// two checkpoints of this log only adds to the older one.
func (o *Orchestrator) ProveGrowth(older, newer uint64) ([]byte, error) {
	key := [2]uint64{older, newer}
	c := &o.notary.proofs
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.proofs[key]; ok {
		return p, nil
	}
	tree, err := o.cfg.Log.Tree(newer)
	if err != nil {
		return nil, fmt.Errorf("consistency proof: %w", err)
	}
	hashes, err := tree.ProveTree(older)
	if err != nil {
		return nil, fmt.Errorf("consistency proof: %w", err)
	}
	p := []byte{}
	for _, h := range hashes {
		p = append(p, h[:]...)
	}
	if c.proofs == nil || len(c.proofs) >= proofsKeptMax {
		c.proofs = map[[2]uint64][]byte{}
	}
	c.proofs[key] = p
	return p, nil
}

// agentsToldMax bounds the agents whose distrust is kept.
const agentsToldMax = 1024

// A distrust keeps which agents have seen another log than this one.
type distrust struct {
	mu     sync.Mutex
	agents map[uint64]string
	count  prometheus.Counter
}

func newDistrust() *distrust {
	return &distrust{agents: map[uint64]string{}, count: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "quorate_log_distrusted_total", Help: "Times that an agent had seen another log of this cluster than the one here.",
	})}
}

// Distrusted notes that an agent has seen another log than the one here, and why; an
// empty reason says that it has not.
func (o *Orchestrator) Distrusted(agent uint64, reason string) {
	d := o.notary.distrust
	d.mu.Lock()
	defer d.mu.Unlock()
	if reason == "" {
		delete(d.agents, agent)
		return
	}
	d.count.Inc()
	if len(d.agents) < agentsToldMax {
		d.agents[agent] = reason
	}
}

// all returns the agents that have seen another log.
func (d *distrust) all() []uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Keys(d.agents))
}

// Distrust says why an agent does not trust the log here, or nothing.
func (o *Orchestrator) Distrust(agent uint64) string {
	d := o.notary.distrust
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.agents[agent]
}
