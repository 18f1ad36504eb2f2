package lab

import (
	"context"

	"quorate/engine/api"
)

// Cluster returns what an orchestrator says of all of them.
func (s *Server) Cluster(ctx context.Context) (*api.Cluster, error) {
	client, err := s.Local()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*probeTimeout)
	defer cancel()
	return client.Cluster(ctx)
}

// Voters counts the orchestrators that vote, by the word of the leader; 0 where
// nobody leads.
func (l *Lab) Voters(ctx context.Context) int {
	leader := l.Leader(ctx)
	if leader == nil {
		return 0
	}
	cluster, err := leader.Cluster(ctx)
	if err != nil {
		return 0
	}
	return cluster.Voters
}

// Replica returns the number that an orchestrator has in the cluster, 0 where it
// does not answer.
func (s *Server) Replica(ctx context.Context) uint64 {
	status, err := s.Status(ctx)
	if err != nil {
		return 0
	}
	return status.Replica
}
