package edge

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRelayBackOnQUIC gives UDP back to a relay that is connected over TCP, in the middle of
// a chain that goes from host to host of its site. The relay goes back to QUIC at the same
// orchestrator, its agents follow it, and none of them is without a connection.
func TestRelayBackOnQUIC(t *testing.T) {
	if !full() {
		t.Skip("the way back to QUIC is tried every 20 s: make edge")
	}
	blocked := Conditions{Delay: roundTrip / 2, NoUDP: true}
	r := newRelayed(t, 1, 3, blocked)
	client, err := r.Servers()[0].Local()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	transport := func() string {
		a, err := client.Agent(t.Context(), "site1")
		if err != nil || a.Status != "connected" {
			return ""
		}
		return a.Transport
	}
	if got := transport(); got != "tcp" {
		t.Fatalf("without UDP the relay is connected over %q", got)
	}
	e, hurry := r.effects(), filepath.Join(r.Dir, "hurry")
	args, want := r.writeRelay("turn", r.Agents(), 300, fmt.Sprintf("echo $QUORATE_TASK >> %s; test -e %s || sleep 0.2", string(e), hurry))
	run := r.begin(args...)
	r.until("the chain goes on", func() bool { return len(e.lines()) >= 3 })
	good := blocked
	good.NoUDP = false
	r.link.Set(good)
	began := time.Now()
	r.until("the relay is back on QUIC", func() bool { return transport() == "quic" })
	t.Logf("UDP free again: over QUIC after %.1f s", time.Since(began).Seconds())
	have := len(e.lines())
	r.until("the chain goes on behind that", func() bool { return len(e.lines()) >= min(have+10, 300) })
	if err := os.WriteFile(hurry, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.ends(run, "succeeded")
	r.didOnce(t, run, e, want)
	out, err := r.Run(t.Context(), r.Servers()[0], "log", "ls")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(out), "agent_disconnected"); n > 0 {
		t.Errorf("%d times the log tells of a lost connection", n)
	}
	if n := strings.Count(string(out), "agent_connected"); n != 2*(1+len(r.Agents())) {
		t.Errorf("%d connections are on record, want two of each agent and of the relay", n)
	}
}
