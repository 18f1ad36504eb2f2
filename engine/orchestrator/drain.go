package orchestrator

import (
	"context"

	"quorate/engine"
	"quorate/eventlog"
)

// Drain has an agent be given no new steps: what it has not started it gives back, and
// what it has goes on to its end. The agent is a name or an id. Draining what is
// drained changes nothing.
func (o *Orchestrator) Drain(ctx context.Context, agent string, change Change) error {
	id, again, err := o.drainable(ctx, agent, change, true)
	if err != nil || again {
		return err
	}
	_, err = o.propose(ctx, &eventlog.AgentDrained{Agent: id, By: change.By, Reason: change.Reason, RequestID: change.RequestID})
	return o.forgiveRepeat(err, change.RequestID)
}

// Undrain lets an agent be given steps again. It changes nothing where that is so.
func (o *Orchestrator) Undrain(ctx context.Context, agent string, change Change) error {
	id, again, err := o.drainable(ctx, agent, change, false)
	if err != nil || again {
		return err
	}
	_, err = o.propose(ctx, &eventlog.AgentUndrained{Agent: id, By: change.By, Reason: change.Reason, RequestID: change.RequestID})
	return o.forgiveRepeat(err, change.RequestID)
}

// drainable finds the agent; again is true where it is already as it is to be.
func (o *Orchestrator) drainable(ctx context.Context, agent string, change Change, drained bool) (id uint64, again bool, err error) {
	id, again, err = o.agentFor(ctx, agent, change, false)
	if err != nil || again {
		return 0, again, err
	}
	o.View(func(s *engine.State) {
		switch a := s.Agent(id); {
		case a == nil:
		case a.Relay:
			err = conflict("%s is a relay, which is given no steps in any case", a.Name)
		case a.Revoked:
			err = conflict("agent %s is revoked", a.Name)
		default:
			again = a.Drained() == drained
		}
	})
	return id, again, err
}
