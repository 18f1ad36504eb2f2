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

	// hashes are the newest that it said, Hashed last: one replica is ahead of
	// another, and only what they say of the same index can be compared.
	hashes []eventlog.StateHashed
}

// hashesKeptMax bounds how many hashes of a member are kept to be compared.
const hashesKeptMax = 8

// Member returns an orchestrator by its number, also one that was removed, or nil.
func (s *State) Member(replica uint64) *Member { return s.members[replica] }

// IsMember reports whether the orchestrator is one of the cluster now.
func (s *State) IsMember(replica uint64) bool {
	m := s.members[replica]
	return m != nil && m.Removed == ""
}

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

// FormerMembers returns the numbers of the orchestrators that were removed, ascending.
func (s *State) FormerMembers() []uint64 {
	var all []uint64
	for id, m := range s.members {
		if m.Removed != "" {
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

// Joined returns the member that joined with this token under this request id:
// the answer to a joiner that repeats itself because the first answer was lost.
func (s *State) Joined(tokenHash, requestID string) (*Member, bool) {
	replica, ok := s.MemberByRequest(requestID)
	t := s.Tokens[tokenHash]
	if !ok || t == nil || t.SpentBy != s.members[replica].Index {
		return nil, false
	}
	return s.members[replica], true
}

// foldOrchestratorJoined spends a token, but for the founder, who is the first.
func (s *State) foldOrchestratorJoined(e *eventlog.OrchestratorJoined) string {
	if e.Replica < s.NextReplica() {
		return fmt.Sprintf("the number %d was used before", e.Replica)
	}
	if e.TokenHash == "" && len(s.members) > 0 {
		return "a token is needed"
	}
	if replica, ok := s.MemberByRequest(e.RequestID); ok {
		return fmt.Sprintf("request %s made %d a member", e.RequestID, replica)
	}
	if e.Replaces != 0 && !s.IsMember(e.Replaces) {
		return fmt.Sprintf("%d is no member", e.Replaces)
	}
	if e.TokenHash != "" {
		if why := s.spendJoinToken(e.TokenHash); why != "" {
			return why
		}
	}
	s.members[e.Replica] = &Member{
		OrchestratorMoved: eventlog.OrchestratorMoved{
			Replica: e.Replica, Name: e.Name, RaftAddress: e.RaftAddress, AgentAddress: e.AgentAddress, APIAddress: e.APIAddress,
		},
		Index: s.Index, JoinedAt: s.Time, Request: e.RequestID,
	}
	if e.Replaces != 0 {
		s.dismiss(e.Replaces, fmt.Sprintf("replaced by %d", e.Replica))
	}
	return ""
}

func (s *State) spendJoinToken(hash string) string {
	t := s.Tokens[hash]
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
	return ""
}

func (s *State) foldOrchestratorMoved(e *eventlog.OrchestratorMoved) string {
	if !s.IsMember(e.Replica) {
		return fmt.Sprintf("%d is no member", e.Replica)
	}
	m := s.members[e.Replica]
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
	why := "removed by " + e.By
	if e.Reason != "" {
		why += ": " + e.Reason
	}
	s.dismiss(e.Replica, why)
	return ""
}

// foldClusterRecovered leaves the cluster with one member, under a number that
// none had before, and begins a generation.
func (s *State) foldClusterRecovered(e *eventlog.ClusterRecovered) string {
	if e.Replica < s.NextReplica() {
		return fmt.Sprintf("the number %d was used before", e.Replica)
	}
	for _, id := range s.Members() {
		s.dismiss(id, fmt.Sprintf("lost when the cluster was recovered as %d", e.Replica))
	}
	s.members[e.Replica] = &Member{
		OrchestratorMoved: eventlog.OrchestratorMoved{
			Replica: e.Replica, Name: e.Name, RaftAddress: e.RaftAddress, AgentAddress: e.AgentAddress, APIAddress: e.APIAddress,
		},
		Index: s.Index, JoinedAt: s.Time,
	}
	s.recovered(e.Generation)
	return ""
}

// dismiss ends a member's part. Nothing that it says from here on counts, so the
// agents that it was the gateway of are connected nowhere until another says so.
func (s *State) dismiss(replica uint64, why string) {
	s.members[replica].Removed = why
	for _, a := range s.Agents {
		if a.Connected && a.Gateway == replica {
			a.Connected, a.Session = false, ""
			a.SeenAt = s.Time
			a.left(s.Time, fmt.Sprintf("orchestrator %d: %s", replica, why), true)
		}
	}
}
