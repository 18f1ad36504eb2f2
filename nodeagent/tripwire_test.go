package nodeagent

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestProcessGone: an agent whose orchestrator's process has died goes to another one
// before it could notice by silence, and before the connection is lost.
func TestProcessGone(t *testing.T) {
	t.Parallel()
	first := newOrchestrator(t)
	first.heartbeat = uint32(time.Minute.Milliseconds())
	second := first.another()
	first.servers = []string{first.address, second.address}
	a := startAgent(t, first, t.TempDir())
	eventually(t, "the connection", func() bool { return strings.Contains(a.log.String(), "msg=connected") })
	first.socket.Close()
	second.connected()
	if log := a.log.String(); strings.Contains(log, "connection lost") || !strings.Contains(log, "the orchestrator is silent") {
		t.Error("the agent did not hear that nobody listens")
	}
}

// TestRefused: a refusal counts until something is heard again.
func TestRefused(t *testing.T) {
	const every = 500 * time.Millisecond
	p, now := &pulse{every: every}, time.Unix(1000, 0)
	s := signs{heard: 1, sent: 100, rtt: time.Millisecond, answered: now}
	look := func(after time.Duration) bool {
		now = now.Add(after)
		_, silent, _ := p.look(now, s, 1)
		return silent
	}
	if look(0) || look(every/4) {
		t.Error("silent at once")
	}
	p.refuse()
	if first, then := look(every/8), look(every/8); !first || !then {
		t.Error("the refusal does not count")
	}
	s.heard++
	if look(every / 8) {
		t.Error("silent though it was heard of")
	}
	if silent, _ := watchLine(line{rtt: time.Millisecond, r: rand.New(rand.NewPCG(1, 2))}, every, time.Minute); silent != 0 {
		t.Errorf("silent after %s without a refusal", silent)
	}
}
