package engine

import (
	"errors"
	"fmt"

	"quorate/eventlog"
)

// ErrGap is wrapped by the errors of [State.Fold] for a record that is not the
// next one of the log.
var ErrGap = errors.New("record out of order")

// Fold applies the next record of the log. An event whose precondition does not
// hold at its index is void: it changes nothing but Index, Time, Head and what is
// kept of judgements, on every replica alike, and void says why. An error means that the record cannot
// be read; the state is as before then.
func (s *State) Fold(rec eventlog.Record) (void string, err error) {
	e, err := eventlog.Decode(rec.Kind, rec.Data)
	if err != nil {
		return "", fmt.Errorf("record %d: %w", rec.Index, err)
	}
	return s.Apply(rec, e)
}

// Apply is [State.Fold] for a reader that has decoded the record already.
func (s *State) Apply(rec eventlog.Record, e eventlog.Event) (void string, err error) {
	if rec.Index != s.Index+1 {
		return "", fmt.Errorf("record %d after %d: %w", rec.Index, s.Index, ErrGap)
	}
	s.Index, s.Head = rec.Index, rec.Hash
	s.Time = max(s.Time, rec.Time)
	void = s.apply(e)
	s.judged(void)
	return void, nil
}

// apply judges the event. Every branch either returns a reason and has changed
// nothing, or an empty string.
func (s *State) apply(e eventlog.Event) string {
	switch e := e.(type) {
	case *eventlog.StepScheduled:
		return s.foldStepScheduled(e)
	case *eventlog.JobEnded:
		return s.foldJobEnded(e)
	case *eventlog.AttemptEnded:
		return s.foldAttemptEnded(e)
	case *eventlog.TaskRecorded:
		return s.foldTaskRecorded(e)
	case *eventlog.TaskSkipped:
		return s.foldTaskSkipped(e)
	case *eventlog.ClusterCreated:
		return s.foldClusterCreated(e)
	case *eventlog.LeaderEstablished:
		return s.foldLeaderEstablished(e)
	case *eventlog.TokenCreated:
		return s.foldTokenCreated(e)
	case *eventlog.OperatorIssued:
		return s.foldOperatorIssued(e)
	case *eventlog.AccessDenied:
		return s.foldAccessDenied(e)
	case *eventlog.AgentEnrolled:
		return s.foldAgentEnrolled(e)
	case *eventlog.AgentConnected:
		return s.foldAgentConnected(e)
	case *eventlog.AgentDisconnected:
		return s.foldAgentDisconnected(e)
	case *eventlog.AgentQuarantined:
		return s.foldAgentQuarantined(e)
	case *eventlog.PlanRecorded:
		return s.foldPlanRecorded(e)
	case *eventlog.RunEnded:
		return s.foldRunEnded(e)
	case *eventlog.OrchestratorJoined:
		return s.foldOrchestratorJoined(e)
	case *eventlog.OrchestratorMoved:
		return s.foldOrchestratorMoved(e)
	case *eventlog.StateHashed:
		return s.foldStateHashed(e)
	case *eventlog.ClusterRecovered:
		return s.foldClusterRecovered(e)
	case *eventlog.AttemptBegan:
		return s.foldAttemptBegan(e)
	case *eventlog.ValuesPublished:
		return s.foldValuesPublished(e)
	case *eventlog.CheckpointSigned:
		return s.foldCheckpointSigned(e)
	case *eventlog.GatewayLost:
		return s.foldGatewayLost(e)
	case *eventlog.AgentsSent:
		return s.foldAgentsSent(e)
	}
	return s.applyCommand(e)
}

// applyCommand judges what clients ask for. A command that took effect is known
// by its request id, and a repeat of it is void: a client that timed out may try
// again anywhere.
func (s *State) applyCommand(e eventlog.Event) string {
	id := requestID(e)
	if at, ok := s.requests[id]; ok && id != "" {
		return fmt.Sprintf("request %s was done at %d", id, at)
	}
	var void string
	switch e := e.(type) {
	case *eventlog.AgentApproved:
		void = s.foldAgentApproved(e)
	case *eventlog.AgentRevoked:
		void = s.foldAgentRevoked(e)
	case *eventlog.RunCreated:
		void = s.foldRunCreated(e)
	case *eventlog.RunCancelled:
		void = s.foldRunCancelled(e)
	case *eventlog.StepResolved:
		void = s.foldStepResolved(e)
	case *eventlog.OrchestratorRemoved:
		void = s.foldOrchestratorRemoved(e)
	case *eventlog.DampingSet:
		void = s.foldDampingSet(e)
	case *eventlog.AgentCalmed:
		void = s.foldAgentCalmed(e)
	case *eventlog.AgentDrained:
		void = s.foldAgentDrained(e)
	case *eventlog.AgentUndrained:
		void = s.foldAgentUndrained(e)
	case *eventlog.OperatorRevoked:
		void = s.foldOperatorRevoked(e)
	default:
		return "unknown kind of event"
	}
	if void == "" && id != "" {
		s.requests[id] = s.Index
	}
	return void
}

func requestID(e eventlog.Event) string {
	switch e := e.(type) {
	case *eventlog.AgentApproved:
		return e.RequestID
	case *eventlog.AgentRevoked:
		return e.RequestID
	case *eventlog.RunCreated:
		return e.RequestID
	case *eventlog.RunCancelled:
		return e.RequestID
	case *eventlog.StepResolved:
		return e.RequestID
	case *eventlog.OrchestratorRemoved:
		return e.RequestID
	case *eventlog.DampingSet:
		return e.RequestID
	case *eventlog.AgentCalmed:
		return e.RequestID
	case *eventlog.AgentDrained:
		return e.RequestID
	case *eventlog.AgentUndrained:
		return e.RequestID
	case *eventlog.OperatorRevoked:
		return e.RequestID
	}
	return ""
}
