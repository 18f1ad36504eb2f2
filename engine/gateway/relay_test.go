package gateway_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/gateway/gatewaytest"
	"quorate/engine/orchestrator"
	"quorate/internal/job"
	"quorate/nodeagent"
	"quorate/nodeagent/verb"
	"quorate/planner"
)

// A site is a real relay, and what it keeps when it stops.
type site struct {
	t       *testing.T
	config  nodeagent.RelayConfig
	address string
	cache   string
	stop    func()
}

// startRelay runs a real relay with so large a cache until the test ends; 0 is no bound.
func startRelay(t *testing.T, rig *gatewaytest.Rig, name string, cacheBytes int64) *site {
	t.Helper()
	token, _, err := rig.O.CreateToken(t.Context(), orchestrator.TokenRequest{Name: name, Role: engine.RelayRole})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := &site{t: t, address: "127.0.0.1:0", cache: filepath.Join(dir, "cache"), config: nodeagent.RelayConfig{
		Servers: []string{rig.Address}, Token: token, DataDir: dir, Version: "test", CacheBytes: cacheBytes,
	}}
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

// start runs the relay, where it served before.
func (s *site) start() {
	s.t.Helper()
	udp, err := net.ListenPacket("udp", s.address)
	// Meanwhile the port may be another test's agent's, who gives it back.
	for deadline := time.Now().Add(gatewaytest.Patience); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(deadline); {
		<-time.After(10 * time.Millisecond)
		udp, err = net.ListenPacket("udp", s.address)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.address = udp.LocalAddr().String()
	// What comes over TCP has a port of its own here: the same one may be taken.
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	config := s.config
	config.UDP, config.TCP = udp, tcp
	go func() { done <- nodeagent.RunRelay(ctx, config) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			s.t.Errorf("relay: %v", err)
		}
	})
}

// startBehind runs a real agent that knows a relay, and perhaps orchestrators.
func startBehind(t *testing.T, rig *gatewaytest.Rig, name, relay string, servers ...string) (workDir string) {
	t.Helper()
	return runAgent(t, rig, orchestrator.TokenRequest{Name: name}, nodeagent.Config{Relays: []string{relay}, Servers: servers})
}

// TestSite: agents enrol, connect and work through the relay of their site, which is on
// record as the way that they came, is given no work, and has fetched what they were
// shipped. Without its right to connect its agents lose their way, too.
func TestSite(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{Verbs: verb.Lookup})
	relay := startRelay(t, rig, "site1", 0)
	dirs := []string{startBehind(t, rig, "n1", relay.address), startBehind(t, rig, "n2", relay.address)}
	connected := func(s *engine.State) (n int) {
		site := s.AgentByName("site1")
		for _, a := range s.Agents {
			if a.Connected && site != nil && a.Via == site.ID {
				n++
			}
		}
		return n
	}
	rig.Until(t, "both agents behind the relay", func(s *engine.State) bool { return connected(s) == len(dirs) })
	content := []byte("shipped\n")
	plan, digest := shipping(t, rig, content, "n1", "n2")
	if status := rig.UntilEnded(t, rig.Run(t, plan)); status != "succeeded" {
		t.Fatalf("run is %s", status)
	}
	for i, dir := range dirs {
		if got, err := os.ReadFile(filepath.Join(dir, "copy")); err != nil || string(got) != string(content) {
			t.Errorf("%s: copy %q, %v", plan.Hosts[i], got, err)
		}
	}
	if got, err := os.ReadFile(filepath.Join(relay.cache, digest[:2], digest)); err != nil || string(got) != string(content) {
		t.Errorf("the relay's cache has %q, %v", got, err)
	}
	rig.O.View(func(s *engine.State) {
		site := s.AgentByName("site1")
		if !site.Relay || !site.Serves() || site.Usable() {
			t.Errorf("the relay is on record as %+v", site)
		}
		if missing := s.CheckRun(s.Plans[plan.ID()]); len(missing) > 0 {
			t.Errorf("hosts without agents: %v", missing)
		}
	})
	if err := rig.O.Revoke(t.Context(), "site1", orchestrator.Change{RequestID: "revoke", By: "test", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	rig.Until(t, "nobody behind a relay that was revoked", func(s *engine.State) bool {
		for _, a := range s.Agents {
			if a.Connected {
				return false
			}
		}
		return true
	})
}

// shipping is a plan that copies content to hosts.
func shipping(t *testing.T, rig *gatewaytest.Rig, content []byte, hosts ...string) (plan *planner.Plan, digest string) {
	t.Helper()
	digest = gatewaytest.Must(rig.O.Blobs().PutBytes(content))
	plan = rig.Plan(t, hosts, gatewaytest.Task{ID: "svc-a", Jobs: 1})
	add := &plan.Tasks[0].Jobs[0].Spec
	add.Verb, add.Text = "ADD", "shipped copy"
	add.Files = []job.File{{Name: "shipped", Digest: digest, Size: int64(len(content)), Mode: 0o644}}
	if _, err := rig.O.Blobs().PutBytes(plan.Encode()); err != nil {
		t.Fatal(err)
	}
	return plan, digest
}

// TestRelayTokens: who is no relay does not become one, and the other way round; the
// token is not spent by the attempt.
func TestRelayTokens(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	for _, c := range []struct {
		role  string
		relay bool
		want  string
	}{
		{"agent", true, "the token is for an agent"},
		{engine.RelayRole, false, "the token is for a relay"},
	} {
		token, _, err := rig.O.CreateToken(t.Context(), orchestrator.TokenRequest{Name: "n-" + c.role, Role: c.role})
		if err != nil {
			t.Fatal(err)
		}
		udp, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if c.relay {
			err = nodeagent.RunRelay(t.Context(), nodeagent.RelayConfig{Servers: []string{rig.Address}, Token: token, DataDir: t.TempDir(), UDP: udp, TCP: tcp})
		} else {
			err = nodeagent.Run(t.Context(), nodeagent.Config{Servers: []string{rig.Address}, Token: token, DataDir: t.TempDir()})
			_, _ = udp.Close(), tcp.Close()
		}
		var refused *nodeagent.RefusedError
		if !errors.As(err, &refused) || !strings.Contains(refused.Reason, c.want) {
			t.Errorf("token for %s: %v", c.role, err)
		}
	}
	rig.O.View(func(s *engine.State) {
		for _, token := range s.Tokens {
			if token.SpentBy != 0 {
				t.Errorf("the token of %s is spent", token.Name)
			}
		}
	})
}
