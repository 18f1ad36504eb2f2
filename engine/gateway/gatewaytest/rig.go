// Package gatewaytest runs an orchestrator with its gateway on a loopback socket,
// and agents that do what a test tells them.
package gatewaytest

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/gateway"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
	"quorate/internal/job"
	"quorate/internal/pki"
	"quorate/planner"
)

// Patience is how long a test waits for what has to come.
const Patience = time.Minute

// A Rig is a running orchestrator with its gateway.
type Rig struct {
	O       *orchestrator.Orchestrator
	Log     engine.Log
	CA      *pki.CA
	Address string // of the gateway
	Socket  *Socket

	requests atomic.Uint64
	stop     func()
	log      *faultyLog
	killed   atomic.Bool
}

// Options of a rig.
type Options struct {
	Log    engine.Log      // nil is a log in memory
	CA     *pki.CA         // nil is a new one
	Blobs  *eventlog.Blobs // nil is a new store
	Verbs  job.Lookup
	Limits gateway.Limits
	// Socket is what the gateway listens on; nil is a new loopback socket.
	Socket net.PacketConn
	// TCP is what the gateway accepts connections over TCP from, or nil.
	TCP net.Listener
	// Replica is the orchestrator's number; 0 is 1. All but the first follow, so
	// that several can share a log.
	Replica uint64
	// BeforeRun is called with the orchestrator before it runs.
	BeforeRun func(*orchestrator.Orchestrator)
}

// Start runs a rig until the test ends, or Stop is called.
func Start(t testing.TB, opt Options) *Rig {
	t.Helper()
	if opt.Log == nil {
		log := eventlog.NewMemory()
		t.Cleanup(func() { log.Close() })
		opt.Log = log
	}
	if opt.CA == nil {
		opt.CA = Must(pki.New())
	}
	if opt.Blobs == nil {
		opt.Blobs = Must(eventlog.OpenBlobs(filepath.Join(t.TempDir(), "blobs")))
	}
	if opt.Socket == nil {
		opt.Socket = Must(net.ListenPacket("udp", "127.0.0.1:0"))
	}
	if opt.Replica == 0 {
		opt.Replica = 1
	}
	fault := &faultyLog{Log: opt.Log, following: opt.Replica > 1, dead: make(chan struct{})}
	o := Must(orchestrator.New(orchestrator.Config{
		Log: fault, Blobs: opt.Blobs, CA: opt.CA, Replica: opt.Replica, Version: "test", Verbs: opt.Verbs,
	}))
	if opt.BeforeRun != nil {
		opt.BeforeRun(o)
	}
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	socket := &Socket{PacketConn: opt.Socket}
	r := &Rig{O: o, Log: opt.Log, CA: opt.CA, Address: opt.Socket.LocalAddr().String(), Socket: socket, log: fault}
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error, 2)
	go func() { failed <- o.Run(ctx) }()
	go func() {
		failed <- gateway.Serve(ctx, gateway.Config{Orchestrator: o, Conn: socket, TCP: opt.TCP, Limits: opt.Limits, Logger: logger})
	}()
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		fault.release()
		cancel()
		for range 2 {
			if err := <-failed; err != nil && !r.killed.Load() && !errors.Is(err, orchestrator.ErrRemoved) {
				t.Errorf("rig stopped: %v", err)
			}
		}
	}
	t.Cleanup(r.stop)
	r.Until(t, "a leader", func(s *engine.State) bool { return s.Epoch != 0 })
	return r
}

// Stop ends the orchestrator and its gateway, as a restart does.
func (r *Rig) Stop() { r.stop() }

// Until waits until a condition on the state holds.
func (r *Rig) Until(t testing.TB, what string, holds func(*engine.State) bool) {
	t.Helper()
	deadline := time.After(Patience)
	for {
		_, changed := r.O.Watch()
		ok := false
		r.O.View(func(s *engine.State) { ok = holds(s) })
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("waited %s for %s", Patience, what)
		}
	}
}

// RequestID returns an id that no other request of the rig has.
func (r *Rig) RequestID() string {
	return "request-" + time.Duration(r.requests.Add(1)).String()
}

// A Task of a test's plan.
type Task struct {
	ID       string
	Driver   planner.Driver // empty is directord
	Hosts    []uint32       // positions; nil is all
	Jobs     int            // RUN jobs
	After    []uint32
	Messages []string
	Files    []job.File // shipped by the first job
	// Idempotent, Always and Partial as in planner.Task.
	Idempotent, Always, Partial bool
}

