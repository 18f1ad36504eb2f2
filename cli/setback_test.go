package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quorate/engine/orchestrator"
)

// An old copy of a replica's directory beside one that lags is a majority, of which
// Raft cannot know that it lost what was acknowledged. An agent that did some of it
// does, and everybody is told until somebody has looked.
func TestSetBackMajorityIsAnAlarm(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three orchestrators twice")
	}
	t.Parallel()
	c := newTrio(t, "edge-1")
	c.voters(3)
	lags, copied, dies := c.servers[1], c.servers[2], c.servers[0]
	c.kill(serverName(lags), serverName(copied))
	old := filepath.Join(c.dir, "old")
	if err := os.Remove(filepath.Join(c.dirOf(copied), socketName)); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(old, os.DirFS(c.dirOf(copied))); err != nil {
		t.Fatal(err)
	}
	c.restart(serverName(copied))
	eventually(t, "a majority without the one that lags", func() bool {
		exec := c.command("--server", c.sockets(dies, copied), "exec", "RUN", "true", "--target", "edge-1")
		return exec.code() == 0
	})
	c.kill(serverName(dies), serverName(copied))
	if err := os.Rename(c.dirOf(copied), filepath.Join(c.dir, "aside")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(old, c.dirOf(copied)); err != nil {
		t.Fatal(err)
	}
	c.restart(serverName(lags), serverName(copied))
	c.servers = []int{lags, copied}
	alarm := "alarm: " + orchestrator.AlarmLostRecords + ": agents know of more than is on record here (edge-1)"
	eventually(t, "the alarm", func() bool { return strings.Contains(quietly(c.quorate("cluster", "status")), alarm) })
	for _, i := range c.servers {
		doctor := c.command("--server", c.socket(i), "doctor", "--data-dir", c.dirOf(i))
		if doctor.code() != exitError || !strings.Contains(doctor.out.String(), orchestrator.AlarmLostRecords) {
			t.Errorf("doctor of %d: %s", i, doctor)
		}
	}
	eventually(t, "the alarm in a log", func() bool {
		return slices.ContainsFunc(c.servers, func(i int) bool {
			text, _ := os.ReadFile(filepath.Join(c.dir, serverName(i)+".log"))
			return strings.Contains(string(text), "msg=ALARM code="+orchestrator.AlarmLostRecords)
		})
	})
	if revoke := c.quorate("agent", "revoke", "edge-1", "--reason", "looked at", "--yes"); revoke.code() != 0 {
		t.Fatalf("revoke: %s", revoke)
	}
	eventually(t, "the alarm's end", func() bool {
		status := c.quorate("cluster", "status")
		return status.code() == 0 && !strings.Contains(status.out.String(), orchestrator.AlarmLostRecords)
	})
}

// quietly waits for a command and returns what it printed.
func quietly(c *command) string {
	c.code()
	return c.out.String()
}
