package orchestrator_test

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"quorate/engine"
	"quorate/engine/orchestrator"
	"quorate/engine/peer"
	"quorate/eventlog"
	"quorate/internal/job"
	"quorate/planner"
)

// reachable are peers that hold every blob, and may be down.
type reachable struct {
	mu   sync.Mutex
	down map[uint64]bool
}

func (p *reachable) set(id uint64, down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down[id] = down
}

func (p *reachable) Replicate(context.Context, []string) error { return nil }
func (p *reachable) Fetch(context.Context, string) error       { return errCut }
func (p *reachable) Reach(_ context.Context, id uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down[id] {
		return errCut
	}
	return nil
}

// mesh connects the orchestrators of a test with the real protocol of blobs.
type mesh struct {
	t       *testing.T
	ctx     context.Context
	mu      sync.Mutex
	blobs   map[uint64]*peer.Blobs
	down    map[uint64]bool
	serving sync.WaitGroup
}

func newMesh(t *testing.T) *mesh {
	ctx, cancel := context.WithCancel(context.Background())
	m := &mesh{t: t, ctx: ctx, blobs: map[uint64]*peer.Blobs{}, down: map[uint64]bool{}}
	t.TempDir() // directories asked for from now on outlive the cleanup below, which ends their writers
	t.Cleanup(func() {
		cancel()
		m.serving.Wait()
	})
	return m
}

func (m *mesh) set(id uint64, down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down[id] = down
}

// with is for the configuration of an orchestrator.
func (m *mesh) with(cfg *orchestrator.Config) {
	self, log := cfg.Replica, cfg.Cluster.(*replica)
	b := peer.NewBlobs(peer.BlobsConfig{
		Blobs: cfg.Blobs, Self: self, Members: log.voters,
		Dial: func(_ context.Context, to uint64) (net.Conn, error) { return m.dial(self, to) },
	})
	m.mu.Lock()
	m.blobs[self] = b
	m.mu.Unlock()
	cfg.Peers = b
}

func (m *mesh) dial(from, to uint64) (net.Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down[to] || m.down[from] || m.blobs[to] == nil {
		return nil, errCut
	}
	ours, theirs := net.Pipe()
	b := m.blobs[to]
	m.serving.Go(func() { b.Serve(m.ctx, theirs, from) })
	return ours, nil
}

// shipping is a plan that ships a file, both uploaded to the orchestrator.
func shipping(t *testing.T, o *orchestrator.Orchestrator, name string) (planID, file string) {
	t.Helper()
	content := strings.Repeat(name, 10_000)
	file, err := o.Blobs().PutBytes([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	p := &planner.Plan{Format: planner.FormatVersion, PlannerVersion: "test", Hosts: []string{"n1"}, HostSets: [][]uint32{{0}}}
	p.Tasks = []planner.Task{{ID: "svc-" + name, Service: "svc", Name: name, Driver: planner.DriverDirectord, Jobs: []planner.Job{
		{Spec: job.Job{Verb: "ADD", Text: name, Fingerprint: strings.Repeat("0", 56), Files: []job.File{{Name: "f", Digest: file}}}},
	}}}
	if planID, err = o.Blobs().PutBytes(p.Encode()); err != nil {
		t.Fatal(err)
	}
	return planID, file
}

func (r *replica) holds(digests ...string) bool {
	for _, d := range digests {
		if r.o.Blobs().Check(d) != nil {
			return false
		}
	}
	return true
}

// Before a plan is on record a majority has all of its blobs; the others, and
// those who join later, get them by themselves.
func TestPlansSurviveTheirUploader(t *testing.T) {
	m := newMesh(t)
	s, r := three(t, m.with)
	m.set(3, true)
	planID, file := shipping(t, r[1].o, "a")
	r[1].set(func(r1 *replica) {
		r1.before = func(entries []eventlog.Entry) {
			if entries[0].Kind == eventlog.KindPlanRecorded && !r[2].holds(planID, file) {
				t.Error("the plan is proposed before a majority has its blobs")
			}
		}
	})
	if err := r[1].o.RecordPlan(t.Context(), planID, "test"); err != nil {
		t.Fatal(err)
	}
	m.set(3, false)
	eventually(t, "the one that was down to catch up", func() bool { return r[3].holds(planID, file) })
	four := r[2].join(t, 4, m.with)
	eventually(t, "the one that joined to catch up", func() bool { return four.holds(planID, file) })
	s.wantVoters(t, 1, 2, 3, 4)

	// Without a majority nothing is put on record.
	m.set(2, true)
	m.set(3, true)
	m.set(4, true)
	lost, _ := shipping(t, r[1].o, "b")
	err := r[1].o.RecordPlan(t.Context(), lost, "test")
	wantCode(t, err, orchestrator.Unavailable, "a majority of 4")
	r[1].o.View(func(s *engine.State) {
		if s.Plans[lost] != nil {
			t.Error("the plan is on record")
		}
	})
	// What was uploaded to one may be recorded through another.
	for id := range uint64(5) {
		m.set(id, false)
	}
	if err := r[3].o.RecordPlan(t.Context(), lost, "test"); err != nil {
		t.Error(err)
	}
}

// What is missing or damaged where it is used comes from a peer.
func TestBlobsAreRepairedOnUse(t *testing.T) {
	m := newMesh(t)
	_, r := three(t, m.with)
	planID, file := shipping(t, r[1].o, "a")
	if err := r[1].o.RecordPlan(t.Context(), planID, "test"); err != nil {
		t.Fatal(err)
	}
	for _, m := range r[1:] {
		eventually(t, "all to have the blobs", func() bool { return m.holds(planID, file) })
	}
	path := func(digest string) string {
		f, err := r[2].o.Blobs().Open(digest)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		return f.Name()
	}
	if err := os.WriteFile(path(file), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path(planID)); err != nil {
		t.Fatal(err)
	}
	f, err := r[2].o.OpenBlob(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != 10_000 {
		t.Errorf("opened %v, %v", info, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r[2].o.Plan(planID); err != nil {
		t.Errorf("plan: %v", err)
	}
	if !r[2].holds(planID, file) {
		t.Error("the blobs are not repaired")
	}
	_, err = r[2].o.OpenBlob(t.Context(), strings.Repeat("ab", 32))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a blob that nobody has: %v", err)
	}
	_, err = r[2].o.Plan(strings.Repeat("ab", 32))
	wantCode(t, err, orchestrator.NotFound, "no blob of plan")
}
