package engine

import (
	"cmp"
	"slices"

	"quorate/eventlog"
)

// foldDampingSet changes the rules. What agents have on record against them stays.
func (s *State) foldDampingSet(e *eventlog.DampingSet) string {
	next := s.damping
	next.Work = cmp.Or(e.Work, next.Work)
	next.HalfLife = cmp.Or(e.HalfLife, next.HalfLife)
	next.Threshold = cmp.Or(e.Threshold, next.Threshold)
	if !next.sound() {
		return "what agents that flap are given, a half-life or a threshold is out of bounds"
	}
	if next == s.damping {
		return "it is so already"
	}
	next.By, next.Index = e.By, s.Index
	s.damping = next
	return ""
}

// foldAgentCalmed ends the flapping of an agent: by an operator's word whenever that
// comes, and by itself not before most is forgotten.
func (s *State) foldAgentCalmed(e *eventlog.AgentCalmed) string {
	a := s.Agents[e.Agent]
	switch {
	case a == nil:
		return "no such agent"
	case a.Revoked:
		return "the agent is revoked"
	case e.By == "" && !a.Flapping, e.By != "" && a.penalty == 0:
		return "the agent does not flap"
	case e.By == "" && !s.Calmed(a, s.Time):
		return "the agent has flapped since"
	}
	if e.By != "" {
		a.penalty, a.penaltyAt = 0, s.Time
	}
	a.Flapping, a.FlappingSince = false, 0
	return ""
}

// penalise counts a connection, by what is on record of the one before.
func (s *State) penalise(a *Agent, e *eventlog.AgentConnected) {
	cost := uint64(reconnectCost)
	switch {
	case e.Came == 0: // what older records say stays what it was
		return
	case a.Connections == 0, e.Came == eventlog.Dropped, !a.Connected && a.blameless:
		cost = 0
	case e.Came == eventlog.Asked && a.Connected && a.Gateway != e.Gateway:
		cost = movedCost
	}
	d := s.Damping()
	now := s.PenaltyAt(a, s.Time)
	if now < d.calmBelow() {
		a.Flapping, a.FlappingSince = false, 0
	}
	a.penalty = min(now+cost, penaltyFactor*d.flapsFrom())
	a.penaltyAt = s.Time
	if a.penalty >= d.flapsFrom() && cost > 0 && !a.Flapping {
		a.Flapping, a.FlappingSince = true, s.Time
	}
	a.Connections++
	if cost > 0 {
		a.Flaps++
	}
	a.blameless = false
	a.changed(ConnectionChange{s.Time, eventlog.KindAgentConnected, e.Gateway, e.Address, cost > 0})
}

// left notes the end of a connection.
func (a *Agent) left(at int64, reason string, blameless bool) {
	if a.Connections == 0 {
		return
	}
	a.blameless = blameless
	a.changed(ConnectionChange{at, eventlog.KindAgentDisconnected, a.Gateway, reason, false})
}

func (a *Agent) changed(c ConnectionChange) {
	if over := len(a.Changes) + 1 - ChangesMax; over > 0 {
		a.Changes = slices.Delete(a.Changes, 0, over)
	}
	a.Changes = append(a.Changes, c)
}
