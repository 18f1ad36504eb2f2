package engine

import (
	"cmp"
	"fmt"
	"slices"

	"quorate/eventlog"
)

// ControllerLabel is the label of the agents that run local tasks, and what is shown
// as the host of such a task.
const ControllerLabel = "controller"

// RelayRole is the role of tokens by which the relays of sites enrol. A relay is on
// record like an agent, and is given no work.
const RelayRole = "relay"

// foldAgentEnrolled spends a token. A repeat with the token and the key of an
// enrolment that took effect is void too; [State.Enrolled] finds its agent.
func (s *State) foldAgentEnrolled(e *eventlog.AgentEnrolled) string {
	t := s.Tokens[e.TokenHash]
	switch {
	case t == nil:
		return "unknown token"
	case t.SpentBy != 0:
		return fmt.Sprintf("the token was spent by agent %d", t.SpentBy)
	case t.Role != "agent" && t.Role != RelayRole:
		return "the token is for an " + t.Role
	case t.ExpiresAt != 0 && s.Time >= t.ExpiresAt:
		return "the token has expired"
	case t.Name != "" && e.Name != t.Name:
		return "the token is for " + t.Name
	case e.Name == "" || e.KeyDigest == "" || e.JournalID == "":
		return "enrolment without name, key or journal"
	}
	if id := s.names[e.Name]; id != 0 {
		return fmt.Sprintf("the name %s is in use by agent %d", e.Name, id)
	}
	if id := s.keys[e.KeyDigest]; id != 0 {
		return fmt.Sprintf("the key is in use by agent %d", id)
	}
	a := &Agent{
		ID:         s.Serial(s.Index),
		Name:       e.Name,
		Labels:     slices.Clone(t.Labels),
		KeyDigest:  e.KeyDigest,
		JournalID:  e.JournalID,
		EnrolledAt: s.Time,
		Hostname:   e.Hostname,
		Pending:    t.Name == "" && !t.AutoApprove,
		Relay:      t.Role == RelayRole,
	}
	t.SpentBy = a.ID
	s.Agents[a.ID] = a
	s.names[a.Name] = a.ID
	s.keys[a.KeyDigest] = a.ID
	if a.Relay {
		s.relays++
	}
	if slices.Contains(a.Labels, ControllerLabel) && !a.Relay {
		s.controllers = append(s.controllers, a.ID)
	}
	return ""
}

// standing returns an agent that is not revoked, or why there is none.
func (s *State) standing(id uint64) (a *Agent, void string) {
	switch a = s.Agents[id]; {
	case a == nil:
		return nil, "no such agent"
	case a.Revoked:
		return nil, "the agent is revoked"
	}
	return a, ""
}

func (s *State) foldAgentApproved(e *eventlog.AgentApproved) string {
	a, void := s.standing(e.Agent)
	switch {
	case void != "":
		return void
	case !a.Pending && a.Quarantined != "":
		return "the agent is approved, and in quarantine for good: revoke it, and have its host join anew"
	case !a.Pending:
		return "the agent is approved"
	}
	a.Pending = false
	return ""
}

// foldAgentRevoked gives up on what the agent had under way: it will never be
// heard of again.
func (s *State) foldAgentRevoked(e *eventlog.AgentRevoked) string {
	a, void := s.standing(e.Agent)
	if void != "" {
		return void
	}
	a.Revoked = true
	a.Connected, a.Session = false, ""
	delete(s.names, a.Name)
	delete(s.keys, a.KeyDigest)
	s.dropValues(a)
	s.controllers = slices.DeleteFunc(s.controllers, func(id uint64) bool { return id == a.ID })
	s.giveUp(a, "the agent was revoked: "+e.Reason, e.By)
	return ""
}

func (s *State) foldAgentConnected(e *eventlog.AgentConnected) string {
	a := s.Agents[e.Agent]
	if a == nil {
		return "no such agent"
	}
	if why := a.barred(); why != "" {
		return why
	}
	if fault := a.JournalFault(e.JournalID, e.JournalSeq); fault != "" {
		return fault
	}
	if missing := a.MissingAttempt(e.Attempts, e.Acked); e.Held && missing != 0 {
		return fmt.Sprintf("the journal held attempt %d", missing)
	}
	if e.Acked > e.JournalSeq {
		return fmt.Sprintf("the journal ends at report %d, and %d was acknowledged to it", e.JournalSeq, e.Acked)
	}
	if a.Connected && a.Session == e.Session {
		return "the session is on record"
	}
	if r := s.Agents[e.Relay]; e.Relay != 0 && (r == nil || !r.Serves()) {
		return fmt.Sprintf("it came through %d, which is no relay that may serve", e.Relay)
	}
	if m := s.members[e.Gateway]; m != nil && m.Removed != "" {
		return fmt.Sprintf("its gateway %d is no member any more", e.Gateway)
	}
	if why := s.judgeJournal(a, e); why != "" {
		s.quarantine(a, why)
		return ""
	}
	s.penalise(a, e)
	a.Connected = true
	a.Session = e.Session
	a.Connection = s.Serial(s.Index)
	a.Gateway = e.Gateway
	a.Version = e.Version
	a.BootID = e.BootID
	a.Address = e.Address
	a.Via = e.Relay
	a.Transport = e.Transport
	a.SeenAt = s.Time
	s.relayChanged(a)
	return ""
}

func (s *State) foldAgentDisconnected(e *eventlog.AgentDisconnected) string {
	a := s.Agents[e.Agent]
	switch {
	case a == nil:
		return "no such agent"
	case !a.Connected || a.Session != e.Session:
		return "not the agent's session"
	}
	a.Connected, a.Session = false, ""
	a.SeenAt = s.Time
	a.left(s.Time, e.Reason, e.Blameless)
	s.relayChanged(a)
	return ""
}

func (s *State) foldAgentQuarantined(e *eventlog.AgentQuarantined) string {
	a, void := s.standing(e.Agent)
	if void != "" {
		return void
	}
	news := slices.ContainsFunc(e.Disproved, func(id uint64) bool { return s.disprovable(a, id) })
	switch {
	case news:
	case a.Quarantined != "":
		return "the agent is quarantined"
	case e.JournalID != "" && a.JournalFault(e.JournalID, e.JournalSeq) == "":
		return "the journal is sound"
	}
	if a.Quarantined == "" {
		s.quarantine(a, cmp.Or(e.Reason, "no reason given"))
	}
	for _, id := range e.Disproved {
		if s.disprovable(a, id) {
			s.disprove(s.Attempts[id])
		}
	}
	return ""
}

func (s *State) quarantine(a *Agent, reason string) {
	a.Quarantined = reason
	a.Connected, a.Session = false, ""
	s.giveUp(a, "the agent was quarantined: "+reason, "")
}

// giveUp settles what the agent has under way as unknown.
func (s *State) giveUp(a *Agent, reason, by string) {
	for _, id := range slices.Clone(a.Open) {
		s.settle(s.Attempts[id], eventlog.Unknown, reason, by)
	}
}
