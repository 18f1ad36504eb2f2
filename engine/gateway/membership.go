package gateway

import (
	"context"

	"quorate/engine"
)

// awaitMembership returns when a majority has said that this orchestrator is one of
// the cluster, or has said nothing for MembershipWithin: one that was removed while
// it was away does not know that, and agents would wait for it in vain where others
// could serve them. It returns false where there is nobody to serve before ctx ends.
func (g *gateway) awaitMembership(ctx context.Context) bool {
	if g.o.CaughtUp(ctx) != nil {
		return false
	}
	if g.alone() {
		return true
	}
	limited, cancel := context.WithTimeout(ctx, g.limits.MembershipWithin)
	defer cancel()
	if err := g.o.Barrier(limited); err != nil {
		if ctx.Err() != nil {
			return false
		}
		g.logger.Warn("no majority says that this orchestrator is a member; agents are served all the same", "error", err)
	}
	removed := false
	g.o.View(func(st *engine.State) {
		m := st.Member(g.o.Replica())
		removed = m != nil && m.Removed != ""
	})
	if removed {
		<-ctx.Done()
	}
	return !removed
}
