package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"quorate/engine"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
	"quorate/internal/job"
	"quorate/internal/pki"
	"quorate/planner"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// electable is a log in memory whose leadership a test decides.
type electable struct {
	*eventlog.Memory

	mu      sync.Mutex
	term    uint64
	leads   bool
	changed chan struct{}
	refuse  error // what appends fail with
	appends int
}

func newElectable(t *testing.T) *electable {
	e := &electable{Memory: eventlog.NewMemory(), changed: make(chan struct{})}
	t.Cleanup(func() { e.Close() })
	return e
}

func (e *electable) Leading() (uint64, bool, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.term, e.leads, e.changed
}

func (e *electable) elect(leads bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.term++
	e.leads = leads
	close(e.changed)
	e.changed = make(chan struct{})
}

func (e *electable) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refuse = err
}

// tries counts the appends, those that failed as well.
func (e *electable) tries() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.appends
}

func (e *electable) Append(ctx context.Context, entries []eventlog.Entry) (uint64, error) {
	e.mu.Lock()
	err := e.refuse
	e.appends++
	e.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return e.Memory.Append(ctx, entries)
}

func start(t *testing.T, log engine.Log, verbs job.Lookup) *orchestrator.Orchestrator {
	t.Helper()
	ca, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := eventlog.OpenBlobs(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	o, err := orchestrator.New(orchestrator.Config{Log: log, Blobs: blobs, CA: ca, Replica: 1, Version: "test", Verbs: verbs})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return o
}

func until(t *testing.T, o *orchestrator.Orchestrator, what string, holds func(*engine.State) bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		_, changed := o.Watch()
		ok := false
		o.View(func(s *engine.State) { ok = holds(s) })
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("waited for %s", what)
		}
	}
}

