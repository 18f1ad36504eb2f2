package orchestrator

import (
	"context"
	"maps"
	"slices"
	"time"

	"quorate/engine"
	"quorate/eventlog"
)

const (
	// calmEvery is how often the leader looks for agents that are calm again, and
	// calmEventsMax how many it puts on record at a time.
	calmEvery     = 2 * time.Second
	calmEventsMax = 512
)

// Calm forgives an agent what its reconnections count for: it does not flap any more.
// The agent is a name or an id. It is an error where nothing is to be forgiven.
func (o *Orchestrator) Calm(ctx context.Context, agent string, change Change) error {
	id, again, err := o.agentFor(ctx, agent, change, false)
	if err != nil || again {
		return err
	}
	_, err = o.propose(ctx, &eventlog.AgentCalmed{Agent: id, By: change.By, Reason: change.Reason, RequestID: change.RequestID})
	return o.forgiveRepeat(err, change.RequestID)
}

// SetDamping changes how the cluster deals with agents that flap. What is empty or 0
// stays as it is.
func (o *Orchestrator) SetDamping(ctx context.Context, to engine.Damping, change Change) error {
	if err := checkRequestID(change.RequestID); err != nil {
		return err
	}
	if o.repeated(change.RequestID) {
		return nil
	}
	switch {
	case to.Work == "" && to.HalfLife == 0 && to.Threshold == 0:
		return invalid("nothing is to be changed")
	case !slices.Contains([]string{"", engine.WorkHeld, engine.WorkLast, engine.WorkNormal}, to.Work):
		return invalid("what agents that flap are given: %q: want %s, %s or %s", to.Work, engine.WorkHeld, engine.WorkLast, engine.WorkNormal)
	case to.HalfLife != 0 && (to.HalfLife < engine.HalfLifeMin || to.HalfLife > engine.HalfLifeMax):
		return invalid("a half-life of %s: want %s to %s", time.Duration(to.HalfLife), time.Duration(engine.HalfLifeMin), time.Duration(engine.HalfLifeMax))
	case to.Threshold != 0 && (to.Threshold < engine.FlapThresholdMin || to.Threshold > engine.FlapThresholdMax):
		return invalid("a threshold of %d: want %d to %d reconnections", to.Threshold, engine.FlapThresholdMin, engine.FlapThresholdMax)
	}
	_, err := o.propose(ctx, &eventlog.DampingSet{
		Work: to.Work, HalfLife: to.HalfLife, Threshold: to.Threshold, By: change.By, RequestID: change.RequestID,
	})
	return o.forgiveRepeat(err, change.RequestID)
}

// Damped counts a connection that a gateway did not take yet because its agent flaps.
func (o *Orchestrator) Damped() { o.damped.Inc() }

// keepCalm puts on record, while this replica leads, that agents do not flap any more.
// Nothing else would: time alone is no event, and decisions know no clock.
func (o *Orchestrator) keepCalm(ctx context.Context) {
	for wait(ctx, calmEvery, nil) {
		events := o.calmed()
		for part := range slices.Chunk(events, calmEventsMax) {
			if _, _, err := o.Propose(ctx, part...); err != nil {
				if ctx.Err() == nil {
					o.logger.Warn("agents that are calm again were not recorded; trying again", "events", len(part), "error", err)
				}
				break
			}
		}
	}
}

func (o *Orchestrator) calmed() (events []eventlog.Event) {
	now := o.cfg.Now().UnixNano()
	o.View(func(s *engine.State) {
		for _, id := range slices.Sorted(maps.Keys(s.Agents)) {
			if a := s.Agents[id]; s.Calmed(a, now) {
				events = append(events, &eventlog.AgentCalmed{Agent: id})
			}
		}
	})
	return events
}
