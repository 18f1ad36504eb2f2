package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/gateway"
	"quorate/engine/gateway/gatewaytest"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
	"quorate/nodeagent"
	"quorate/nodeagent/verb"
)

// A fleet is real agents of a cluster.
type fleet struct {
	names []string
	dirs  []string
	roots []string // where their jobs work
	stop  func()
}

// eager gateways spread their agents at once.
var eager = gateway.Limits{BalanceEvery: 100 * time.Millisecond}

// startFleet runs so many real agents, who know the gateways at these addresses
// until the cluster tells them of others.
func startFleet(t testing.TB, rigs []*gatewaytest.Rig, n int, servers ...string) *fleet {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	f := &fleet{stop: func() { cancel(); running.Wait() }}
	t.Cleanup(f.stop)
	for i := range n {
		name := fmt.Sprintf("n%03d", i)
		f.names = append(f.names, name)
		token, _, err := rigs[0].O.CreateToken(t.Context(), orchestrator.TokenRequest{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		f.dirs = append(f.dirs, dir)
		f.roots = append(f.roots, filepath.Join(dir, "root"))
		running.Go(func() {
			err := nodeagent.Run(ctx, nodeagent.Config{
				Servers: servers, Token: token, DataDir: dir, WorkDir: filepath.Join(dir, "root"), Name: name, Version: "test",
			})
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("agent %s: %v", name, err)
			}
		})
	}
	rigs[0].Until(t, "all agents", func(s *engine.State) bool { return connected(s) == n })
	return f
}

func connected(s *engine.State) (n int) {
	for _, count := range s.ConnectedAgents() {
		n += count
	}
	return n
}

// knowing waits until every agent has the address on disk.
func (f *fleet) knowing(t *testing.T, address string) {
	t.Helper()
	for _, dir := range f.dirs {
		for deadline := time.Now().Add(gatewaytest.Patience); ; runtime.Gosched() {
			text, err := os.ReadFile(filepath.Join(dir, "agent.json"))
			if err == nil && strings.Contains(string(text), strconv.Quote(address)) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s holds %s, %v, want %s", dir, text, err, address)
			}
		}
	}
}