// runOf puts a run of one message on record, which a leader ends by itself.
func runOf(t *testing.T, o *orchestrator.Orchestrator, requestID string) uint64 {
	t.Helper()
	p := &planner.Plan{Format: planner.FormatVersion, PlannerVersion: "test", HostSets: [][]uint32{nil}, Tasks: []planner.Task{
		{ID: "svc-a", Service: "svc", Name: "a", Driver: planner.DriverPrint, Messages: []string{"hello"}},
	}}
	id, err := o.Blobs().PutBytes(p.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if err := o.RecordPlan(t.Context(), id, "test"); err != nil {
		t.Fatal(err)
	}
	run, err := o.CreateRun(t.Context(), orchestrator.RunRequest{PlanID: id, RequestID: requestID})
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// kinds are those of the records, but for checkpoints, which come when they come.
func kinds(t *testing.T, log engine.Log) string {
	t.Helper()
	records, err := log.Read(t.Context(), 1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, rec := range records {
		if rec.Kind != eventlog.KindCheckpointSigned {
			names = append(names, rec.Kind.String())
		}
	}
	return strings.Join(names, " ")
}

// A replica that does not lead schedules nothing; one that is elected names the
// cluster, and puts its epoch behind what there is, and only then decides.
func TestLeadership(t *testing.T) {
	log := newElectable(t)
	o := start(t, log, nil)
	if err := o.Ready(); err == nil {
		t.Error("ready without a leader")
	}
	run := runOf(t, o, "one")
	if got, want := kinds(t, log), "plan_recorded run_created"; got != want {
		t.Fatalf("without a leader: %s, want %s", got, want)
	}
	log.elect(true)
	until(t, o, "the end of the run", func(s *engine.State) bool { return s.Run(run).Outcome != 0 })
	want := "plan_recorded run_created cluster_created leader_established task_recorded run_ended"
	if got := kinds(t, log); got != want {
		t.Errorf("records %s, want %s", got, want)
	}
	if err := o.Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
	log.elect(false)
	second := runOf(t, o, "two")
	log.elect(true)
	until(t, o, "the end of the second run", func(s *engine.State) bool { return s.Run(second).Outcome != 0 })
	want += " run_created leader_established task_recorded run_ended"
	if got := kinds(t, log); got != want {
		t.Errorf("records %s, want %s", got, want)
	}
}

// An empty log begins with the cluster's id.
func TestFounding(t *testing.T) {
	log := newElectable(t)
	log.elect(true)
	o := start(t, log, nil)
	until(t, o, "the epoch", func(s *engine.State) bool { return s.Epoch != 0 })
	if got, want := kinds(t, log), "cluster_created leader_established"; got != want {
		t.Errorf("records %s, want %s", got, want)
	}
	o.View(func(s *engine.State) {
		if s.ClusterID != o.CA().ClusterID() {
			t.Errorf("cluster %s, want %s", s.ClusterID, o.CA().ClusterID())
		}
	})
}

// Once another leader has established itself, this one decides no more in its own
// epoch. Where it goes on being told that it leads, it begins another one.
func TestLaterEpochWins(t *testing.T) {
	log := newElectable(t)
	log.elect(true)
	o := start(t, log, nil)
	until(t, o, "the epoch", func(s *engine.State) bool { return s.Epoch != 0 })
	if _, _, err := o.Propose(t.Context(), &eventlog.LeaderEstablished{Replica: 2, Version: "test"}); err != nil {
		t.Fatal(err)
	}
	run := runOf(t, o, "one")
	until(t, o, "the end of the run", func(s *engine.State) bool { return s.Run(run).Outcome != 0 })
	got := kinds(t, log)
	epochs := strings.Split(got, "leader_established")
	if len(epochs) != 4 || strings.Contains(epochs[1]+epochs[2], "task_recorded") || !strings.HasSuffix(got, "task_recorded run_ended") {
		t.Errorf("records %s: want three epochs, and only the last to schedule", got)
	}
}

// A log that refuses for a while holds the leader up and no longer.
func TestRefusedAppends(t *testing.T) {
	log := newElectable(t)
	o := start(t, log, nil)
	run := runOf(t, o, "one")
	log.fail(fmt.Errorf("disk full: %w", eventlog.ErrRefused))
	log.elect(true)
	_, _, err := o.Propose(t.Context(), &eventlog.AgentApproved{Agent: 1})
	var refused *orchestrator.Error
	if !errors.As(err, &refused) || refused.Code != orchestrator.Unavailable || !errors.Is(err, eventlog.ErrRefused) {
		t.Errorf("refused append: %v", err)
	}
	log.fail(errors.New("timed out"))
	if _, _, err = o.Propose(t.Context(), &eventlog.AgentApproved{Agent: 1}); err == nil || !strings.Contains(err.Error(), "not known") {
		t.Errorf("ambiguous append: %v", err)
	}
	log.fail(nil)
	until(t, o, "the end of the run", func(s *engine.State) bool { return s.Run(run).Outcome != 0 })
}

// A log of another cluster than the authority's is not served.
func TestForeignLog(t *testing.T) {
	log := newElectable(t)
	entry, err := eventlog.NewEntry(1, &eventlog.ClusterCreated{ClusterID: strings.Repeat("ab", 16)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Memory.Append(t.Context(), []eventlog.Entry{entry}); err != nil {
		t.Fatal(err)
	}
	ca, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := eventlog.OpenBlobs(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o, err := orchestrator.New(orchestrator.Config{Log: log, Blobs: blobs, CA: ca, Replica: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "different data directories") {
		t.Errorf("run: %v", err)
	}
}

// The cluster's id gets on record whatever else was there before the first leader,
// and once.
func TestClusterIsNamedBehindOtherRecords(t *testing.T) {
	t.Parallel()
	log := newElectable(t)
	first, err := eventlog.NewEntry(1, &eventlog.OperatorIssued{Name: "admin", KeyDigest: "k", By: "orchestrator:1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(t.Context(), []eventlog.Entry{first}); err != nil {
		t.Fatal(err)
	}
	o := start(t, log, nil)
	log.elect(true)
	until(t, o, "an epoch", func(s *engine.State) bool { return s.Epoch != 0 })
	var id string
	var before uint64
	o.View(func(s *engine.State) { id, before = s.ClusterID, s.Index })
	if id != o.CA().ClusterID() {
		t.Errorf("the cluster is %q on record", id)
	}
	log.elect(false)
	log.elect(true)
	until(t, o, "another epoch", func(s *engine.State) bool { return s.Epoch > before })
	o.View(func(s *engine.State) {
		if s.Epoch != before+1 {
			t.Errorf("the next epoch is record %d, behind %d", s.Epoch, before)
		}
	})
}
