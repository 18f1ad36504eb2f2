package gateway_test

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"testing"

	"quorate/engine"
	"quorate/engine/gateway/gatewaytest"
	"quorate/internal/job"
	"quorate/nodeagent/verb"
)

// silentPort listens for TCP at a port where UDP is heard by nobody.
func silentPort(t *testing.T) net.Listener {
	t.Helper()
	for {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		socket, err := net.ListenPacket("udp", ln.Addr().String())
		if err != nil { // somebody else's
			ln.Close()
			continue
		}
		t.Cleanup(func() { socket.Close() })
		return ln
	}
}

// An agent that UDP does not reach enrols, connects, fetches what a plan ships and
// reports over TCP, as others do over QUIC.
func TestRealAgentOverTCP(t *testing.T) {
	ln := silentPort(t)
	rig := gatewaytest.Start(t, gatewaytest.Options{Verbs: verb.Lookup, TCP: ln})
	rig.Address = ln.Addr().String()
	dir := startAgent(t, rig, "n1")
	rig.Until(t, "the agent over TCP", func(s *engine.State) bool {
		for _, a := range s.Agents {
			return a.Connected && a.Transport == "tcp"
		}
		return false
	})
	content := bytes.Repeat([]byte("shipped\n"), 200_000)
	digest := gatewaytest.Must(rig.O.Blobs().PutBytes(content))
	plan := rig.Plan(t, []string{"n1"}, gatewaytest.Task{ID: "svc-a", Jobs: 2})
	plan.Tasks[0].Jobs[0].Spec.Text = "echo $QUORATE_HOST > host"
	add := &plan.Tasks[0].Jobs[1].Spec
	add.Verb, add.Text = "ADD", "shipped copy"
	add.Files = []job.File{{Name: "shipped", Digest: digest, Size: int64(len(content)), Mode: 0o644}}
	if _, err := rig.O.Blobs().PutBytes(plan.Encode()); err != nil {
		t.Fatal(err)
	}
	if status := rig.UntilEnded(t, rig.Run(t, plan)); status != "succeeded" {
		t.Fatalf("run is %s", status)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "host")); err != nil || string(got) != "n1\n" {
		t.Errorf("host %q, %v", got, err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "copy")); err != nil || !bytes.Equal(got, content) {
		t.Errorf("copy of %d bytes, want %d: %v", len(got), len(content), err)
	}
}
