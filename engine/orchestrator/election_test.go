package orchestrator_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
)

// A request that meets an election waits for its end.
func TestRequestsWaitThroughElections(t *testing.T) {
	s, r := three(t)
	run := runOf(t, r[1].o, "first")
	var planID string
	r[1].o.View(func(s *engine.State) { planID = s.Run(run).PlanID })
	s.elect(0)
	refused := make(chan struct{})
	r[2].set(func(r *replica) {
		r.before = func([]eventlog.Entry) {
			select {
			case refused <- struct{}{}:
			default:
			}
		}
	})
	type created struct {
		run uint64
		err error
	}
	answer := make(chan created, 1)
	go func() {
		run, err := r[2].o.CreateRun(context.Background(), orchestrator.RunRequest{PlanID: planID, RequestID: "during"})
		answer <- created{run, err}
	}()
	select { // until it was turned away once, or waits for a majority before that
	case <-refused:
	case <-time.After(100 * time.Millisecond):
	}
	s.elect(3)
	if got := <-answer; got.err != nil || got.run != 2 {
		t.Errorf("run %d, %v", got.run, got.err)
	}
	until(t, r[1].o, "the end of both runs", func(s *engine.State) bool {
		return len(s.Runs) == 2 && s.Run(1).Outcome != 0 && s.Run(2).Outcome != 0
	})
	// It does not wait longer than its caller does.
	s.elect(0)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := r[2].o.CreateRun(ctx, orchestrator.RunRequest{PlanID: planID, RequestID: "never"})
	wantCode(t, err, orchestrator.Unavailable, "not known whether")
	if !errors.Is(err, errCut) {
		t.Errorf("the cause is lost: %v", err)
	}
}

// A command whose append is ambiguous, through one orchestrator or through
// several, takes effect once.
func TestAmbiguousCommands(t *testing.T) {
	_, r := three(t)
	run := runOf(t, r[1].o, "first")
	var planID string
	r[1].o.View(func(s *engine.State) { planID = s.Run(run).PlanID })
	for i, m := range r[1:] {
		m.set(func(r *replica) { r.ambiguous = 1 + i })
		got, err := m.o.CreateRun(t.Context(), orchestrator.RunRequest{PlanID: planID, RequestID: "again"})
		if err != nil || got != 2 {
			t.Errorf("through %d: run %d, %v", m.id, got, err)
		}
		m.set(func(r *replica) { r.ambiguous, r.lost = 1, 1 })
		if _, _, err := m.o.CreateOperator(t.Context(), "ann", 0, "test"); err != nil {
			t.Errorf("operator through %d: %v", m.id, err)
		}
	}
	r[1].o.View(func(s *engine.State) {
		if len(s.Runs) != 2 {
			t.Errorf("%d runs", len(s.Runs))
		}
	})
}

