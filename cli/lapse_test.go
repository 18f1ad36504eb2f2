package cli

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"quorate/engine/api"
)

// solo is one orchestrator that may be lost, and its agents.
type solo struct {
	*trio
	t       *testing.T
	effects string
}

func newSolo(t *testing.T, hosts ...string) *solo {
	if testing.Short() {
		t.Skip("builds clusters anew")
	}
	t.Parallel()
	c := newServers(t, 1, hosts...)
	return &solo{trio: c, t: t, effects: filepath.Join(c.dir, "effects")}
}

// again starts an orchestrator in another directory, where the agents know one.
func (c *solo) again(i int) {
	c.t.Helper()
	c.agents[i], c.raft[i] = c.agents[1], c.raft[1]
	c.servers = []int{i}
	c.start(serverName(i), nil, "server", "--data-dir", c.dirOf(i), "--listen", c.agents[i], "--raft", c.raft[i])
	c.dialAll()
	c.voters(1)
}

// exec runs a command on hosts, whatever their job caches say.
func (c *solo) exec(command string, more ...string) *command {
	return c.quorate(append([]string{"exec", "RUN", command, "--force"}, more...)...)
}

// did waits until the line is among the effects, so often.
func (c *solo) did(line string, times int) {
	c.t.Helper()
	count := func() int {
		text, _ := os.ReadFile(c.effects)
		return strings.Count(string(text), line+"\n")
	}
	eventually(c.t, line, func() bool { return count() >= times })
	if n := count(); n != times {
		c.t.Errorf("%q happened %d times, want %d", line, n, times)
	}
}

// acknowledged has a host's agent know what the cluster knows of its journal: one that
// begins again is told as it comes, and answers a question behind that.
func (c *solo) acknowledged(host string) {
	c.t.Helper()
	c.kill(host)
	c.restart(host)
	eventually(c.t, "an answer of "+host, func() bool { return c.quorate("agent", "facts", host).code() == 0 })
}

