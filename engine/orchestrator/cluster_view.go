package orchestrator

import (
	"context"
	"slices"
	"time"

	"quorate/engine"
	"quorate/eventlog"
)

// viewWait bounds how long a view waits for a majority before it is given without.
const viewWait = 2 * time.Second

// The roles of members in a [ClusterView].
const (
	RoleLeader  = "leader"
	RoleVoter   = "voter"
	RoleLearner = "learner" // gets the log and has no vote yet
	RoleJoining = "joining" // on record, and not replicating yet
	RoleUnknown = "unknown" // no majority could be asked
	RoleRemoved = "removed"
)

// A ClusterView is what an orchestrator knows of its cluster.
type ClusterView struct {
	ClusterID string
	// Self is this orchestrator's number, Leader the leader's, or 0.
	Self, Leader uint64
	Term, Epoch  uint64
	// Head is the newest record here, Folded the newest that is part of the state.
	Head, Folded uint64
	HeadHash     eventlog.Hash
	// Stale is true where no majority could be asked: all of it may be old.
	Stale   bool
	Members []MemberView // by number; those removed come last
	Alarms  []Alarm      // of this orchestrator
	// Log is what the log takes on this orchestrator's disk, nil where that is not
	// known; HeldBy the run that keeps records in its live file, or 0.
	Log    *eventlog.Sizes
	HeldBy uint64
}

// A MemberView is one orchestrator of a [ClusterView].
type MemberView struct {
	Replica                               uint64
	Name                                  string
	RaftAddress, AgentAddress, APIAddress string
	Role                                  string
	JoinedAt                              int64  // unix nanoseconds
	Removed                               string // why it is no member any more
	// HashedAt is the newest record of which it compared its state with the others'.
	HashedAt uint64
	// Agents are those that are connected to it on record.
	Agents int
}

// Cluster tells who is in the cluster. It answers also without a majority, and
// says so.
func (o *Orchestrator) Cluster(ctx context.Context) ClusterView {
	v := ClusterView{Self: o.cfg.Replica, Alarms: o.Alarms()}
	ctx, cancel := context.WithTimeout(ctx, viewWait)
	defer cancel()
	v.Stale = o.Barrier(ctx) != nil
	var raft Membership
	known := false
	if c := o.cfg.Cluster; c != nil {
		v.Leader, v.Term, _ = c.Leader()
		if m, err := c.Members(ctx); err == nil {
			raft, known = m, true
		}
		v.Stale = v.Stale || !known
	} else {
		v.Term, _, _ = o.cfg.Log.Leading()
		v.Leader, known = o.cfg.Replica, true
		raft.Voters = []uint64{o.cfg.Replica}
	}
	v.Head, v.HeadHash = o.cfg.Log.Head()
	if z, held, err := o.Sizes(); err == nil {
		v.Log, v.HeldBy = &z, held
	}
	o.View(func(s *engine.State) {
		v.ClusterID, v.Epoch, v.Folded = s.ClusterID, s.Epoch, s.Index
		agents := s.ConnectedAgents()
		for _, id := range slices.Concat(s.Members(), s.FormerMembers()) {
			m := viewMember(s.Member(id), agents[id])
			if m.Removed == "" {
				m.Role = role(id, v.Leader, raft, known)
			}
			v.Members = append(v.Members, m)
		}
	})
	return v
}

func viewMember(m *engine.Member, agents int) MemberView {
	return MemberView{
		Replica: m.Replica, Name: m.Name, RaftAddress: m.RaftAddress, AgentAddress: m.AgentAddress, APIAddress: m.APIAddress,
		Role: RoleRemoved, JoinedAt: m.JoinedAt, Removed: m.Removed, HashedAt: m.Hashed.At, Agents: agents,
	}
}

func role(id, leader uint64, raft Membership, known bool) string {
	switch {
	case id == leader:
		return RoleLeader
	case !known:
		return RoleUnknown
	case slices.Contains(raft.Voters, id):
		return RoleVoter
	case slices.Contains(raft.Learners, id):
		return RoleLearner
	}
	return RoleJoining
}

// ReadOnly says why nothing can be recorded through this orchestrator although a
// majority may be up, or is empty.
func (o *Orchestrator) ReadOnly() string {
	if o.cfg.Cluster == nil {
		return ""
	}
	for _, a := range o.cfg.Cluster.Alarms() {
		if a.Code == AlarmReadOnly {
			return a.Text
		}
	}
	return ""
}
