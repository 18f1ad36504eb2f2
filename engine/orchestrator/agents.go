package orchestrator

import (
	"context"
	"strconv"

	"quorate/engine"
	"quorate/eventlog"
)

// A Change is what every command of an operator on something that exists carries.
type Change struct {
	// RequestID is the client's; a repeat with the same one changes nothing.
	RequestID string
	By        string
	Reason    string
}

// FindAgent returns the agent that a name or the text of an id stands for, or
// nil. Of agents that shared a name, the one that is not revoked counts, or else
// the newest.
func FindAgent(s *engine.State, ref string) (found *engine.Agent) {
	if a := s.AgentByName(ref); a != nil {
		return a
	}
	for _, a := range s.Agents {
		if a.Name == ref && (found == nil || a.ID > found.ID) {
			found = a
		}
	}
	if id, err := strconv.ParseUint(ref, 10, 64); err == nil && found == nil {
		return s.Agent(id)
	}
	return found
}

// Approve lets a pending agent work. The agent is a name or an id.
func (o *Orchestrator) Approve(ctx context.Context, agent string, change Change) error {
	id, again, err := o.agentFor(ctx, agent, change, false)
	if err != nil || again {
		return err
	}
	_, err = o.propose(ctx, &eventlog.AgentApproved{Agent: id, By: change.By, RequestID: change.RequestID})
	return o.forgiveRepeat(err, change.RequestID)
}

// Revoke ends an agent's right to connect, for ever. The agent is a name or an id.
func (o *Orchestrator) Revoke(ctx context.Context, agent string, change Change) error {
	id, again, err := o.agentFor(ctx, agent, change, true)
	if err != nil || again {
		return err
	}
	_, err = o.propose(ctx, &eventlog.AgentRevoked{Agent: id, By: change.By, Reason: change.Reason, RequestID: change.RequestID})
	return o.forgiveRepeat(err, change.RequestID)
}

func (o *Orchestrator) agentFor(ctx context.Context, ref string, change Change, reasonRequired bool) (id uint64, again bool, err error) {
	if err := checkRequestID(change.RequestID); err != nil {
		return 0, false, err
	}
	if o.repeated(change.RequestID) {
		return 0, true, nil
	}
	if err := checkReason(change.Reason, reasonRequired); err != nil {
		return 0, false, err
	}
	err = o.fresh(ctx, func() error {
		o.View(func(s *engine.State) {
			if a := FindAgent(s, ref); a != nil {
				id = a.ID
			}
		})
		if id == 0 {
			return &Error{Code: NotFound, Message: "no agent " + strconv.Quote(ref), Hint: `"quorate agent ls" lists them`}
		}
		return nil
	})
	return id, false, err
}

// forgiveRepeat turns the conflict of a request that raced with itself into success.
func (o *Orchestrator) forgiveRepeat(err error, requestID string) error {
	if isVoid(err) && o.repeated(requestID) {
		return nil
	}
	return err
}
