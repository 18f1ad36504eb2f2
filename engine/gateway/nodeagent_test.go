package gateway_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"quorate/engine"
	"quorate/engine/gateway/gatewaytest"
	"quorate/engine/orchestrator"
	"quorate/internal/job"
	"quorate/nodeagent"
	"quorate/nodeagent/verb"
	"quorate/planner"
)

// roomy is the disk of a machine that has room for whatever a test ships.
func roomy() (free, all int64, err error) { return 1 << 40, 1 << 41, nil }

// startAgent runs a real agent of the rig's orchestrator until the test ends.
func startAgent(t *testing.T, rig *gatewaytest.Rig, name string, labels ...string) (workDir string) {
	t.Helper()
	return runAgent(t, rig, orchestrator.TokenRequest{Name: name, Labels: labels}, nodeagent.Config{Servers: []string{rig.Address}, Name: name})
}

// runAgent runs a real agent with a token and directories of its own until the test ends.
func runAgent(t *testing.T, rig *gatewaytest.Rig, request orchestrator.TokenRequest, cfg nodeagent.Config) (workDir string) {
	t.Helper()
	token, _, err := rig.O.CreateToken(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Token, cfg.Version, cfg.DataDir, cfg.DiskFree = token, "test", t.TempDir(), roomy
	cfg.WorkDir = filepath.Join(cfg.DataDir, "root")
	if err := os.MkdirAll(cfg.WorkDir, 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- nodeagent.Run(ctx, cfg) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("agent %s: %v", request.Name, err)
		}
	})
	return cfg.WorkDir
}

// Real agents enrol, connect, fetch what a plan ships, run it and report; what
// the log says replays to the same state.
func TestRealAgents(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{Verbs: verb.Lookup})
	dirs := []string{startAgent(t, rig, "n1", "controller"), startAgent(t, rig, "n2")}
	rig.Until(t, "both agents", func(s *engine.State) bool {
		n := 0
		for _, a := range s.Agents {
			if a.Connected {
				n++
			}
		}
		return n == len(dirs)
	})
	content := []byte("shipped\n")
	digest := gatewaytest.Must(rig.O.Blobs().PutBytes(content))
	plan := rig.Plan(t, []string{"n1", "n2"},
		gatewaytest.Task{ID: "svc-a", Jobs: 3},
		gatewaytest.Task{ID: "svc-b", Driver: planner.DriverLocal, Jobs: 1, After: []uint32{0}},
		gatewaytest.Task{ID: "svc-c", Jobs: 1, After: []uint32{1}})
	plan.Tasks[0].Jobs[0].Spec.Text = "echo $QUORATE_HOST > host"
	add := &plan.Tasks[2].Jobs[0].Spec
	add.Verb, add.Text = "ADD", "shipped "+"copy"
	add.Files = []job.File{{Name: "shipped", Digest: digest, Size: int64(len(content)), Mode: 0o644}}
	if _, err := rig.O.Blobs().PutBytes(plan.Encode()); err != nil {
		t.Fatal(err)
	}
	run := rig.Run(t, plan)
	status := rig.UntilEnded(t, run)
	s := rig.Replay(t)
	if status != "succeeded" {
		for _, a := range s.Attempts {
			t.Logf("attempt %d of task %d: %s %q %+v", a.ID, a.Task, a.Outcome, a.Reason, a.Jobs)
		}
		t.Fatalf("run is %s", status)
	}
	for i, dir := range dirs {
		if got, err := os.ReadFile(filepath.Join(dir, "host")); err != nil || string(got) != plan.Hosts[i]+"\n" {
			t.Errorf("%s: host %q, %v", plan.Hosts[i], got, err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "copy")); err != nil || string(got) != string(content) {
			t.Errorf("%s: copy %q, %v", plan.Hosts[i], got, err)
		}
	}
	rig.Until(t, "all attempts settled", func(s *engine.State) bool {
		for _, a := range s.Agents {
			if len(a.Open) > 0 {
				return false
			}
		}
		return true
	})
}
