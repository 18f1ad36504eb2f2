package orchestrator

import (
	"context"
	"time"
)

// Majority returns nil where a majority has answered a question that this orchestrator
// put within age, as far as its log knows. Otherwise it asks, as [Orchestrator.Barrier]
// does, with its errors.
func (o *Orchestrator) Majority(ctx context.Context, age time.Duration) error {
	log, ok := o.cfg.Log.(interface {
		Majority(ctx context.Context, age time.Duration) error
	})
	if ok && log.Majority(ctx, age) == nil {
		return nil
	}
	return o.Barrier(ctx)
}
