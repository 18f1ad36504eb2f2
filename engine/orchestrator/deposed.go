package orchestrator

import (
	"context"
	"fmt"
	"slices"
	"time"

	"quorate/engine"
	"quorate/eventlog"
)

// deposedAfter is how long behind an election the agents have that were at the leader
// before, to notice its silence and to be on record elsewhere.
const deposedAfter = 8 * time.Second

// leaderBefore is the other member that led last, by the record, where the term has begun
// without it; or 0.
func (o *Orchestrator) leaderBefore(term uint64) (member uint64) {
	if o.cfg.Cluster != nil && o.cfg.Cluster.Handed(term) {
		return 0
	}
	o.View(func(s *engine.State) {
		if s.Leader != o.cfg.Replica && s.IsMember(s.Leader) {
			member = s.Leader
		}
	})
	return member
}

// excuseDeposed puts on record, once, that the leader before was lost as a gateway, where
// agents have left it: had it answered its peers they would have elected nobody else. So a
// pause is proven that is too short for the vigil, which finds everybody there again.
func (o *Orchestrator) excuseDeposed(ctx context.Context, member uint64) {
	if member == 0 || !wait(ctx, deposedAfter, nil) {
		return
	}
	missed := false
	o.View(func(s *engine.State) { missed = slices.Contains(s.Deserted(), member) })
	if !missed {
		return
	}
	reason := fmt.Sprintf("orchestrator %d led, and its peers elected another one", member)
	if _, _, err := o.Propose(ctx, &eventlog.GatewayLost{Gateway: member, Reason: reason}); err != nil && ctx.Err() == nil {
		o.logger.Warn("that a leader was lost is not on record: what its agents did counts against them", "replica", member, "error", err)
	}
}
