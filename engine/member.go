package engine

import (
	"fmt"
	"slices"

	"quorate/eventlog"
)

// A Member is an orchestrator of the cluster, or one that was.
type Member struct {
	eventlog.OrchestratorMoved
	// Index is of the event that made it a member; JoinedAt its time, unix nanoseconds.
	Index    uint64
	JoinedAt int64
	// Request is the id under which it asked to join.
	Request string
	// Removed is why it is no member any more; empty while it is one.
	Removed string
	// Hashed is the newest that it said of its own state.
	Hashed eventlog.StateHashed
}

// Member returns an orchestrator by its number, also one that was removed, or nil.
func (s *State) Member(replica uint64) *Member { return s.members[replica] }

// Members returns the numbers of the cluster's orchestrators, ascending.
func (s *State) Members() []uint64 {
	var all []uint64
	for id, m := range s.members {
		if m.Removed == "" {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	return all
}

// NextReplica is the number for the orchestrator that joins next: no number is
// used twice.
func (s *State) NextReplica() uint64 {
	next := uint64(1)
	for id := range s.members {
		next = max(next, id+1)
	}
	return next
}

// MemberByRequest returns the number that a request to join led to.
func (s *State) MemberByRequest(id string) (replica uint64, ok bool) {
	for replica, m := range s.members {
		if id != "" && m.Request == id {
			return replica, true
		}
	}
	return 0, false
}

func (s *State) foldOrchestratorJoined(e *eventlog.OrchestratorJoined) string {
	if e.Replica < s.NextReplica() {
		return fmt.Sprintf("the number %d was used before", e.Replica)
	}
	if e.TokenHash == "" && len(s.members) > 0 {
		return "a token is needed"
	}
	if m := s.members[e.Replaces]; e.Replaces != 0 && (m == nil || m.Removed != "") {
		return fmt.Sprintf("%d is no member", e.Replaces)
	}
	if t := s.Tokens[e.TokenHash]; e.TokenHash != "" {
		switch {
		case t == nil:
			return "unknown token"
		case t.SpentBy != 0:
			return "the token was spent"
		case t.Role != "orchestrator":
			return "the token is for an " + t.Role
		case t.ExpiresAt != 0 && s.Time >= t.ExpiresAt:
			return "the token has expired"
		}
		t.SpentBy = s.Index
	}
	s.members[e.Replica] = &Member{
		OrchestratorMoved: eventlog.OrchestratorMoved{
			Replica: e.Replica, Name: e.Name, RaftAddress: e.RaftAddress, AgentAddress: e.AgentAddress, APIAddress: e.APIAddress,
		},
		Index: s.Index, JoinedAt: s.Time, Request: e.RequestID,
	}
	if e.Replaces != 0 {
		s.members[e.Replaces].Removed = fmt.Sprintf("replaced by %d", e.Replica)
	}
	return ""
}

func (s *State) foldOrchestratorMoved(e *eventlog.OrchestratorMoved) string {
	m := s.members[e.Replica]
	if m == nil || m.Removed != "" {
		return fmt.Sprintf("%d is no member", e.Replica)
	}
	if m.OrchestratorMoved == *e {
		return "nothing has changed"
	}
	m.OrchestratorMoved = *e
	return ""
}

func (s *State) foldOrchestratorRemoved(e *eventlog.OrchestratorRemoved) string {
	m := s.members[e.Replica]
	switch {
	case m == nil:
		return fmt.Sprintf("%d is no member", e.Replica)
	case m.Removed != "":
		return fmt.Sprintf("%d is no member any more: %s", e.Replica, m.Removed)
	case len(s.Members()) == 1:
		return fmt.Sprintf("%d is the only member", e.Replica)
	}
	m.Removed = "removed by " + e.By
	if e.Reason != "" {
		m.Removed += ": " + e.Reason
	}
	return ""
}

func (s *State) foldStateHashed(e *eventlog.StateHashed) string {
	m := s.members[e.Replica]
	switch {
	case m == nil || m.Removed != "":
		return fmt.Sprintf("%d is no member", e.Replica)
	case e.At >= s.Index || e.At <= m.Hashed.At:
		return fmt.Sprintf("a hash at %d is not news", e.At)
	}
	m.Hashed = *e
	return ""
}

func (s *State) foldClusterRecovered(e *eventlog.ClusterRecovered) string {
	if e.Replica < s.NextReplica() {
		return fmt.Sprintf("the number %d was used before", e.Replica)
	}
	for _, id := range s.Members() {
		s.members[id].Removed = fmt.Sprintf("lost when the cluster was recovered as %d", e.Replica)
	}
	s.members[e.Replica] = &Member{
		OrchestratorMoved: eventlog.OrchestratorMoved{
			Replica: e.Replica, Name: e.Name, RaftAddress: e.RaftAddress, AgentAddress: e.AgentAddress, APIAddress: e.APIAddress,
		},
		Index: s.Index, JoinedAt: s.Time,
	}
	return ""
}
