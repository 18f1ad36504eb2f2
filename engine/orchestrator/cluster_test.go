package orchestrator_test

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"quorate/engine"
	"quorate/engine/orchestrator"
)

// A founder puts itself on record, those who join get the log, then a vote, and
// all know where the others are.
func TestClusterGrows(t *testing.T) {
	s, r := three(t)
	want := map[uint64]string{1: "b:7", 2: "c:7", 3: "d:7"}
	for _, m := range r[1:] {
		eventually(t, "the address book", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return maps.Equal(m.book, want)
		})
		until(t, m.o, "three members", func(s *engine.State) bool { return len(s.Members()) == 3 })
		m.o.View(func(s *engine.State) {
			if got := s.AgentServers(7); len(got) != 3 {
				t.Errorf("agent servers %v", got)
			}
		})
	}
	view := r[2].o.Cluster(t.Context())
	if view.Stale || view.Leader != 1 || view.Self != 2 || view.ClusterID != s.ca.ClusterID() || len(view.Members) != 3 {
		t.Errorf("view %+v", view)
	}
	for i, role := range []string{orchestrator.RoleLeader, orchestrator.RoleVoter, orchestrator.RoleVoter} {
		if m := view.Members[i]; m.Role != role || m.RaftAddress != want[m.Replica] {
			t.Errorf("member %+v, want %s", m, role)
		}
	}
	r[2].set(func(r *replica) { r.cut = true })
	if view := r[2].o.Cluster(t.Context()); !view.Stale || view.Members[1].Role != orchestrator.RoleUnknown {
		t.Errorf("without a majority: %+v", view)
	}
}

// The leader changes after every single step of making the members those on
// record: the next one goes on.
func TestReconcileSurvivesLeaderChanges(t *testing.T) {
	s, r := three(t)
	next := map[uint64]uint64{1: 2, 2: 3, 3: 1}
	s.mu.Lock()
	steps := 0
	s.afterChange = func(string) {
		s.mu.Lock()
		leader := s.leader
		steps++
		s.mu.Unlock()
		s.elect(0)
		s.elect(next[leader])
	}
	s.mu.Unlock()
	r[2].join(t, 4)
	s.wantVoters(t, 1, 2, 3, 4)
	req := request(t, r[3].secret(t), 5)
	req.Replaces, req.Force = 4, true
	if _, err := r[3].o.Join(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	s.start(5)
	s.wantVoters(t, 1, 2, 3, 5)
	s.replicas[4].wantEnd(t, orchestrator.ErrRemoved)
	s.mu.Lock()
	defer s.mu.Unlock()
	if steps < 5 || !slices.Contains(s.members.Removed, 4) {
		t.Errorf("%d steps led to %+v", steps, s.members)
	}
}

// What a leader before has done late is set right by the one that leads.
func TestReconcileUndoesLateChanges(t *testing.T) {
	s, r := three(t)
	if err := r[1].o.RemoveMember(t.Context(), 3, "ann", "", "remove"); err != nil {
		t.Fatal(err)
	}
	s.wantVoters(t, 1, 2)
	r[3].wantEnd(t, orchestrator.ErrRemoved)
	// Raft would refuse this number; a double that does not shows who looks.
	s.mu.Lock()
	s.members.Removed, s.members.Learners = nil, []uint64{3}
	s.mu.Unlock()
	s.elect(2)
	s.wantVoters(t, 1, 2)
}

// A member that starts elsewhere says so, once.
func TestMemberMoves(t *testing.T) {
	s, r := three(t)
	r[2].stop()
	<-r[2].ended
	r[2].ended <- nil
	there := addresses(2)
	there.RaftAddress, there.Name = "elsewhere:7", "elsewhere"
	s.start(2, func(cfg *orchestrator.Config) { cfg.Self = there })
	until(t, r[1].o, "the move", func(s *engine.State) bool { return s.Member(2).OrchestratorMoved == there })
	eventually(t, "the address book", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return r[1].book[2] == "elsewhere:7"
	})
	s.wantVoters(t, 1, 2, 3)
}

// A removed member ends and says why, also the one that leads.
func TestRemovalOfTheLeader(t *testing.T) {
	s, r := three(t)
	if err := r[2].o.RemoveMember(t.Context(), 1, "ann", "worn out", "request"); err != nil {
		t.Fatal(err)
	}
	if err := r[3].o.RemoveMember(t.Context(), 1, "ann", "worn out", "request"); err != nil {
		t.Errorf("repeated through another: %v", err)
	}
	r[1].wantEnd(t, orchestrator.ErrRemoved)
	s.wantVoters(t, 2, 3)
	var refused *orchestrator.Error
	if err := r[3].o.RemoveMember(t.Context(), 1, "ann", "", "other"); !errors.As(err, &refused) || refused.Code != orchestrator.Conflict {
		t.Errorf("removed twice: %v", err)
	}
	if err := r[3].o.RemoveMember(t.Context(), 9, "ann", "", "none"); !errors.As(err, &refused) || refused.Code != orchestrator.NotFound {
		t.Errorf("removed nobody: %v", err)
	}
	if err := r[3].o.Transfer(t.Context(), 3); err != nil {
		t.Error(err)
	}
	until(t, r[2].o, "the transfer", func(s *engine.State) bool { return s.Leader == 3 })
	if err := r[3].o.Transfer(t.Context(), 1); !errors.As(err, &refused) || refused.Code != orchestrator.NotFound {
		t.Errorf("transfer to one that is gone: %v", err)
	}
}

// The recovered cluster has a member of a new number, and the others are gone.
func TestRecovered(t *testing.T) {
	s, r := three(t)
	for _, m := range r[1:] {
		m.stop()
		<-m.ended
		m.ended <- nil
	}
	s.mu.Lock()
	s.members = orchestrator.Membership{Voters: []uint64{4}}
	s.mu.Unlock()
	s.elect(4)
	four := s.start(4)
	until(t, four.o, "the recovery", func(s *engine.State) bool { return slices.Equal(s.Members(), []uint64{4}) })
	four.o.View(func(s *engine.State) {
		if why := s.Member(2).Removed; why == "" {
			t.Error("a lost member is still one")
		}
	})
	four.join(t, 5)
	s.wantVoters(t, 4, 5)
}

// A replica that is no member does not make itself one where others are.
func TestStrangerThatLeads(t *testing.T) {
	s, r := three(t)
	s.start(9)
	s.elect(9)
	until(t, r[1].o, "the epoch", func(s *engine.State) bool { return s.Leader == 9 })
	s.elect(2)
	until(t, r[1].o, "the epoch", func(s *engine.State) bool { return s.Leader == 2 })
	r[1].o.View(func(s *engine.State) {
		if !slices.Equal(s.Members(), []uint64{1, 2, 3}) {
			t.Errorf("members %v", s.Members())
		}
	})
}
