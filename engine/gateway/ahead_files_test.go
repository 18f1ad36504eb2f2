package gateway_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/gateway/gatewaytest"
	"quorate/engine/orchestrator"
	"quorate/internal/job"
	"quorate/nodeagent/verb"
)

// appears waits for a file.
func appears(t *testing.T, path string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		if _, err := os.Stat(path); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not appear", path)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// TestFilesComeAhead: a step that waits behind another one has its file before its turn
// comes, also behind a relay, and so it is done without the orchestrator.
func TestFilesComeAhead(t *testing.T) {
	for name, relayed := range map[string]bool{"direct": false, "behind a relay": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rig := gatewaytest.Start(t, gatewaytest.Options{Verbs: verb.Lookup})
			var dir string
			if relayed {
				dir = startBehind(t, rig, "n1", startRelay(t, rig, "site1", 0).address)
			} else {
				dir = startAgent(t, rig, "n1")
			}
			rig.Until(t, "the agent", func(s *engine.State) bool { a := s.AgentByName("n1"); return a != nil && a.Connected })
			content := bytes.Repeat([]byte("0123456789abcdef"), 5<<16)
			digest := gatewaytest.Must(rig.O.Blobs().PutBytes(content))
			plan := rig.Plan(t, []string{"n1"}, gatewaytest.Task{ID: "svc-a", Jobs: 1}, gatewaytest.Task{ID: "svc-b", Jobs: 1, After: []uint32{0}})
			plan.Tasks[0].Jobs[0].Spec.Text = "until test -e gate; do sleep 0.02; done"
			add := &plan.Tasks[1].Jobs[0].Spec
			add.Verb, add.Text = "ADD", "shipped copy"
			add.Files = []job.File{{Name: "shipped", Digest: digest, Size: int64(len(content)), Mode: 0o644}}
			gatewaytest.Must(rig.O.Blobs().PutBytes(plan.Encode()))
			rig.Record(t, plan)
			run, err := rig.O.CreateRun(t.Context(), orchestrator.RunRequest{PlanID: plan.ID(), RequestID: rig.RequestID(), By: "test", AheadMax: 10})
			if err != nil {
				t.Fatal(err)
			}
			appears(t, filepath.Join(filepath.Dir(dir), "blobs", digest[:2], digest))

			rig.Pause(true)
			if err := os.WriteFile(filepath.Join(dir, "gate"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			appears(t, filepath.Join(dir, "copy"))
			rig.Pause(false)
			if status := rig.UntilEnded(t, run); status != "succeeded" {
				t.Errorf("run is %s", status)
			}
			if got, err := os.ReadFile(filepath.Join(dir, "copy")); err != nil || !bytes.Equal(got, content) {
				t.Errorf("copy of %d bytes, %v", len(got), err)
			}
		})
	}
}