// What was done through one orchestrator counts at once in another, though that
// one has yet to read it.
func TestCommandsOfOneThatLags(t *testing.T) {
	s, r := three(t)
	s.elect(0) // nobody ends the run
	head, _ := s.log.Head()
	r[2].set(func(r *replica) { r.lag = head })
	s.elect(3)
	s.replicas[3].stale = false
	run := runOf(t, r[1].o, "first")
	err := r[2].o.Cancel(t.Context(), run, orchestrator.Change{RequestID: "cancel", By: "ann"})
	var refused *orchestrator.Error
	if err != nil && (!errors.As(err, &refused) || refused.Code != orchestrator.Conflict) {
		t.Errorf("cancel: %v", err) // the leader may have ended it by now: a conflict says so
	}
	head, _ = s.log.Head()
	r[2].set(func(r *replica) { r.lag = head })
	token, _, err := r[1].o.CreateToken(t.Context(), orchestrator.TokenRequest{Role: "orchestrator"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r[2].o.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	r[2].o.View(func(st *engine.State) {
		if now, _ := s.log.Head(); st.Index < now {
			t.Errorf("folded %d of %d behind a barrier for %.10s", st.Index, now, token)
		}
	})
	r[2].set(func(r *replica) { r.cut = true })
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	wantCode(t, r[2].o.Barrier(ctx), orchestrator.Unavailable, "no majority")
}

// The establishment of a leader that was deposed lands late, behind that of the
// one that leads: scheduling goes on.
func TestLateEstablishment(t *testing.T) {
	s, r := three(t)
	s.elect(2)
	until(t, r[2].o, "the epoch", func(s *engine.State) bool { return s.Leader == 2 })
	if _, _, err := r[1].o.Propose(t.Context(), &eventlog.LeaderEstablished{Replica: 1, Version: "late"}); err != nil {
		t.Fatal(err)
	}
	run := runOf(t, r[3].o, "one")
	until(t, r[3].o, "the end of the run", func(s *engine.State) bool { return s.Run(run).Outcome != 0 })
}

// Two that both believe that they lead do no harm, and no work twice.
func TestTwoLeaders(t *testing.T) {
	s, r := three(t)
	r[2].set(func(r *replica) { r.stale = true })
	s.elect(1)
	var runs []uint64
	for _, id := range []string{"a", "b", "c", "d"} {
		runs = append(runs, runOf(t, r[3].o, id))
	}
	for _, run := range runs {
		until(t, r[3].o, "the end of the runs", func(s *engine.State) bool { return s.Run(run).Outcome == eventlog.Succeeded })
	}
}

// A cancel that lands between a decision and its record makes the whole batch
// void. The leader decides again, though nothing else ever happens.
func TestDecisionOvertakenByCancel(t *testing.T) {
	log := newElectable(t)
	o := start(t, log, nil)
	run := runOf(t, o, "one")
	overtaken := &overtaking{electable: log, run: run}
	ctx, cancel := context.WithCancel(t.Context())
	blobs, err := eventlog.OpenBlobs(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	leader, err := orchestrator.New(orchestrator.Config{Log: overtaken, Blobs: blobs, CA: o.CA(), Replica: 1, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- leader.Run(ctx) }()
	until(t, leader, "the end of the run", func(s *engine.State) bool { return s.Run(run) != nil && s.Run(run).Outcome == eventlog.Cancelled })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// overtaking is a log that leads, and on which the run is cancelled right before
// its first task is recorded.
type overtaking struct {
	*electable
	run uint64
}

func (l *overtaking) Leading() (uint64, bool, <-chan struct{}) {
	_, _, changed := l.electable.Leading()
	return 1, true, changed
}

func (l *overtaking) Append(ctx context.Context, entries []eventlog.Entry) (uint64, error) {
	for _, e := range entries {
		if e.Kind != eventlog.KindTaskRecorded {
			continue
		}
		cancel, err := eventlog.NewEntry(1, &eventlog.RunCancelled{Run: l.run, RequestID: "cancel"})
		if err != nil {
			return 0, err
		}
		if _, err := l.Memory.Append(ctx, []eventlog.Entry{cancel}); err != nil {
			return 0, err
		}
	}
	return l.electable.Append(ctx, entries)
}

// A replica that a majority contradicts stops for good, and the others go on.
func TestOddReplicaHalts(t *testing.T) {
	s, r := three(t)
	head, _ := s.log.Head()
	r[2].set(func(r *replica) { r.forked = head + 1 })
	batch := make([]eventlog.Event, 128)
	for i := range batch {
		batch[i] = &eventlog.AgentApproved{Agent: 99}
	}
	for head < 2*engine.HashEvery {
		indexes, _, err := r[1].o.Propose(t.Context(), batch...)
		if err != nil {
			t.Fatal(err)
		}
		head = indexes[len(indexes)-1]
	}
	r[2].wantEnd(t, orchestrator.ErrDiffers)
	s.mu.Lock()
	halted := [4]string{1: r[1].halted, 2: r[2].halted, 3: r[3].halted}
	s.mu.Unlock()
	if halted[1] != "" || halted[3] != "" || !strings.Contains(halted[2], "orchestrator 2 differs") || !strings.Contains(halted[2], "chain") {
		t.Errorf("halted: %q", halted)
	}
	until(t, r[3].o, "the hashes of both", func(s *engine.State) bool {
		return s.Member(1).Hashed.At > 0 && s.Member(1).Hashed.Chain == s.Member(3).Hashed.Chain
	})
	// One that starts again on the same files finds out again, from the log alone.
	forked := r[2].forked
	again := s.start(2, func(cfg *orchestrator.Config) { cfg.Cluster.(*replica).forked = forked })
	again.wantEnd(t, orchestrator.ErrDiffers)
}
