package nodeagent

import (
	"net"
	"strings"
	"testing"
	"time"

	"quorate/internal/pki"
	"quorate/nodeagent/wire"
)

// TestRestartedOrchestrator: an agent that has nothing to say notices by its first ping
// that its orchestrator was killed and started again, and not by the silence that the
// next ping would be followed by as well.
func TestRestartedOrchestrator(t *testing.T) {
	t.Parallel()
	first := newOrchestrator(t)
	o := &orchestrator{t: t, ca: first.ca, token: first.token, changed: make(chan struct{}), epoch: first.epoch, idle: time.Minute}
	o.heartbeat = uint32((3 * time.Second).Milliseconds()) // silence is told after another 4.5 s
	cert, err := o.ca.IssueServer(nil)
	if err != nil {
		t.Fatal(err)
	}
	o.listen("127.0.0.1:0", pki.ServerTLS(cert, o.ca.Certificate()))
	a := startAgent(t, o, t.TempDir())
	eventually(t, "the connection", func() bool { return strings.Contains(a.log.String(), "msg=connected") })
	o.connected()
	for range 30 { // until QUIC knows how large packets may be, and tries no more
		before := o.conn.ConnectionStats().PacketsReceived
		o.send(&wire.Pong{})
		eventually(t, "its receipt", func() bool { return o.conn.ConnectionStats().PacketsReceived > before })
	}
	restart(t, o)
	eventually(t, "the end of the connection", func() bool { return strings.Contains(a.log.String(), "connection lost") })
	log := a.log.String()
	if !strings.Contains(log, "stateless reset") || strings.Contains(log, "the orchestrator is silent") {
		t.Error("the agent was not told that its connection is unknown")
	}
	eventually(t, "the next connection", func() bool { return strings.Count(a.log.String(), "msg=connected") == 2 })
}

// restart kills the orchestrator without a word to anybody, and starts it again. Its
// port is not free in between: what is sent there waits.
func restart(t *testing.T, o *orchestrator) {
	t.Helper()
	file, err := o.socket.(*net.UDPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	next, err := net.FilePacketConn(file)
	if err != nil {
		t.Fatal(err)
	}
	o.socket.Close()
	cert, err := o.ca.IssueServer(nil)
	if err != nil {
		t.Fatal(err)
	}
	o.serveOn(next, pki.ServerTLS(cert, o.ca.Certificate()))
}
