package orchestrator_test

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
	"quorate/internal/pki"
)

var (
	errCut       = errors.New("no majority answers")
	errAmbiguous = errors.New("the leader was lost while it was proposed")
)

// patience bounds what a test waits for.
const patience = time.Minute

// shared is one log in memory that several replicas see, with the membership
// that Raft would keep. A test decides who leads and what fails.
type shared struct {
	t   *testing.T
	log *eventlog.Memory
	ca  *pki.CA

	mu       sync.Mutex
	term     uint64
	leader   uint64
	handed   uint64 // the term that was begun by a transfer last
	members  orchestrator.Membership
	replicas map[uint64]*replica
	// afterChange is called, without the lock, after each change of membership.
	afterChange func(what string)
}

func newShared(t *testing.T) *shared {
	ca, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	s := &shared{t: t, log: eventlog.NewMemory(), ca: ca, replicas: map[uint64]*replica{}}
	s.members.Voters = []uint64{1}
	t.Cleanup(func() { s.log.Close() })
	return s
}

// elect makes a replica lead; 0 is nobody.
func (s *shared) elect(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.term++
	s.leader = id
	for _, r := range s.replicas {
		close(r.changed)
		r.changed = make(chan struct{})
	}
}

func (s *shared) voters() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.members.Voters)
}

// change changes the membership for a caller that is there, and a leader is.
func (s *shared) change(r *replica, what string, f func(m *orchestrator.Membership) error) error {
	s.mu.Lock()
	if s.leader == 0 || r.cut {
		s.mu.Unlock()
		return errCut
	}
	err := f(&s.members)
	after := s.afterChange
	s.mu.Unlock()
	if err == nil && after != nil {
		after(what)
	}
	return err
}

// A replica is one orchestrator's view of the shared log, and its Cluster.
type replica struct {
	*shared
	id      uint64
	changed chan struct{}
	// stale makes it believe that it leads, whoever does.
	stale bool
	cut   bool // off from the others
	// lag hides what is behind the index; 0 hides nothing.
	lag     uint64
	lagging chan struct{} // closed when the lag changes
	// ambiguous appends land and fail all the same; lost ones fail only.
	ambiguous, lost int
	// before is called, without the lock, before each append.
	before func([]eventlog.Entry)
	// forked changes the chain hash from that record on; 0 is none.
	forked uint64
	halted string

	book  map[uint64]string
	o     *orchestrator.Orchestrator
	ended chan error
	stop  context.CancelFunc
}

func (r *replica) set(f func(r *replica)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r)
	close(r.lagging)
	r.lagging = make(chan struct{})
}

func (r *replica) Append(ctx context.Context, entries []eventlog.Entry) (uint64, error) {
	r.mu.Lock()
	before := r.before
	r.mu.Unlock()
	if before != nil {
		before(entries)
	}
	r.mu.Lock()
	ambiguous := r.ambiguous > 0
	switch {
	case r.leader == 0 || r.cut || r.lost > 0:
		r.lost = max(0, r.lost-1)
		r.mu.Unlock()
		return 0, errCut
	case ambiguous:
		r.ambiguous--
	}
	r.mu.Unlock()
	first, err := r.log.Append(ctx, entries)
	if err == nil && ambiguous {
		return 0, errAmbiguous
	}
	return first, err
}

func (r *replica) visible() (lag uint64, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lag, r.lagging
}