// open lets the jobs go on that wait for the gate.
func (f *fleet) open(t *testing.T) {
	t.Helper()
	for _, root := range f.roots {
		if err := os.WriteFile(filepath.Join(root, "gate"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A gateway that was taken for dead and is not finds its sessions ended on record:
// its agents connect once more, and what they had under way goes on.
func TestTakenForDead(t *testing.T) {
	t.Parallel()
	rigs := gatewaytest.Cluster(t, 2, gatewaytest.Options{Verbs: verb.Lookup})
	f := startFleet(t, rigs, 2, rigs[1].Address)
	run := f.begin(t, rigs[0])
	var gone []eventlog.Event
	rigs[0].O.View(func(s *engine.State) {
		for _, a := range s.Agents {
			gone = append(gone, &eventlog.AgentDisconnected{Agent: a.ID, Session: a.Session, Reason: "orchestrator 2 does not answer"})
		}
	})
	connections := 0
	stop := rigs[0].O.Observe(func(_ *engine.State, _ *eventlog.Record, event eventlog.Event, void string) {
		if _, ok := event.(*eventlog.AgentConnected); ok && void == "" {
			connections++
		}
	}, nil)
	defer stop()
	gatewaytest.Must2(rigs[0].O.Propose(t.Context(), gone...))
	rigs[0].Until(t, "the agents again", func(s *engine.State) bool { return connected(s) == len(f.names) })
	f.open(t)
	if status := rigs[0].UntilEnded(t, run); status != "succeeded" {
		t.Errorf("run is %s", status)
	}
	rigs[0].O.View(func(*engine.State) {
		if connections != len(f.names) {
			t.Errorf("%d connections of %d agents", connections, len(f.names))
		}
	})
}

// begin runs a job on all agents that ends when the gate opens.
func (f *fleet) begin(t *testing.T, rig *gatewaytest.Rig) (run uint64) {
	t.Helper()
	plan := rig.Plan(t, f.names, gatewaytest.Task{ID: "svc-a", Jobs: 1})
	plan.Tasks[0].Jobs[0].Spec.Text = "until test -e gate; do sleep 0.05; done"
	if _, err := rig.O.Blobs().PutBytes(plan.Encode()); err != nil {
		t.Fatal(err)
	}
	run = rig.Run(t, plan)
	rig.Until(t, "all attempts begun", func(s *engine.State) bool {
		n := 0
		for _, a := range s.Attempts {
			if a.Began {
				n++
			}
		}
		return n == len(f.names)
	})
	return run
}

// spread waits until every gateway has agents.
func (f *fleet) spread(t testing.TB, rigs []*gatewaytest.Rig) {
	t.Helper()
	rigs[0].Until(t, "agents at every gateway", func(s *engine.State) bool {
		held := s.ConnectedAgents()
		for i := range rigs {
			if held[uint64(i+1)] == 0 {
				return false
			}
		}
		return true
	})
}

// agentsOf are the agents whose gateway a member is.
func agentsOf(rig *gatewaytest.Rig, member uint64) (ids []uint64) {
	rig.O.View(func(s *engine.State) {
		for _, a := range s.Agents {
			if a.Connected && a.Gateway == member {
				ids = append(ids, a.ID)
			}
		}
	})
	return ids
}

// The agents of a gateway that dies without a word go to the others by themselves,
// what they had under way goes on, and nothing is done twice.
func TestGatewayDies(t *testing.T) {
	t.Parallel()
	rigs := gatewaytest.Cluster(t, 3, gatewaytest.Options{Verbs: verb.Lookup, Limits: eager})
	f := startFleet(t, rigs, 9, rigs[0].Address)
	f.spread(t, rigs)
	plan := rigs[0].Plan(t, f.names, gatewaytest.Task{ID: "svc-a", Jobs: 2}, gatewaytest.Task{ID: "svc-b", Jobs: 1, After: []uint32{0}})
	plan.Tasks[0].Jobs[0].Spec.Text = "echo x >>effects; until test -e gate; do sleep 0.05; done"
	plan.Tasks[0].Jobs[1].Spec.Text = "rm gate; test $(wc -l <effects) = 1"
	plan.Tasks[1].Jobs[0].Spec.Text = "echo y >>effects; test $(wc -l <effects) = 2"
	if _, err := rigs[0].O.Blobs().PutBytes(plan.Encode()); err != nil {
		t.Fatal(err)
	}
	run := rigs[0].Run(t, plan)
	rigs[0].Until(t, "all attempts begun", func(s *engine.State) bool {
		n := 0
		for _, a := range s.Attempts {
			if a.Began {
				n++
			}
		}
		return n == len(f.names)
	})
	orphans := agentsOf(rigs[0], 3)
	rigs[2].Kill()
	rigs[0].Until(t, "the dead one's agents elsewhere", func(s *engine.State) bool {
		return !slices.ContainsFunc(orphans, func(id uint64) bool { return !s.Agent(id).Connected || s.Agent(id).Gateway == 3 })
	})
	f.open(t)
	if status := rigs[0].UntilEnded(t, run); status != "succeeded" {
		t.Errorf("run is %s", status)
	}
	s := rigs[0].Replay(t)
	if n := len(s.Attempts); n != 2*len(f.names) {
		t.Errorf("%d attempts of %d steps", n, 2*len(f.names))
	}
}

// BenchmarkGatewayDeath kills one of three gateways under a hundred real agents. It
// measures until each agent that it had is at another gateway, and until each has
// reported the end of work that was given out after the death.
func BenchmarkGatewayDeath(b *testing.B) {
	const agents = 100
	var found, worked []time.Duration
	for b.Loop() {
		b.StopTimer()
		f, w := gatewayDeath(b, agents)
		found, worked = append(found, f...), append(worked, w...)
		b.StartTimer()
	}
	for _, d := range []struct {
		unit string
		all  []time.Duration
	}{{"connected", found}, {"worked", worked}} {
		slices.Sort(d.all)
		for name, q := range map[string]float64{"min": 0, "p50": .5, "p95": .95, "max": 1} {
			b.ReportMetric(float64(d.all[int(q*float64(len(d.all)-1))].Milliseconds()), "ms-"+d.unit+"-"+name)
		}
	}
	b.ReportMetric(float64(len(found)), "agents-moved")
}

func gatewayDeath(b *testing.B, agents int) (found, worked []time.Duration) {
	rigs := gatewaytest.Cluster(b, 3, gatewaytest.Options{Verbs: verb.Lookup})
	f := startFleet(b, rigs, agents, rigs[0].Address, rigs[1].Address, rigs[2].Address)
	defer f.stop()
	f.spread(b, rigs)
	orphans := agentsOf(rigs[0], 3)
	plan := rigs[0].Plan(b, f.names, gatewaytest.Task{ID: "svc-a", Jobs: 1})
	rigs[0].Record(b, plan)

	var mu sync.Mutex
	connects, ends := map[uint64]time.Time{}, map[uint64]time.Time{}
	stop := rigs[0].O.Observe(func(s *engine.State, _ *eventlog.Record, event eventlog.Event, void string) {
		mu.Lock()
		defer mu.Unlock()
		switch e := event.(type) {
		case *eventlog.AgentConnected:
			connects[e.Agent] = time.Now()
		case *eventlog.AttemptEnded:
			ends[s.Attempts[e.Attempt].Agent] = time.Now()
		}
	}, nil)
	defer stop()
	killed := time.Now()
	rigs[2].Kill()
	id, err := rigs[0].O.CreateRun(b.Context(), orchestrator.RunRequest{PlanID: plan.ID(), RequestID: "after the death"})
	if err != nil {
		b.Fatal(err)
	}
	if status := rigs[0].UntilEnded(b, id); status != "succeeded" {
		b.Fatal(status)
	}
	mu.Lock()
	for _, id := range orphans {
		found, worked = append(found, connects[id].Sub(killed)), append(worked, ends[id].Sub(killed))
	}
	mu.Unlock()
	for _, rig := range rigs {
		rig.Stop()
	}
	return found, worked
}
