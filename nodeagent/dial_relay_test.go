package nodeagent

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"quorate/internal/pki"
)

// A muted socket says nothing any more, of a moment on.
type muted struct {
	net.PacketConn
	mute atomic.Bool
}

func (m *muted) WriteTo(p []byte, to net.Addr) (int, error) {
	if m.mute.Load() {
		return len(p), nil
	}
	return m.PacketConn.WriteTo(p, to)
}

// TestRelayGoneSilent: a relay that lets an agent wait for a tunnel is waited for as long as
// it says anything, and given up when it does not, as one does that another has replaced.
func TestRelayGoneSilent(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	o := newOrchestrator(t)
	cert, err := o.ca.IssueServer(nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket := &muted{PacketConn: raw}
	ln, err := quic.Listen(socket, pki.ServerTLS(cert, o.ca.Certificate()), &quic.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	defer ln.Close()
	var k sockets
	defer k.close()
	l, err := k.dialQUIC(ctx, raw.LocalAddr().String(), pki.EnrolTLS(o.ca.Pin()), func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer l.close("done")
	c, err := ln.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseWithError(0, "") }()
	const stirs = 4 * stirsMin // more than a machine with much to do takes to answer
	there, left := l.whileThere(ctx, stirs)
	defer left()
	for range 3 { // each of which is refused, as a relay does
		s, err := c.AcceptStream(ctx)
		if err != nil {
			t.Fatal(err)
		}
		s.CancelRead(0)
		s.CancelWrite(0)
	}
	if err := there.Err(); err != nil {
		t.Fatalf("a relay that answers is given up: %v", context.Cause(there))
	}
	socket.mute.Store(true)
	select {
	case <-there.Done():
	case <-time.After(time.Minute):
	}
	if err := context.Cause(there); !errors.Is(err, errSilentRelay) {
		t.Errorf("behind a relay that says nothing: %v", err)
	}
}
