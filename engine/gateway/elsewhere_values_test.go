package gateway_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"quorate/engine"
	"quorate/engine/gateway/gatewaytest"
	"quorate/engine/orchestrator"
	"quorate/internal/job"
	"quorate/nodeagent/verb"
)

// TestValuesAcross: a step that was sent ahead of those on another host, which set what
// the plan's jobs ask for, starts with that, as if it had been sent behind them.
func TestValuesAcross(t *testing.T) {
	t.Parallel()
	rig := gatewaytest.Start(t, gatewaytest.Options{Verbs: verb.Lookup})
	relay := startRelay(t, rig, "site1", 0)
	dirs := map[string]string{}
	for _, name := range []string{"n1", "n2"} {
		dirs[name] = startBehind(t, rig, name, relay.address)
		rig.Until(t, name+" behind the relay", func(s *engine.State) bool { return behind(s, name, "site1") })
	}
	const each = 10 // a notice and the cluster's word may arrive in any order
	var tasks []gatewaytest.Task
	for i := range uint32(2 * each) {
		task := gatewaytest.Task{ID: fmt.Sprint("t", i), Jobs: int(3 - 2*(i%2)), Hosts: []uint32{i % 2}}
		if i > 0 {
			task.After = []uint32{i - 1}
		}
		tasks = append(tasks, task)
	}
	plan := rig.Plan(t, []string{"n1", "n2"}, tasks...)
	flag := filepath.Join(t.TempDir(), "go")
	set := func(spec *job.Job, verb, text string) { spec.Verb, spec.Text = verb, text }
	for i := range each {
		jobs := plan.Tasks[2*i].Jobs
		set(&jobs[0].Spec, "RUN", "until test -e "+flag+"; do sleep 0.02; done")
		set(&jobs[1].Spec, "ARG", fmt.Sprintf("k%d new", i))
		set(&jobs[2].Spec, "QUERY", fmt.Sprint("k", i))
		set(&plan.Tasks[2*i+1].Jobs[0].Spec, "RUN", fmt.Sprintf("echo {{ query['n1']['k%d'] }} > seen%d", i, i))
	}
	if _, err := rig.O.Blobs().PutBytes(plan.Encode()); err != nil {
		t.Fatal(err)
	}
	rig.Record(t, plan)
	run, err := rig.O.CreateRun(t.Context(), orchestrator.RunRequest{PlanID: plan.ID(), RequestID: rig.RequestID(), By: "test", AheadMax: 100})
	if err != nil {
		t.Fatal(err)
	}
	rig.Until(t, "all of the chain at its agents", func(s *engine.State) bool {
		for i := range tasks {
			if a := s.Attempts[s.Run(run).Step(uint32(i), 0).Attempt]; a == nil || !a.Began {
				return false
			}
		}
		return true
	})
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if status := rig.UntilEnded(t, run); status != "succeeded" {
		t.Errorf("run is %s\n%s", status, results(t, rig, run))
	}
	for i := range each {
		if got, err := os.ReadFile(filepath.Join(dirs["n2"], fmt.Sprint("seen", i))); string(got) != "new\n" {
			t.Errorf("n2 saw %q, %v", got, err)
		}
	}
}
