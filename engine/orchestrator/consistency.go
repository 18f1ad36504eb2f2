package orchestrator

import (
	"fmt"
	"sync"
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
