package engine

import (
	"fmt"
	"slices"

	"quorate/eventlog"
)

// excuseWithin is how long before the loss of a gateway or a relay was put on record an
// agent may have left it because of that.
const excuseWithin = 60 * second

// foldGatewayLost excuses those who left a gateway that was lost: they knew it before the
// cluster did.
func (s *State) foldGatewayLost(e *eventlog.GatewayLost) string {
	if !s.IsMember(e.Gateway) {
		return fmt.Sprintf("%d is no member", e.Gateway)
	}
	s.excuse(func(c *ConnectionChange) bool { return c.left == e.Gateway })
	return ""
}

// foldAgentsSent notes whom a gateway has asked to go: the connection that they go to
// does not count.
func (s *State) foldAgentsSent(e *eventlog.AgentsSent) string {
	if !s.IsMember(e.Gateway) || !s.IsMember(e.To) {
		return fmt.Sprintf("%d or %d is no member", e.Gateway, e.To)
	}
	void := "none of the agents is connected there"
	for _, id := range e.Agents {
		if a := s.Agents[id]; a != nil && a.Connected && a.Gateway == e.Gateway {
			a.sentTo, void = e.To, ""
		}
	}
	return void
}

// relayChanged excuses those who left a relay that has lost its connection.
func (s *State) relayChanged(relay *Agent) {
	if relay.Relay {
		s.excuse(func(c *ConnectionChange) bool { return c.via == relay.ID })
	}
}

// excuse takes back what agents were charged with for leaving what was lost: for the
// newest such connection alone, so that nobody gains more by a loss than it cost.
func (s *State) excuse(lost func(*ConnectionChange) bool) {
	for _, a := range s.Agents {
		for i := len(a.Changes) - 1; i >= 0 && s.Time-a.Changes[i].Time <= excuseWithin; i-- {
			if c := &a.Changes[i]; c.Kind == eventlog.KindAgentConnected && lost(c) {
				s.forgive(a, c)
				break
			}
		}
	}
}

// forgive takes back what is left of what a connection was charged with. Where the agent
// would not have been taken for one that flaps without it, it is none.
func (s *State) forgive(a *Agent, c *ConnectionChange) {
	if c.charged == 0 {
		return
	}
	d := s.Damping()
	now := s.PenaltyAt(a, s.Time)
	a.penalty = now - min(now, d.decayed(c.charged, s.Time-c.Time))
	a.penaltyAt = s.Time
	c.charged, c.Counts = 0, false
	a.Flaps--
	if a.Flapping && c.Time <= a.FlappingSince && a.penalty < d.decayed(d.flapsFrom(), s.Time-a.FlappingSince) {
		a.Flapping, a.FlappingSince = false, 0
	}
}

// Deserted returns the members that agents have left lately, ascending, of which it would
// excuse these that they were lost.
func (s *State) Deserted() (members []uint64) {
	for _, a := range s.Agents {
		for i := len(a.Changes) - 1; i >= 0 && s.Time-a.Changes[i].Time <= excuseWithin; i-- {
			if c := &a.Changes[i]; c.left != 0 && c.charged > 0 && s.IsMember(c.left) && !slices.Contains(members, c.left) {
				members = append(members, c.left)
			}
		}
	}
	slices.Sort(members)
	return members
}
