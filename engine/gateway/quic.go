package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go"

	"quorate/nodeagent/wire"
)

// This is the only file that knows quic-go: its API changes with minor versions.

// Codes that close a connection.
const (
	codeDone     = 0
	codeProtocol = 1
	codeRefused  = 2
	codeReplaced = 3
	codeSlow     = 4
)

// Windows and streams per connection: an agent has one control stream and few
// blobs, and an orchestrator has thousands of agents.
const (
	streamWindowBytes     = 256 << 10
	connectionWindowBytes = 1 << 20
	streamsMax            = 8
	keepAlive             = 10 * time.Second // NATs drop idle bindings from 30 s on
	idleTimeout           = 45 * time.Second
)

// A listener accepts agents' connections.
type listener struct {
	transport *quic.Transport
	listener  *quic.Listener
	socket    net.PacketConn
}

// listen serves QUIC on the socket. 0-RTT is off: its data can be replayed.
func listen(socket net.PacketConn, tlsConfig *tls.Config, resetKey [resetKeyBytes]byte, a *admission) (*listener, error) {
	key := quic.StatelessResetKey(resetKey)
	transport := &quic.Transport{
		Conn: socket, StatelessResetKey: &key,
		VerifySourceAddress: func(addr net.Addr) bool { return a.mustProve(addressOf(addr)) },
		ConnContext: func(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
			ticket, err := a.admit(addressOf(info.RemoteAddr))
			if err != nil {
				return nil, err
			}
			context.AfterFunc(ctx, ticket.release)
			return context.WithValue(ctx, ticketKey{}, ticket), nil
		},
	}
	ln, err := transport.Listen(tlsConfig, &quic.Config{
		HandshakeIdleTimeout: handshakeTimeout / 2, MaxIdleTimeout: idleTimeout, KeepAlivePeriod: keepAlive,
		InitialStreamReceiveWindow: streamWindowBytes, MaxStreamReceiveWindow: streamWindowBytes,
		InitialConnectionReceiveWindow: connectionWindowBytes, MaxConnectionReceiveWindow: connectionWindowBytes,
		MaxIncomingStreams: streamsMax, MaxIncomingUniStreams: -1, Allow0RTT: false,
	})
	if err != nil {
		return nil, fmt.Errorf("QUIC on %s: %w", socket.LocalAddr(), errors.Join(err, transport.Close()))
	}
	return &listener{transport: transport, listener: ln, socket: socket}, nil
}

type ticketKey struct{}

func addressOf(addr net.Addr) netip.Addr {
	if udp, ok := addr.(*net.UDPAddr); ok {
		return udp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// accept returns the next connection whose handshake is done.
func (l *listener) accept(ctx context.Context) (*connection, error) {
	c, err := l.listener.Accept(ctx)
	if err != nil {
		return nil, fmt.Errorf("accept of agents: %w", err)
	}
	if ticket, ok := c.Context().Value(ticketKey{}).(*ticket); ok {
		ticket.shaken()
	}
	return &connection{quic: c}, nil
}

func (l *listener) close() {
	// Nothing is left to be done about an error: the socket goes in any case.
	_ = l.listener.Close()
	_ = l.transport.Close()
	_ = l.socket.Close()
}

// A connection is one agent's, or somebody's who wants to become one.
type connection struct{ quic *quic.Conn }

func (c *connection) enrols() bool {
	return c.quic.ConnectionState().TLS.NegotiatedProtocol == wire.ALPNEnrol
}

// certificate is the peer's, verified by TLS; nil where it has shown none.
func (c *connection) certificate() *x509.Certificate {
	if certs := c.quic.ConnectionState().TLS.PeerCertificates; len(certs) > 0 {
		return certs[0]
	}
	return nil
}

func (c *connection) address() netip.Addr { return addressOf(c.quic.RemoteAddr()) }
func (c *connection) remote() string      { return c.quic.RemoteAddr().String() }

// done is closed when the connection is.
func (c *connection) done() <-chan struct{} { return c.quic.Context().Done() }

// whenClosed calls f when the connection is closed, unless stop is called before.
func (c *connection) whenClosed(f func()) (stop func()) {
	undo := context.AfterFunc(c.quic.Context(), f)
	return func() { undo() }
}

// rtt is the round trip to the agent, smoothed.
func (c *connection) rtt() time.Duration { return c.quic.ConnectionStats().SmoothedRTT }

// close ends the connection; only the first call counts.
func (c *connection) close(code uint64, reason string) {
	_ = c.quic.CloseWithError(quic.ApplicationErrorCode(code), reason)
}

// why is the reason for which the connection is closed, where err only says that
// something was cancelled because of that.
func (c *connection) why(err error) error {
	if cause := context.Cause(c.quic.Context()); cause != nil && errors.Is(err, context.Canceled) {
		return cause
	}
	return err
}

// stream waits for the peer to open one.
func (c *connection) stream(ctx context.Context) (*stream, error) {
	s, err := c.quic.AcceptStream(ctx)
	if err != nil {
		return nil, err
	}
	return &stream{quic: s}, nil
}

// A stream carries frames both ways, or one blob.
type stream struct{ quic *quic.Stream }

var _ io.ReadWriteCloser = (*stream)(nil)

func (s *stream) Read(p []byte) (int, error) { return s.quic.Read(p) }

// Write waits at most writeTimeout for the peer to take the bytes.
func (s *stream) Write(p []byte) (int, error) {
	if err := s.quic.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return s.quic.Write(p)
}

// readWithin bounds the time of the reads that follow; 0 does not.
func (s *stream) readWithin(d time.Duration) error {
	if d == 0 {
		return s.quic.SetReadDeadline(time.Time{})
	}
	return s.quic.SetReadDeadline(time.Now().Add(d))
}

// Close ends our side of the stream.
func (s *stream) Close() error { return s.quic.Close() }

// abort drops both sides of the stream.
func (s *stream) abort() {
	s.quic.CancelRead(codeProtocol)
	s.quic.CancelWrite(codeProtocol)
}

// codeOf is what a connection is closed with that ended for the reason.
func codeOf(err error) uint64 {
	if errors.Is(err, errReplaced) {
		return codeReplaced
	}
	return codeProtocol
}

// parting says in a word why a connection ended.
func parting(err error) string {
	var idle *quic.IdleTimeoutError
	var app *quic.ApplicationError
	switch {
	case errors.As(err, &idle):
		return "nothing was heard"
	case errors.As(err, &app) && app.Remote:
		return "closed by the agent"
	case errors.As(err, &app) && app.ErrorMessage != "":
		return app.ErrorMessage
	case errors.Is(err, io.EOF):
		return "closed by the agent"
	case errors.Is(err, context.Canceled):
		return "the orchestrator stops"
	case err == nil:
		return "closed"
	}
	return err.Error()
}
