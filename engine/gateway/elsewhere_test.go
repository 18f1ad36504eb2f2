package gateway_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/gateway/gatewaytest"
	"quorate/engine/orchestrator"
	"quorate/nodeagent/verb"
)

// A relayRace is a chain of steps on two hosts in turn, the first of which waits for the
// starter.
type relayRace struct {
	t     *testing.T
	rig   *gatewaytest.Rig
	dir   string
	run   uint64
	steps int
}

// newRelayRace has both hosts hold all of the chain when it returns.
func newRelayRace(t *testing.T, rig *gatewaytest.Rig, steps int, hosts ...string) *relayRace {
	t.Helper()
	r := &relayRace{t: t, rig: rig, dir: t.TempDir(), steps: steps}
	var tasks []gatewaytest.Task
	for i := range steps {
		task := gatewaytest.Task{ID: fmt.Sprintf("svc-%d", i), Jobs: 1, Hosts: []uint32{uint32(i % len(hosts))}}
		if i > 0 {
			task.After = []uint32{uint32(i - 1)}
		}
		tasks = append(tasks, task)
	}
	plan := rig.Plan(t, hosts, tasks...)
	for i := range plan.Tasks {
		job := &plan.Tasks[i].Jobs[0].Spec
		job.Text = fmt.Sprintf("echo %d >> %s", i, filepath.Join(r.dir, "lines"))
		if i == 0 {
			job.Text = fmt.Sprintf("until test -e %s; do sleep 0.02; done; %s", filepath.Join(r.dir, "go"), job.Text)
		}
	}
	if _, err := rig.O.Blobs().PutBytes(plan.Encode()); err != nil {
		t.Fatal(err)
	}
	rig.Record(t, plan)
	var err error
	r.run, err = rig.O.CreateRun(t.Context(), orchestrator.RunRequest{PlanID: plan.ID(), RequestID: rig.RequestID(), By: "test", AheadMax: 100})
	if err != nil {
		t.Fatal(err)
	}
	rig.Until(t, "all of the chain at its agents", func(s *engine.State) bool {
		for i := range steps {
			if a := s.Attempts[s.Run(r.run).Step(uint32(i), 0).Attempt]; a == nil || !a.Began {
				return false
			}
		}
		return true
	})
	return r
}

func (r *relayRace) start() {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, "go"), nil, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// lines are the steps that have run, in their order.
func (r *relayRace) lines() []string {
	text, _ := os.ReadFile(filepath.Join(r.dir, "lines")) // there is none before the first
	return strings.Fields(string(text))
}

// finishes waits until the last step has run.
func (r *relayRace) finishes() {
	r.t.Helper()
	late := time.After(time.Minute)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for len(r.lines()) < r.steps {
		select {
		case <-again.C:
		case <-late:
			r.t.Fatalf("the chain does not go on: %v", r.lines())
		}
	}
}

// won wants each step to have run once, in order, by its first attempt.
func (r *relayRace) won() {
	r.t.Helper()
	if status := r.rig.UntilEnded(r.t, r.run); status != "succeeded" {
		r.t.Errorf("the run %s", status)
	}
	var want []string
	for i := range r.steps {
		want = append(want, fmt.Sprint(i))
	}
	if got := r.lines(); !slices.Equal(got, want) {
		r.t.Errorf("the steps ran as %v", got)
	}
	attempts := 0
	r.rig.O.View(func(s *engine.State) {
		for _, a := range s.Attempts {
			if a.Run == r.run {
				attempts++
			}
		}
	})
	if attempts != r.steps {
		r.t.Errorf("%d steps took %d attempts", r.steps, attempts)
	}
}

// TestSiteGoesOn: the agents of a site go through a chain of steps that were sent ahead
// across their hosts while nobody answers for the cluster.
func TestSiteGoesOn(t *testing.T) {
	t.Parallel()
	rig := gatewaytest.Start(t, gatewaytest.Options{Verbs: verb.Lookup})
	relay := startRelay(t, rig, "site1", 0)
	for _, name := range []string{"n1", "n2"} {
		startBehind(t, rig, name, relay.address)
		rig.Until(t, name+" behind the relay", func(s *engine.State) bool { return behind(s, name, "site1") })
	}
	r := newRelayRace(t, rig, 8, "n1", "n2")
	rig.Pause(true)
	r.start()
	r.finishes()
	rig.Pause(false)
	r.won()
}

// TestEndedByGateway: agents that have lost their site's relay hear from the cluster of
// the ends that they wait for.
func TestEndedByGateway(t *testing.T) {
	t.Parallel()
	rig := gatewaytest.Start(t, gatewaytest.Options{Verbs: verb.Lookup})
	relay := startRelay(t, rig, "site1", 0)
	for _, name := range []string{"n1", "n2"} {
		startBehind(t, rig, name, relay.address, rig.Address)
		rig.Until(t, name+" behind the relay", func(s *engine.State) bool { return behind(s, name, "site1") })
	}
	r := newRelayRace(t, rig, 8, "n1", "n2")
	relay.stop()
	r.start()
	r.won()
}