func (r *replica) Read(ctx context.Context, from uint64, limit int) ([]eventlog.Record, error) {
	records, err := r.log.Read(ctx, from, limit)
	lag, _ := r.visible()
	for lag != 0 && len(records) > 0 && records[len(records)-1].Index > lag {
		records = records[:len(records)-1]
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range records {
		if r.forked != 0 && records[i].Index >= r.forked {
			records[i].Hash[0] ^= 1
		}
	}
	return records, err
}

func (r *replica) Wait(ctx context.Context, index uint64) error {
	for {
		lag, changed := r.visible()
		if lag == 0 || index <= lag {
			return r.log.Wait(ctx, index)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *replica) Head() (uint64, eventlog.Hash) {
	head, hash := r.log.Head()
	if lag, _ := r.visible(); lag != 0 {
		return min(head, lag), hash
	}
	return head, hash
}

func (r *replica) Tree(size uint64) (*eventlog.Tree, error) { return r.log.Tree(size) }

// Barrier ends a lag, as a read that asks the leader does.
func (r *replica) Barrier(ctx context.Context) error {
	r.mu.Lock()
	cut := r.leader == 0 || r.cut
	r.mu.Unlock()
	if cut {
		return errCut
	}
	r.set(func(r *replica) { r.lag = 0 })
	return ctx.Err()
}

func (r *replica) Leading() (uint64, bool, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.term, r.leader == r.id || r.stale, r.changed
}

func (r *replica) Members(context.Context) (orchestrator.Membership, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leader == 0 || r.cut {
		return orchestrator.Membership{}, errCut
	}
	m := r.members
	m.Voters, m.Learners, m.Removed = slices.Clone(m.Voters), slices.Clone(m.Learners), slices.Clone(m.Removed)
	return m, nil
}

func (r *replica) AddLearner(_ context.Context, id uint64) error {
	return r.change(r, "add", func(m *orchestrator.Membership) error {
		if slices.Contains(m.Removed, id) {
			return errors.New("a number is used once")
		}
		if !slices.Contains(m.Voters, id) && !slices.Contains(m.Learners, id) {
			m.Learners = append(m.Learners, id)
		}
		return nil
	})
}

func (r *replica) Promote(_ context.Context, id uint64) error {
	return r.change(r, "promote", func(m *orchestrator.Membership) error {
		if i := slices.Index(m.Learners, id); i >= 0 {
			m.Learners = slices.Delete(m.Learners, i, i+1)
			m.Voters = append(m.Voters, id)
		}
		return nil
	})
}

func (r *replica) Remove(_ context.Context, id uint64) error {
	return r.change(r, "remove", func(m *orchestrator.Membership) error {
		gone := func(other uint64) bool { return other == id }
		m.Voters, m.Learners = slices.DeleteFunc(m.Voters, gone), slices.DeleteFunc(m.Learners, gone)
		m.Removed = append(m.Removed, id)
		return nil
	})
}

func (r *replica) Transfer(_ context.Context, id uint64) error {
	r.mu.Lock()
	r.handed = r.term + 1
	r.mu.Unlock()
	r.elect(id)
	return nil
}

func (r *replica) Handed(term uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.handed == term
}

func (r *replica) Leader() (uint64, uint64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leader, r.term, r.leader != 0
}

func (r *replica) Halt(reason string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.halted = reason
	return nil
}

func (r *replica) Alarms() []orchestrator.Alarm { return nil }

// start starts an orchestrator on the log.
func (s *shared) start(id uint64, with ...func(*orchestrator.Config)) *replica {
	s.t.Helper()
	r := &replica{shared: s, id: id, changed: make(chan struct{}), lagging: make(chan struct{}), ended: make(chan error, 1)}
	s.mu.Lock()
	s.replicas[id] = r
	s.mu.Unlock()
	blobs, err := eventlog.OpenBlobs(filepath.Join(s.t.TempDir(), "blobs"))
	if err != nil {
		s.t.Fatal(err)
	}
	cfg := orchestrator.Config{
		Log: r, Cluster: r, Blobs: blobs, CA: s.ca, Replica: id, Version: "test", Self: addresses(id),
		Book: func(book map[uint64]string) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if r.book == nil {
				r.book = map[uint64]string{}
			}
			maps.Copy(r.book, book)
			return nil
		},
		Secrets: func() (map[string][]byte, error) { return map[string][]byte{"ca.key": []byte("key")}, nil },
	}
	for _, f := range with {
		f(&cfg)
	}
	if r.o, err = orchestrator.New(cfg); err != nil {
		s.t.Fatal(err)
	}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	go func() { r.ended <- r.o.Run(ctx) }()
	s.t.Cleanup(func() {
		r.stop()
		if err := <-r.ended; err != nil {
			s.t.Errorf("run of %d: %v", id, err)
		}
	})
	return r
}

// wantEnd waits for the end of Run with an error of the kind.
func (r *replica) wantEnd(t *testing.T, want error) {
	t.Helper()
	select {
	case err := <-r.ended:
		if !errors.Is(err, want) {
			t.Fatalf("run of %d ended with %v, want %v", r.id, err, want)
		}
		r.ended <- nil
	case <-time.After(patience):
		t.Fatalf("run of %d goes on", r.id)
	}
}

func addresses(id uint64) eventlog.OrchestratorMoved {
	host := string(rune('a' + id))
	return eventlog.OrchestratorMoved{
		Replica: id, Name: host, RaftAddress: host + ":7", AgentAddress: host + ":8", APIAddress: host + ":9",
	}
}

// request is what the orchestrator of that number shows to join.
func request(t *testing.T, secret string, id uint64) orchestrator.JoinRequest {
	t.Helper()
	a := addresses(id)
	return orchestrator.JoinRequest{
		Secret: secret, RequestID: "join of " + a.Name, Name: a.Name,
		RaftAddress: a.RaftAddress, AgentAddress: a.AgentAddress, APIAddress: a.APIAddress,
	}
}

// secret makes a token for an orchestrator.
func (r *replica) secret(t *testing.T) string {
	t.Helper()
	text, _, err := r.o.CreateToken(t.Context(), orchestrator.TokenRequest{Role: "orchestrator"})
	if err != nil {
		t.Fatal(err)
	}
	token, err := pki.ParseToken(text)
	if err != nil {
		t.Fatal(err)
	}
	return token.Secret
}

// join makes another orchestrator a member, through this one, and starts it.
func (r *replica) join(t *testing.T, id uint64, with ...func(*orchestrator.Config)) *replica {
	t.Helper()
	answer, err := r.o.Join(t.Context(), request(t, r.secret(t), id))
	if err != nil {
		t.Fatal(err)
	}
	if answer.Replica != id {
		t.Fatalf("joined as %d, want %d", answer.Replica, id)
	}
	return r.shared.start(id, with...)
}

// eventually polls, for what no record tells.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited for %s", what)
		}
	}
}

// wantVoters waits until exactly those have a vote, and nobody else waits for one.
func (s *shared) wantVoters(t *testing.T, want ...uint64) {
	t.Helper()
	eventually(t, "the voters", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		got := slices.Sorted(slices.Values(s.members.Voters))
		return slices.Equal(got, want) && len(s.members.Learners) == 0
	})
}

// three returns a cluster of three, all with a vote, in which 1 leads.
func three(t *testing.T, with ...func(*orchestrator.Config)) (*shared, [4]*replica) {
	t.Helper()
	s := newShared(t)
	s.elect(1)
	var r [4]*replica
	r[1] = s.start(1, with...)
	until(t, r[1].o, "the founder on record", func(s *engine.State) bool { return s.IsMember(1) })
	r[2], r[3] = r[1].join(t, 2, with...), r[1].join(t, 3, with...)
	s.wantVoters(t, 1, 2, 3)
	return s, r
}
