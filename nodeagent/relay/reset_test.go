package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"quorate/internal/pki"
	"quorate/nodeagent/wire"
)

// TestResetTellsOfRestart: a relay that was killed and started again with its key answers
// an agent's ping by telling it that its connection is over. Its port is not free in
// between, so that what tells is not the host.
func TestResetTellsOfRestart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	agent, conf := b.identity(b.ca, b.ca.IssueAgent), pki.SiteServerTLS(b.identity(b.ca, b.ca.IssueRelay), b.ca.Certificate())
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := socket.(*net.UDPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b.udp = socket.LocalAddr()
	stop := b.serve(socket, conf)
	site, err := quic.DialAddr(t.Context(), b.udp.String(), pki.SiteTLS(agent, b.ca.Certificate()), &quic.Config{
		HandshakeIdleTimeout: patience / 2, DisablePathMTUDiscovery: true, // whose packets are large
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = site.CloseWithError(0, "") })
	// A relay that has not heard the end of the handshake would be sent that again and
	// again, which no reset answers: it has when it refuses what opens no stream.
	first, err := site.OpenStreamSync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.say(QUICStream{first}, wire.NewPing())
	if _, err := wire.ReadFrom(first, wire.Orchestrator); err == nil {
		t.Fatal("a ping opens a stream")
	}
	s, err := site.OpenStreamSync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again, err := net.FilePacketConn(file)
	if err != nil {
		t.Fatal(err)
	}
	_ = socket.Close() // nothing can be said any more
	stop()
	t.Cleanup(b.serve(again, conf))
	b.say(QUICStream{s}, wire.NewPing())
	select {
	case <-site.Context().Done():
	case <-time.After(2 * patience):
		t.Fatal("the agent was told nothing")
	}
	if err := context.Cause(site.Context()); !errors.As(err, new(*quic.StatelessResetError)) {
		t.Errorf("the connection is over since %v, want a stateless reset", err)
	}
}

// serve runs a relay on a socket until stop is called.
func (b *bench) serve(udp net.PacketConn, conf *tls.Config) (stop func()) {
	b.t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	cache, err := NewCache(b.t.TempDir(), 0, 0, b.origin.open, slog.New(slog.DiscardHandler))
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = Serve(ctx, Config{
			UDP: udp, TCP: tcp, TLS: conf, Open: func(ctx context.Context) (Stream, error) { return b.open(ctx) }, Cache: cache,
			ResetKey: [32]byte{1}, Logger: slog.New(slog.DiscardHandler),
		})
	}()
	return func() {
		cancel()
		<-done
	}
}
