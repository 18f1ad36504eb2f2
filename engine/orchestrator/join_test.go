package orchestrator_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
)

func wantCode(t *testing.T, err error, code orchestrator.Code, want string) {
	t.Helper()
	var refused *orchestrator.Error
	if !errors.As(err, &refused) || refused.Code != code || !strings.Contains(refused.Message, want) {
		t.Errorf("got %v, want %s: %q", err, code, want)
	}
}

// A joiner that lost the answer asks again, anybody, and is the same member; so
// do many at once.
func TestJoinAgain(t *testing.T) {
	s, r := three(t)
	req := request(t, r[1].secret(t), 4)
	r[3].set(func(r *replica) { r.ambiguous = 1 })
	first, err := r[3].o.Join(t.Context(), req)
	if err != nil || first.Replica != 4 || string(first.Files["ca.key"]) != "key" || first.Members[4] != "e:7" || len(first.Members) != 4 {
		t.Fatalf("joined: %+v, %v", first, err)
	}
	for _, m := range r[1:] {
		if again, err := m.o.Join(t.Context(), req); err != nil || again.Replica != 4 {
			t.Errorf("again: %+v, %v", again, err)
		}
	}
	if head, _ := s.log.Head(); head == 0 {
		t.Fatal("nothing was written")
	}
	other := request(t, req.Secret, 5)
	_, err = r[1].o.Join(t.Context(), other)
	wantCode(t, err, orchestrator.Unauthorized, "has been used")
	stolen := req
	stolen.Secret = r[1].secret(t)
	_, err = r[2].o.Join(t.Context(), stolen)
	wantCode(t, err, orchestrator.Conflict, "used by another")
	if err := r[1].o.RemoveMember(t.Context(), 4, "ann", "", "gone"); err != nil {
		t.Fatal(err)
	}
	_, err = r[2].o.Join(t.Context(), req)
	wantCode(t, err, orchestrator.Conflict, "no member any more")
}

