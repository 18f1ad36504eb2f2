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
