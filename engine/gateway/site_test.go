package gateway_test

import (
	"os"
	"path/filepath"
	"testing"

	"quorate/engine"
	"quorate/engine/gateway/gatewaytest"
	"quorate/nodeagent/verb"
)

// behind reports whether the agent is connected through the relay, or, where that is "",
// by itself.
func behind(s *engine.State, agent, relay string) bool {
	a, via := s.AgentByName(agent), uint64(0)
	if r := s.AgentByName(relay); r != nil {
		via = r.ID
	}
	return a != nil && a.Connected && a.Via == via && (via != 0) == (relay != "")
}

// TestRelayRestarts: the agents of a relay that comes and goes are back behind it, and
// none of that counts against them.
func TestRelayRestarts(t *testing.T) {
	t.Parallel()
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	relay := startRelay(t, rig, "site1", 0)
	startBehind(t, rig, "n1", relay.address)
	before := uint64(0)
	for range 4 {
		rig.Until(t, "another connection behind the relay", func(s *engine.State) bool {
			return behind(s, "n1", "site1") && s.AgentByName("n1").Connections > before
		})
		rig.O.View(func(s *engine.State) { before = s.AgentByName("n1").Connections })
		relay.stop()
		relay.start()
	}
	rig.Until(t, "the last connection", func(s *engine.State) bool {
		return behind(s, "n1", "site1") && s.AgentByName("n1").Connections > before
	})
	rig.O.View(func(s *engine.State) {
		if a := s.AgentByName("n1"); a.Flaps != 0 || a.Flapping {
			t.Errorf("%d of %d connections count against an agent whose relay was restarted", a.Flaps, a.Connections)
		}
		if r := s.AgentByName("site1"); r.Flaps == 0 {
			t.Errorf("a relay that came %d times has no fault in it", r.Connections)
		}
	})
}

// TestRelayGone: an agent that knows an orchestrator, too, goes there when its relay goes,
// and comes back with it; neither counts against it.
func TestRelayGone(t *testing.T) {
	t.Parallel()
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	relay := startRelay(t, rig, "site1", 0)
	startBehind(t, rig, "n1", relay.address, rig.Address)
	rig.Until(t, "the agent behind the relay", func(s *engine.State) bool { return behind(s, "n1", "site1") })
	relay.stop()
	rig.Until(t, "the agent without the relay", func(s *engine.State) bool { return behind(s, "n1", "") })
	relay.start()
	rig.Until(t, "the agent behind the relay again", func(s *engine.State) bool { return behind(s, "n1", "site1") })
	rig.O.View(func(s *engine.State) {
		if a := s.AgentByName("n1"); a.Flaps != 0 {
			t.Errorf("%d of %d connections count against an agent whose relay was away: %+v", a.Flaps, a.Connections, a.Changes)
		}
	})
}

// TestRelayWithoutRoom: what has no room at the relay comes from the orchestrator.
func TestRelayWithoutRoom(t *testing.T) {
	t.Parallel()
	rig := gatewaytest.Start(t, gatewaytest.Options{Verbs: verb.Lookup})
	relay := startRelay(t, rig, "site1", 1)
	dir := startBehind(t, rig, "n1", relay.address)
	rig.Until(t, "the agent behind the relay", func(s *engine.State) bool { return behind(s, "n1", "site1") })
	content := []byte("too large\n")
	plan, digest := shipping(t, rig, content, "n1")
	if status := rig.UntilEnded(t, rig.Run(t, plan)); status != "succeeded" {
		t.Fatalf("run is %s", status)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "copy")); err != nil || string(got) != string(content) {
		t.Errorf("copy %q, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(relay.cache, digest[:2], digest)); err == nil {
		t.Error("the relay has found room for it")
	}
}

// TestRelayOverTCP: a relay that UDP does not lead out of is one for its agents all the
// same.
func TestRelayOverTCP(t *testing.T) {
	t.Parallel()
	ln := silentPort(t)
	rig := gatewaytest.Start(t, gatewaytest.Options{Verbs: verb.Lookup, TCP: ln})
	rig.Address = ln.Addr().String()
	relay := startRelay(t, rig, "site1", 0)
	startBehind(t, rig, "n1", relay.address)
	rig.Until(t, "the agent behind the relay", func(s *engine.State) bool {
		return behind(s, "n1", "site1") && s.AgentByName("site1").Transport == "tcp"
	})
	plan, _ := shipping(t, rig, []byte("over TCP\n"), "n1")
	if status := rig.UntilEnded(t, rig.Run(t, plan)); status != "succeeded" {
		t.Fatalf("run is %s", status)
	}
}
