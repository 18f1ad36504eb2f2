package engine

import (
	"fmt"

	"quorate/eventlog"
)

func (s *State) foldClusterCreated(e *eventlog.ClusterCreated) string {
	if s.ClusterID != "" {
		return "the cluster has an id: " + s.ClusterID
	}
	if e.ClusterID == "" {
		return "cluster without id"
	}
	s.ClusterID = e.ClusterID
	return ""
}

func (s *State) foldLeaderEstablished(e *eventlog.LeaderEstablished) string {
	s.Epoch = s.Serial(s.Index)
	s.Leader = e.Replica
	return ""
}

func (s *State) foldTokenCreated(e *eventlog.TokenCreated) string {
	if e.TokenHash == "" {
		return "token without hash"
	}
	if t := s.Tokens[e.TokenHash]; t != nil {
		return fmt.Sprintf("the token is on record since %d", t.Index)
	}
	switch e.Role {
	case "agent", RelayRole, "orchestrator", "operator":
	default:
		return "unknown role " + e.Role
	}
	s.Tokens[e.TokenHash] = &Token{TokenCreated: *e, Index: s.Index}
	return ""
}

func (s *State) foldOperatorIssued(e *eventlog.OperatorIssued) string {
	if !isOperatorName(e.Name) {
		return fmt.Sprintf("operator's name %.80q: want 1 to %d of a-z A-Z 0-9 - _ . @", e.Name, operatorBytesMax)
	}
	if e.KeyDigest == "" {
		return "operator without key"
	}
	s.Operators[e.Name] = &Operator{OperatorIssued: *e, Index: s.Index}
	return ""
}

// operatorBytesMax bounds an operator's name.
const operatorBytesMax = 64

// isOperatorName is the rule of package pki at the time when the event came into
// the catalogue. It stays here as it is, whatever becomes of that one: what an old
// log means may not change.
func isOperatorName(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.', c == '@':
		default:
			return false
		}
	}
	return s != "" && len(s) <= operatorBytesMax
}