// signal sends a signal to agents.
func (c *solo) signal(s syscall.Signal, hosts ...string) {
	c.t.Helper()
	for _, host := range hosts {
		if err := c.processes[host].cmd.Process.Signal(s); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *solo) agent(name string) (found api.Agent) {
	c.t.Helper()
	agents, err := c.client.Agents(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	for _, a := range agents {
		if a.Name == name {
			found = a
		}
	}
	return found
}

// A backup is restored while agents' journals are of what came after it. What an
// agent reports of that counts for nothing that is asked of it now, which happens
// once on those that are idle; it does twice in a row.
func TestAgentsOfALostLog(t *testing.T) {
	c := newSolo(t, "idle", "busy")
	if before := c.exec("echo before >> "+c.effects, "--target", "idle", "--target", "busy"); before.code() != 0 {
		t.Fatal(before)
	}
	file := filepath.Join(c.dir, "backup")
	if backup := c.quorate("cluster", "backup", file); backup.code() != 0 {
		t.Fatal(backup)
	}
	if settled := c.exec("echo settled >> "+c.effects, "--target", "idle"); settled.code() != 0 {
		t.Fatal(settled)
	}
	gate := filepath.Join(c.dir, "gate")
	c.acknowledged("idle")
	begin := c.exec("echo begun >> "+c.effects+"; until test -e "+gate+"; do sleep 0.05; done; echo lost >> "+c.effects, "--target", "busy", "--detach")
	if begin.code() != 0 {
		t.Fatal(begin)
	}
	c.did("begun", 1)
	c.kill(serverName(1))
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.did("lost", 1)                                                // and nobody takes the report
	t.Cleanup(func() { c.signal(syscall.SIGCONT, "idle", "busy") }) // or they would not end
	c.signal(syscall.SIGSTOP, "idle", "busy")
	restore := c.quorate("cluster", "restore", file, "--data-dir", c.dirOf(2), "--yes")
	if restore.code() != 0 || !strings.Contains(restore.err.String(), "agents come back by themselves") {
		t.Fatalf("restore: %s", restore)
	}
	c.again(2)
	after := c.exec("echo after $QUORATE_HOST >> "+c.effects, "--target", "idle", "--target", "busy", "--detach")
	if after.code() != 0 {
		t.Fatal(after)
	}
	eventually(t, "both attempts", func() bool {
		return strings.Count(c.logOf("step_scheduled", "--run", "2"), "\n") == 2
	})
	c.signal(syscall.SIGCONT, "idle", "busy")
	c.did("after idle", 1)
	eventually(t, "the quarantine", func() bool { return c.agent("busy").Status == "quarantined" })
	if why := c.agent("busy").Reason; !strings.Contains(why, "the cluster was recovered to before that") || !strings.Contains(why, "quorate agent revoke busy") {
		t.Errorf("quarantined: %s", why)
	}
	var run *api.Run
	eventually(t, "the end of what can end", func() bool {
		var err error
		if run, err = c.client.Run(t.Context(), "2"); err != nil {
			t.Fatal(err)
		}
		return run.Status == "waiting"
	})
	if done := stepsOf(run, "succeeded"); len(done) != 1 || done[0].Host != "idle" || done[0].Attempts != 1 {
		t.Errorf("succeeded: %+v", done)
	}
	if text, _ := os.ReadFile(c.effects); strings.Contains(string(text), "after busy") {
		t.Errorf("the quarantined agent worked: %s", text)
	}
	// The same backup once more: what the first restored cluster gave away is lost, too.
	c.acknowledged("idle")
	c.kill(serverName(2))
	if restore := c.quorate("cluster", "restore", file, "--data-dir", c.dirOf(3), "--yes"); restore.code() != 0 {
		t.Fatal(restore)
	}
	c.again(3)
	if again := c.exec("echo again >> "+c.effects, "--target", "idle"); again.code() != 0 {
		t.Errorf("after the second restore: %s", again)
	}
	c.did("again", 1)
	c.did("after idle", 1)
}

// What the only survivor had is all there was: nothing of the agents' is lost, and
// what was under way goes on.
func TestRecoveryThatLosesNothing(t *testing.T) {
	c := newSolo(t, "idle", "busy")
	if before := c.exec("echo before >> "+c.effects, "--target", "idle"); before.code() != 0 {
		t.Fatal(before)
	}
	gate := filepath.Join(c.dir, "gate")
	c.acknowledged("idle")
	begin := c.exec("echo begun >> "+c.effects+"; until test -e "+gate+"; do sleep 0.05; done; echo done >> "+c.effects, "--target", "busy", "--detach")
	if begin.code() != 0 {
		t.Fatal(begin)
	}
	c.did("begun", 1)
	eventually(t, "the beginning on record", func() bool { return c.logOf("attempt_began") != "" })
	c.kill(serverName(1))
	if recovered := c.quorate("cluster", "recover", "--data-dir", c.dirOf(1), "--yes"); recovered.code() != 0 {
		t.Fatal(recovered)
	}
	c.again(1)
	c.connected("idle", "busy")
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the run's end", func() bool {
		run, err := c.client.Run(t.Context(), "2")
		if err != nil {
			t.Fatal(err)
		}
		return run.Status == "succeeded"
	})
	if after := c.exec("echo after >> "+c.effects, "--target", "idle", "--target", "busy"); after.code() != 0 {
		t.Error(after)
	}
	c.did("after", 2)
	c.did("begun", 1)
	c.did("done", 1)
}

// logOf lists the records of a kind.
func (c *solo) logOf(kind string, more ...string) string {
	c.t.Helper()
	list := c.quorate(append([]string{"log", "ls", "--kind", kind}, more...)...)
	if list.code() != 0 {
		c.t.Fatal(list)
	}
	return list.out.String()
}