// A spent token gives out the cluster's keys no longer than a joiner can need them.
func TestJoinAgainEnds(t *testing.T) {
	var fast atomic.Int64
	s, r := three(t, func(cfg *orchestrator.Config) {
		cfg.Now = func() time.Time { return time.Now().Add(time.Duration(fast.Load())) }
	})
	req, slow := request(t, r[1].secret(t), 4), request(t, r[1].secret(t), 5)
	for _, q := range []orchestrator.JoinRequest{req, slow} {
		if _, err := r[1].o.Join(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	fast.Store(int64(2 * time.Hour))
	_, err := r[2].o.Join(t.Context(), slow)
	wantCode(t, err, orchestrator.Unauthorized, "expired")
	fast.Store(0)
	eventually(t, "a vote for 4", func() bool {
		if err := r[1].Promote(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return slices.Contains(s.members.Voters, 4)
	})
	for _, m := range r[1:] {
		_, err := m.o.Join(t.Context(), req)
		wantCode(t, err, orchestrator.Conflict, "has joined with this token")
	}
}

// Those who join at once, through several members, get numbers of their own.
func TestJoinRaces(t *testing.T) {
	_, r := three(t)
	var requests []orchestrator.JoinRequest
	for id := uint64(4); id < 9; id++ {
		requests = append(requests, request(t, r[1].secret(t), id))
	}
	var mu sync.Mutex
	numbers := map[string][]uint64{}
	var wait sync.WaitGroup
	for i, req := range requests {
		for _, m := range []*replica{r[1+i%3], r[1+(i+1)%3]} { // each asks two at once
			wait.Go(func() {
				answer, err := m.o.Join(t.Context(), req)
				if err != nil {
					t.Errorf("%s: %v", req.Name, err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				numbers[req.Name] = append(numbers[req.Name], answer.Replica)
			})
		}
	}
	wait.Wait()
	var all []uint64
	for name, n := range numbers {
		if len(n) != 2 || n[0] != n[1] {
			t.Errorf("%s is %v", name, n)
			continue
		}
		all = append(all, n[0])
	}
	slices.Sort(all)
	if !slices.Equal(all, []uint64{4, 5, 6, 7, 8}) {
		t.Errorf("numbers %v", all)
	}
}

func TestJoinsRefused(t *testing.T) {
	_, r := three(t)
	secret := r[1].secret(t)
	token, _, err := r[1].o.CreateToken(t.Context(), orchestrator.TokenRequest{Name: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	agents := strings.Split(token, ".")[2]
	for name, tc := range map[string]struct {
		spoil func(*orchestrator.JoinRequest)
		code  orchestrator.Code
		want  string
	}{
		"no token":            {func(q *orchestrator.JoinRequest) { q.Secret = "" }, orchestrator.Unauthorized, "token is needed"},
		"an unknown token":    {func(q *orchestrator.JoinRequest) { q.Secret = "nobody's" }, orchestrator.Unauthorized, "not one of this cluster's"},
		"an agent's token":    {func(q *orchestrator.JoinRequest) { q.Secret = agents }, orchestrator.Unauthorized, "for orchestrators"},
		"no request id":       {func(q *orchestrator.JoinRequest) { q.RequestID = "" }, orchestrator.Invalid, "request id"},
		"a name":              {func(q *orchestrator.JoinRequest) { q.Name = "a b" }, orchestrator.Invalid, "name"},
		"no address":          {func(q *orchestrator.JoinRequest) { q.RaftAddress = "" }, orchestrator.Invalid, "raft address"},
		"no port":             {func(q *orchestrator.JoinRequest) { q.RaftAddress = "a" }, orchestrator.Invalid, "host:port"},
		"no host":             {func(q *orchestrator.JoinRequest) { q.AgentAddress = ":7" }, orchestrator.Invalid, "--advertise"},
		"every host":          {func(q *orchestrator.JoinRequest) { q.APIAddress = "[::]:7" }, orchestrator.Invalid, "--advertise"},
		"port 0":              {func(q *orchestrator.JoinRequest) { q.RaftAddress = "a:0" }, orchestrator.Invalid, "port"},
		"another's address":   {func(q *orchestrator.JoinRequest) { q.RaftAddress = "c:7" }, orchestrator.Conflict, "orchestrator 2 has the address"},
		"replaces none there": {func(q *orchestrator.JoinRequest) { q.Replaces = 9 }, orchestrator.Conflict, "no member"},
	} {
		t.Run(name, func(t *testing.T) {
			req := request(t, secret, 4)
			tc.spoil(&req)
			_, err := r[2].o.Join(t.Context(), req)
			wantCode(t, err, tc.code, tc.want)
			if err != nil && req.Secret != "" && strings.Contains(err.Error(), req.Secret) {
				t.Errorf("the error tells the secret: %v", err)
			}
		})
	}
	if _, err := r[2].o.Join(t.Context(), request(t, secret, 4)); err != nil {
		t.Errorf("the token was spent by what was refused: %v", err)
	}
}

// A clock that was set years ahead for a moment, and with it the log's for good,
// leaves tokens as good as ever, and no better.
func TestJoinAfterAWrongClock(t *testing.T) {
	var fast atomic.Int64
	_, r := three(t, func(cfg *orchestrator.Config) {
		cfg.Now = func() time.Time { return time.Now().Add(time.Duration(fast.Load())) }
	})
	fast.Store(int64(10 * 365 * 24 * time.Hour))
	r[1].secret(t)
	fast.Store(0)
	if _, err := r[1].o.Join(t.Context(), request(t, r[1].secret(t), 4)); err != nil {
		t.Errorf("with a token of after that: %v", err)
	}
	old := r[1].secret(t)
	fast.Store(int64(2 * time.Hour))
	_, err := r[1].o.Join(t.Context(), request(t, old, 5))
	wantCode(t, err, orchestrator.Unauthorized, "expired")
}

// A token is good for a while, and those without one cannot make the cluster
// answer as often as they like.
func TestJoinTime(t *testing.T) {
	now := time.Now()
	_, r := three(t, func(cfg *orchestrator.Config) { cfg.Now = func() time.Time { return now } })
	secret := r[1].secret(t)
	now = now.Add(2 * time.Hour)
	_, err := r[1].o.Join(t.Context(), request(t, secret, 4))
	wantCode(t, err, orchestrator.Unauthorized, "expired")
	for range 100 {
		_, err = r[1].o.Join(t.Context(), request(t, "nobody's", 4))
	}
	wantCode(t, err, orchestrator.Unavailable, "too many")
	if _, err := r[1].o.Join(t.Context(), request(t, r[1].secret(t), 4)); err != nil {
		t.Errorf("one with a token: %v", err)
	}
	now = now.Add(2 * time.Minute)
	_, err = r[1].o.Join(t.Context(), request(t, "nobody's", 4))
	wantCode(t, err, orchestrator.Unauthorized, "not one of this cluster's")
}

// A member may leave only where those who stay can go on.
func TestRemovalNeedsTheRest(t *testing.T) {
	there := &reachable{down: map[uint64]bool{}}
	_, r := three(t, func(cfg *orchestrator.Config) { cfg.Peers = there })
	there.set(3, true)
	err := r[1].o.RemoveMember(t.Context(), 2, "ann", "", "a")
	wantCode(t, err, orchestrator.Conflict, "only 1 of 2 would be there")
	req := request(t, r[1].secret(t), 4)
	req.Replaces = 2
	_, err = r[1].o.Join(t.Context(), req)
	wantCode(t, err, orchestrator.Conflict, "only 1 of 2 would be there")
	if err := r[1].o.ForceRemoveMember(t.Context(), 2, "ann", "", "b"); err != nil {
		t.Errorf("forced: %v", err)
	}
	r[2].wantEnd(t, orchestrator.ErrRemoved)
	if err := r[1].o.RemoveMember(t.Context(), 3, "ann", "", "c"); err != nil {
		t.Errorf("the one that is down: %v", err)
	}
	r[3].wantEnd(t, orchestrator.ErrRemoved)
	wantCode(t, r[1].o.RemoveMember(t.Context(), 1, "ann", "", "d"), orchestrator.Conflict, "the only one")
}

// A member that was removed, and that Raft has yet to let go, is none of the rest.
func TestRemovalDoesNotCountOnWhoLeaves(t *testing.T) {
	there := &reachable{down: map[uint64]bool{}}
	s, r := three(t, func(cfg *orchestrator.Config) { cfg.Peers = there })
	r[1].join(t, 4)
	s.wantVoters(t, 1, 2, 3, 4)
	if err := r[1].o.RemoveMember(t.Context(), 2, "ann", "", "a"); err != nil {
		t.Fatal(err)
	}
	r[2].wantEnd(t, orchestrator.ErrRemoved)
	s.wantVoters(t, 1, 3, 4)
	s.mu.Lock()
	s.members.Voters = []uint64{1, 2, 3, 4}
	s.mu.Unlock()
	there.set(4, true)
	err := r[1].o.RemoveMember(t.Context(), 3, "ann", "", "b")
	wantCode(t, err, orchestrator.Conflict, "only 1 of 2 would be there")
}

// Tokens for orchestrators are made where one can join.
func TestOrchestratorTokens(t *testing.T) {
	_, r := three(t)
	for _, req := range []orchestrator.TokenRequest{
		{Role: "orchestrator", Name: "n1"}, {Role: "orchestrator", Labels: []string{"x"}}, {Role: "orchestrator", AutoApprove: true},
	} {
		_, _, err := r[1].o.CreateToken(t.Context(), req)
		wantCode(t, err, orchestrator.Invalid, "has no name")
	}
	r[2].set(func(r *replica) { r.ambiguous = 2 })
	r[2].secret(t)
	r[2].o.View(func(s *engine.State) {
		made := 0
		for _, token := range s.Tokens {
			if token.Role == "orchestrator" && token.SpentBy == 0 {
				made++
			}
		}
		if made != 1 {
			t.Errorf("%d tokens were made", made)
		}
	})
	log := eventlog.NewMemory()
	t.Cleanup(func() { log.Close() })
	_, _, err := start(t, log, nil).CreateToken(t.Context(), orchestrator.TokenRequest{Role: "orchestrator"})
	wantCode(t, err, orchestrator.Conflict, "not one that others can join")
}
