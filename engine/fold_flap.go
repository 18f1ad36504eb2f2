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
		for i := range a.Changes {
			a.Changes[i].charged = 0 // there is nothing left to excuse
		}
	}
	a.Flapping, a.FlappingSince = false, 0
	return ""
}

// penalise counts a connection, by what is on record of the one before.
func (s *State) penalise(a *Agent, e *eventlog.AgentConnected) {
	cost := s.costOf(a, e)
	a.sentTo = 0
	if e.Came == 0 { // what older records say stays what it was
		return
	}
	d := s.Damping()
	now := s.PenaltyAt(a, s.Time)
	if now < d.calmBelow() {
		a.Flapping, a.FlappingSince = false, 0
	}
	a.penalty = min(now+cost, max(now, penaltyFactor*d.flapsFrom()))
	a.penaltyAt = s.Time
	if a.penalty >= d.flapsFrom() && cost > 0 && !a.Flapping {
		a.Flapping, a.FlappingSince = true, s.Time
	}
	a.Connections++
	if cost > 0 {
		a.Flaps++
	}
	a.blameless = false
	change := ConnectionChange{
		Time: s.Time, Kind: eventlog.KindAgentConnected, Gateway: e.Gateway, Text: e.Address, Counts: cost > 0,
		charged: a.penalty - now, via: a.Via,
	}
	if cost == 0 && a.strayed() {
		change.via = a.Changes[len(a.Changes)-1].via // it strays on
	}
	if a.Connected && a.Gateway != e.Gateway {
		change.left = a.Gateway
	}
	a.changed(change)
}

// costOf is what a connection counts.
func (s *State) costOf(a *Agent, e *eventlog.AgentConnected) uint64 {
	moves := a.Connected && a.Gateway != e.Gateway
	switch {
	case a.Connections == 0, e.Came == eventlog.Dropped, !a.Connected && a.blameless:
		return 0
	case s.relayLost(a), a.strayed() && e.Relay != 0, moves && a.sentTo == e.Gateway:
		return 0
	case e.Came == eventlog.Asked && moves:
		return movedCost
	}
	return reconnectCost
}

// relayLost reports whether the relay that the agent's newest connection came through
// has gone, or come anew, since: that counts against the relay alone.
func (s *State) relayLost(a *Agent) bool {
	relay := s.Agents[a.Via]
	return relay != nil && (!relay.Connected || relay.Connection > a.Connection)
}

// strayed reports whether the agent has gone to a gateway by itself because its relay was
// lost, from where it may go home.
func (a *Agent) strayed() bool {
	n := len(a.Changes)
	if n == 0 || !a.Connected || a.Via != 0 {
		return false
	}
	came := &a.Changes[n-1]
	return came.Kind == eventlog.KindAgentConnected && came.via != 0 && !came.Counts
}

// left notes the end of a connection.
func (a *Agent) left(at int64, reason string, blameless bool) {
	a.sentTo = 0
	if a.Connections == 0 {
		return
	}
	a.blameless = blameless
	a.changed(ConnectionChange{Time: at, Kind: eventlog.KindAgentDisconnected, Gateway: a.Gateway, Text: reason})
}

func (a *Agent) changed(c ConnectionChange) {
	if over := len(a.Changes) + 1 - ChangesMax; over > 0 {
		a.Changes = slices.Delete(a.Changes, 0, over)
	}
	a.Changes = append(a.Changes, c)
}
