package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/quic-go/quic-go"

	"quorate/internal/admission"
	"quorate/internal/pace"
	"quorate/internal/pki"
)

// This is the only file that knows quic-go: its API changes with minor versions.

const (
	keepAlive   = 10 * time.Second // NATs drop idle bindings from 30 s on
	idleTimeout = 45 * time.Second
)

// A listener accepts agents' connections over QUIC.
type listener struct {
	transport *quic.Transport
	listener  *quic.Listener
	socket    net.PacketConn
}

// listen serves QUIC on the socket. 0-RTT is off: its data can be replayed.
func listen(socket net.PacketConn, tlsConfig *tls.Config, resetKey [pki.ResetKeyBytes]byte, a *admission.Admission) (*listener, error) {
	key := quic.StatelessResetKey(resetKey)
	transport := &quic.Transport{
		Conn: socket, StatelessResetKey: &key,
		VerifySourceAddress: a.MustProve,
		ConnContext: func(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
			return a.Context(ctx, info.RemoteAddr, info.AddrVerified)
		},
	}
	ln, err := transport.Listen(tlsConfig, &quic.Config{
		HandshakeIdleTimeout: handshakeTimeout / 2, MaxIdleTimeout: idleTimeout, KeepAlivePeriod: keepAlive,
		InitialStreamReceiveWindow: streamWindowBytes, MaxStreamReceiveWindow: streamWindowBytes,
		InitialConnectionReceiveWindow: connectionWindowBytes, MaxConnectionReceiveWindow: connectionWindowBytes,
		MaxIncomingStreams:    relayStreamsMax, // agents are held to fewer, see serveStreams
		MaxIncomingUniStreams: -1, Allow0RTT: false,
	})
	if err != nil {
		return nil, fmt.Errorf("QUIC on %s: %w", socket.LocalAddr(), errors.Join(err, transport.Close()))
	}
	return &listener{transport: transport, listener: ln, socket: socket}, nil
}

// accept returns the next connection whose handshake is done.
func (l *listener) accept(ctx context.Context) (*connection, error) {
	c, err := l.listener.Accept(ctx)
	if err != nil {
		return nil, fmt.Errorf("accept of agents: %w", err)
	}
	admission.Shaken(c.Context())
	return &connection{carrier: quicCarrier{c}, ticket: admission.Of(c.Context())}, nil
}

func (l *listener) close() {
	// Nothing is left to be done about an error: the socket goes in any case.
	_ = l.listener.Close()
	_ = l.transport.Close()
	_ = l.socket.Close()
}

// A quicCarrier is a connection of QUIC.
type quicCarrier struct{ conn *quic.Conn }

func (c quicCarrier) name() string               { return "quic" }
func (c quicCarrier) state() tls.ConnectionState { return c.conn.ConnectionState().TLS }
func (c quicCarrier) remoteAddr() net.Addr       { return c.conn.RemoteAddr() }
func (c quicCarrier) rtt() time.Duration         { return c.conn.ConnectionStats().SmoothedRTT }
func (c quicCarrier) context() context.Context   { return c.conn.Context() }

// trip is what QUIC shows of the round trips.
func (c quicCarrier) trip() pace.Trip {
	s := c.conn.ConnectionStats()
	return pace.Trip{Latest: s.LatestRTT, Min: s.MinRTT, Received: s.PacketsReceived}
}

func (c quicCarrier) close(code uint64, reason string) {
	_ = c.conn.CloseWithError(quic.ApplicationErrorCode(code), reason)
}

func (c quicCarrier) accept(ctx context.Context) (carried, error) {
	s, err := c.conn.AcceptStream(ctx)
	if err != nil {
		return nil, err
	}
	return quicStream{s}, nil
}

// A quicStream is a stream of QUIC.
type quicStream struct{ *quic.Stream }

func (s quicStream) cancel() {
	s.CancelRead(codeProtocol)
	s.CancelWrite(codeProtocol)
}

// urgencyLast is the last of RFC 9218's urgencies; streams have 3 unless they are told.
const urgencyLast = 7

func (s quicStream) yield() { s.SetPriority(urgencyLast, true) }

// quicIdle reports whether a connection ended because nothing was heard.
func quicIdle(err error) bool {
	var idle *quic.IdleTimeoutError
	return errors.As(err, &idle)
}

// quicClose is what was said when a connection was closed, and whether that was the
// other side.
func quicClose(err error) (reason string, remote, ok bool) {
	var closed *quic.ApplicationError
	if !errors.As(err, &closed) {
		return "", false, false
	}
	return closed.ErrorMessage, closed.Remote, true
}