// Plan makes a plan over hosts and uploads its blob.
func (r *Rig) Plan(t testing.TB, hosts []string, tasks ...Task) *planner.Plan {
	t.Helper()
	p := &planner.Plan{Format: planner.FormatVersion, PlannerVersion: "test", Hosts: hosts}
	set := func(hosts []uint32) uint32 {
		for i, have := range p.HostSets {
			if len(have) == len(hosts) && strings.Compare(string(bytesOf(have)), string(bytesOf(hosts))) == 0 {
				return uint32(i)
			}
		}
		p.HostSets = append(p.HostSets, hosts)
		return uint32(len(p.HostSets) - 1)
	}
	for _, task := range tasks {
		out := planner.Task{
			ID: task.ID, Service: "svc", Name: task.ID, Action: "run", Driver: task.Driver,
			Messages: task.Messages, Idempotent: task.Idempotent, Always: task.Always, Partial: task.Partial,
			Provides: []string{task.ID},
		}
		members := task.Hosts
		if out.Driver == "" {
			out.Driver = planner.DriverDirectord
		}
		if members == nil && out.Driver == planner.DriverDirectord {
			for h := range hosts {
				members = append(members, uint32(h))
			}
		}
		out.HostSet = set(members)
		for _, dep := range task.After {
			out.Requires = append(out.Requires, planner.Dep{Task: dep})
			out.Symbols = append(out.Symbols, p.Tasks[dep].ID)
		}
		slices.Sort(out.Symbols)
		for j := range task.Jobs {
			spec := job.Job{Index: uint32(j), Verb: "RUN", Text: "true", Fingerprint: strings.Repeat("0", 56)}
			if j == 0 {
				spec.Files = task.Files
			}
			out.Jobs = append(out.Jobs, planner.Job{Spec: spec, HostSet: out.HostSet})
		}
		p.Tasks = append(p.Tasks, out)
	}
	if _, err := r.O.Blobs().PutBytes(p.Encode()); err != nil {
		t.Fatal(err)
	}
	return p
}

func bytesOf(set []uint32) (out []byte) {
	for _, v := range set {
		out = append(out, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
	}
	return out
}

// Record puts a plan on record.
func (r *Rig) Record(t testing.TB, p *planner.Plan) {
	t.Helper()
	if err := r.O.RecordPlan(t.Context(), p.ID(), "test"); err != nil {
		t.Fatal(err)
	}
}

// Run records a plan and creates a run of it.
func (r *Rig) Run(t testing.TB, p *planner.Plan) uint64 {
	t.Helper()
	r.Record(t, p)
	id, err := r.O.CreateRun(t.Context(), orchestrator.RunRequest{PlanID: p.ID(), RequestID: r.RequestID(), By: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// UntilEnded waits for the end of a run and returns its status.
func (r *Rig) UntilEnded(t testing.TB, run uint64) (status string) {
	t.Helper()
	r.Until(t, "the end of the run", func(s *engine.State) bool {
		status = s.Run(run).Status()
		return s.Run(run).Outcome != 0
	})
	return status
}

// Replay folds the log anew and compares the state with the live one.
func (r *Rig) Replay(t testing.TB) *engine.State {
	t.Helper()
	s := engine.NewState()
	var want eventlog.Hash
	var end uint64
	r.O.View(func(live *engine.State) { want, end = live.Hash(), live.Index })
	for s.Index < end {
		records, err := r.Log.Read(context.Background(), s.Index+1, int(min(512, end-s.Index)))
		if err != nil || len(records) == 0 {
			t.Fatalf("read behind %d: %d records, %v", s.Index, len(records), err)
		}
		for _, rec := range records {
			if _, err := s.Fold(rec); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := s.Hash(); got != want {
		t.Errorf("replayed state at %d has hash %s, live %s", end, got, want)
	}
	return s
}

// Must returns a value whose error must be nil.
func Must[T any](value T, err error) T {
	if err != nil {
		panic(errors.Join(errors.New("gatewaytest"), err))
	}
	return value
}

// Must2 is Must for two values.
func Must2[A, B any](a A, b B, err error) (A, B) {
	if err != nil {
		panic(errors.Join(errors.New("gatewaytest"), err))
	}
	return a, b
}
