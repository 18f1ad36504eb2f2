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
	hosts []string
	run   uint64
	runs  int
	steps int
	want  []string // the lines that its steps are to have written
}

// newRelayRace has both hosts hold all of the chain when it returns.
func newRelayRace(t *testing.T, rig *gatewaytest.Rig, steps int, hosts ...string) *relayRace {
	t.Helper()
	r := &relayRace{t: t, rig: rig, dir: t.TempDir(), hosts: hosts, steps: steps}
	for i := range steps {
		r.want = append(r.want, fmt.Sprint(i))
	}
	r.again()
	return r
}

// again has both hosts hold all of another run, in which the first step is another one.
func (r *relayRace) again() {
	r.t.Helper()
	r.runs++
	var tasks []gatewaytest.Task
	for i := range r.steps {
		task := gatewaytest.Task{ID: fmt.Sprintf("svc-%d", i), Jobs: 1, Hosts: []uint32{uint32(i % len(r.hosts))}}
		if i > 0 {
			task.After = []uint32{uint32(i - 1)}
		}
		tasks = append(tasks, task)
	}
	plan := r.rig.Plan(r.t, r.hosts, tasks...)
	for i := range plan.Tasks {
		job := &plan.Tasks[i].Jobs[0].Spec
		job.Text = fmt.Sprintf("echo %d >> %s", i, filepath.Join(r.dir, "lines"))
		if i == 0 {
			job.Text = fmt.Sprintf("until test -e %s; do sleep 0.02; done; %s", r.starter(), job.Text)
		}
	}
	if _, err := r.rig.O.Blobs().PutBytes(plan.Encode()); err != nil {
		r.t.Fatal(err)
	}
	r.rig.Record(r.t, plan)
	var err error
	r.run, err = r.rig.O.CreateRun(r.t.Context(), orchestrator.RunRequest{PlanID: plan.ID(), RequestID: r.rig.RequestID(), By: "test", AheadMax: 100})
	if err != nil {
		r.t.Fatal(err)
	}
	r.rig.Until(r.t, "all of the chain at its agents", func(s *engine.State) bool {
		for i := range r.steps {
			if a := s.Attempts[s.Run(r.run).Step(uint32(i), 0).Attempt]; a == nil || !a.Began {
				return false
			}
		}
		return true
	})
}

func (r *relayRace) starter() string { return filepath.Join(r.dir, fmt.Sprintf("go-%d", r.runs)) }

func (r *relayRace) start() {
	r.t.Helper()
	if err := os.WriteFile(r.starter(), nil, 0o600); err != nil {
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
	for len(r.lines()) < len(r.want) {
		select {
		case <-again.C:
		case <-late:
			r.t.Fatalf("the chain does not go on: %v", r.lines())
		}
	}
}

// won wants the steps to have run as they should, in order, each by its first attempt.
func (r *relayRace) won() {
	r.t.Helper()
	if status := r.rig.UntilEnded(r.t, r.run); status != "succeeded" {
		r.t.Errorf("the run %s", status)
	}
	if got := r.lines(); !slices.Equal(got, r.want) {
		r.t.Errorf("the steps ran as %v, want %v", got, r.want)
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
// across their hosts while nobody answers for the cluster, and leave alone on another day
// what follows from nothing new.
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
	r.again()
	r.want = append(r.want, "0", "1") // which is as it was: what follows from it need not run
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
	r.start()
	r.won()
	r.again()
	r.want = append(r.want, "0", "1")
	relay.stop()
	r.start()
	r.won()
}
