package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quorate/internal/admission"
)

// crowdToldEvery is how often the operator is told at most that agents were sent away.
const crowdToldEvery = 10 * time.Second

// fullPause is how long who finds a gateway full stays away from it at least.
const fullPause = 8 * time.Second

// full is the refusal of a connection that is one too many. Others may have room.
func (g *gateway) full(c *connection) *refusal {
	reason := fmt.Sprintf("this orchestrator has as many connections as it takes (%d)", g.limits.Connections)
	if errors.Is(c.over(), admission.ErrFullAddress) {
		reason = fmt.Sprintf("this orchestrator has as many connections from %s as it takes of one address (%d)", c.address(), g.limits.ConnectionsPerAddress)
	}
	return &refusal{code: "busy", reason: reason, after: spread(fullPause)}
}

// turnedAway is the refusal of an agent's connection that is one too many, or nil. An agent
// that has one here may have another: the first ends when it is welcomed, and is perhaps
// gone already.
func (g *gateway) turnedAway(c *connection) *refusal {
	if c.over() == nil {
		return nil
	}
	if id, _, err := g.identify(c); err == nil {
		if s := g.sessions.of(id); s != nil && s.conn.ticket != nil {
			c.ticket.Serve()
			return nil
		}
	}
	return g.full(c)
}

// tellCrowd says, while it is so, that more agents come than can be greeted at once, or
// served.
func (g *gateway) tellCrowd(ctx context.Context) {
	for greeted, served := uint64(0), uint64(0); wait(ctx, crowdToldEvery); {
		if n := g.admission.Refused(); n != greeted {
			g.logger.Info("many agents come at once: some are asked to come again", "times", n-greeted)
			greeted = n
		}
		if n := g.admission.Full(); n != served {
			g.logger.Warn("there are as many connections as this orchestrator takes: agents are asked to come again, or to go elsewhere",
				"times", n-served, "max", g.limits.Connections, "max_per_address", g.limits.ConnectionsPerAddress)
			served = n
		}
	}
}
