package nodeagent

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"quorate/internal/job"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

// component dispatches a job of a component that checks, counts in log, and runs
// until there is a gate.
func (o *orchestrator) component(attempt uint64, more string) *wire.Dispatch {
	script := `#!/bin/sh
if [ "$1" = check ]; then echo '{"protocol": 1, "action": "check", "outcome": "succeeded", "changed": true}'; exit; fi
echo $$ >>log; until test -e gate; do sleep 0.02; done
echo '{"protocol": 1, "action": "run", "outcome": "succeeded", "changed": true, "stdout": "done"}'
`
	description := `{"protocol": 1, "action": "describe", "name": "mine", "summary": "s", "check": true` + more + `}`
	var files []job.File
	for _, f := range []struct{ name, text string }{{job.ComponentFile, script}, {job.DescriptionFile, description}} {
		digest := digestOf(sha256.Sum256([]byte(f.text)))
		o.update(func() { o.blobs[digest] = []byte(f.text) })
		files = append(files, job.File{Name: f.name, Digest: digest, Size: int64(len(f.text))})
	}
	d := o.dispatch(attempt, 0)
	d.Spec, _ = wire.EncodeStep(&wire.Step{Run: 1, Jobs: []job.Job{{Verb: "MINE", Files: files}}})
	return d
}

// TestComponentOutlivesItsAgent kills the agent, and in one case the component too.
func TestComponentOutlivesItsAgent(t *testing.T) {
	for name, tc := range map[string]struct {
		description string
		killed      bool
		outcome     uint8
		effects     int
	}{
		"adopted":             {outcome: journal.OutcomeSucceeded, effects: 1},
		"lost":                {killed: true, outcome: journal.OutcomeUnknown, effects: 1},
		"lost and idempotent": {description: `, "idempotent": true`, killed: true, outcome: journal.OutcomeSucceeded, effects: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrchestrator(t)
			dir := t.TempDir()
			log := filepath.Join(dir, "root", "log")
			first := agentProcess(t, o, dir)
			o.send(o.component(10, tc.description))
			eventually(t, "the component's start", func() bool { return effects(log) == 1 })
			_ = first.Process.Kill()
			_ = first.Wait()
			if tc.killed {
				b, _ := os.ReadFile(log)
				pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
				session, err := syscall.Getpgid(pid)
				if err != nil {
					t.Fatal(err)
				}
				_ = syscall.Kill(-session, syscall.SIGKILL)
			}
			agentProcess(t, o, dir)
			o.until("a second connection", func() bool { return o.sessions >= 2 && o.control != nil })
			eventually(t, "the component's last start", func() bool { return effects(log) == tc.effects })
			_ = os.WriteFile(filepath.Join(dir, "root", "gate"), nil, 0o600)
			end, jobs := o.ended(10)
			if end.Outcome != tc.outcome || len(jobs) != 1 {
				t.Fatalf("%+v %+v", end, jobs)
			}
			if tc.outcome == journal.OutcomeSucceeded && (string(jobs[0].Stdout.Head) != "done" || !jobs[0].Changed) {
				t.Errorf("%+v", jobs[0])
			}
			if n := effects(log); n != tc.effects {
				t.Errorf("%d effects, want %d", n, tc.effects)
			}
		})
	}
}
