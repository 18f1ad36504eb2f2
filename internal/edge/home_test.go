package edge

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestHome kills the relay of a site in the middle of a chain of tasks. The agent, which
// knows the orchestrators, too, goes on with one of them, and goes home when the relay is
// back. Each job is done once, in order, and nothing of it counts against the agent.
func TestHome(t *testing.T) {
	beside(t)
	const tasks = 200
	r := relayedSite(t, 1, 1, Conditions{Delay: 10 * time.Millisecond}, true)
	name, e := r.Agents()[0].Name(), r.effects()
	hurry := filepath.Join(r.Dir, "hurry")
	job := fmt.Sprintf("echo $QUORATE_TASK >> %s; test -e %s || sleep 0.25", string(e), hurry)
	run := r.begin(r.writeTasks("chain", name, tasks, true, func(int) string { return job })...)
	r.until("the chain goes on", func() bool { return len(e.lines()) >= 3 })

	r.relay.Kill()
	gone := time.Now()
	r.until("the agent does without the relay", func() bool { return r.via(name) == "no relay" })
	direct := time.Now()
	if err := r.relay.Start(); err != nil {
		t.Fatal(err)
	}
	r.until("the agent is home", func() bool { return r.via(name) == "site1" })
	t.Logf("without its relay the agent was connected elsewhere after %.1f s, and was home %.1f s after that was started again",
		direct.Sub(gone).Seconds(), time.Since(direct).Seconds())
	if got := r.show(run); got.Status != "running" {
		t.Errorf("the run was over before the agent was home: %s", got.Status)
	}
	if err := os.WriteFile(hurry, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.ends(run, "succeeded")
	e.once(t, "chain", tasks, true)
	for _, task := range r.show(run).Tasks {
		for _, step := range task.Steps {
			if step.Attempts != 1 {
				t.Errorf("step %s took %d attempts, want 1", step.ID, step.Attempts)
			}
		}
	}
	client, err := r.anyServer().Local()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	r.until("nothing counts against the agent", func() bool {
		agent, err := client.Agent(t.Context(), name)
		return err == nil && agent.Steadiness.Flaps == 0
	})
}

// via is the relay that an agent is connected through, "no relay", or nothing where it is
// not connected.
func (r *relayed) via(name string) string {
	client, err := r.anyServer().Local()
	if err != nil {
		return ""
	}
	defer client.Close()
	a, err := client.Agent(r.t.Context(), name)
	switch {
	case err != nil || a.Status != "connected":
		return ""
	case a.Relay == "":
		return "no relay"
	}
	return a.Relay
}
