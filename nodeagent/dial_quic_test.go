package nodeagent

import (
	"context"
	"net"
	"testing"

	"quorate/internal/pki"
)

// TestIPv6 connects to an orchestrator that has no other address.
func TestIPv6(t *testing.T) {
	probe, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Skip("this host has no IPv6:", err)
	}
	_ = probe.Close()
	o := newOrchestrator(t)
	cert, err := o.ca.IssueServer(nil)
	if err != nil {
		t.Fatal(err)
	}
	six := &orchestrator{t: t, ca: o.ca, token: o.token, changed: make(chan struct{}), epoch: o.epoch, heartbeat: o.heartbeat}
	six.listen("[::1]:0", pki.ServerTLS(cert, o.ca.Certificate()))
	startAgent(t, six, t.TempDir())
	six.connected()
}

// TestSocketsClose: no socket outlives the agent, whatever its connection is about.
func TestSocketsClose(t *testing.T) {
	var k sockets
	left := make(chan struct{}, 2)
	over, end := context.WithCancel(t.Context())
	k.linger(over, func() { left <- struct{}{} })
	k.linger(t.Context(), func() { left <- struct{}{} })
	end()
	k.close()
	if len(left) != 2 {
		t.Errorf("%d of 2 sockets are closed", len(left))
	}
}
