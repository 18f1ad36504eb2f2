package relay

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"time"

	"github.com/quic-go/quic-go"

	"quorate/internal/mux"
	"quorate/nodeagent/wire"
)

// A Stream carries bytes both ways. Close ends our direction, Cancel drops both; it may
// be called more than once.
type Stream interface {
	io.ReadWriteCloser
	Cancel()
	SetDeadline(time.Time) error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// An agentConn is the connection of an agent at the site.
type agentConn interface {
	accept(ctx context.Context) (Stream, error)
	protocol() string
	// certificate is the agent's, which TLS has verified, or nil.
	certificate() *x509.Certificate
	remote() net.Addr
	ended() <-chan struct{}
	end(reason string)
}

// quicConn is an agentConn over UDP.
type quicConn struct{ conn *quic.Conn }

func (c quicConn) accept(ctx context.Context) (Stream, error) {
	s, err := c.conn.AcceptStream(ctx)
	if err != nil {
		return nil, err
	}
	return QUICStream{s}, nil
}

func (c quicConn) protocol() string       { return c.conn.ConnectionState().TLS.NegotiatedProtocol }
func (c quicConn) remote() net.Addr       { return c.conn.RemoteAddr() }
func (c quicConn) ended() <-chan struct{} { return c.conn.Context().Done() }
func (c quicConn) end(reason string)      { _ = c.conn.CloseWithError(0, reason) }

func (c quicConn) certificate() *x509.Certificate { return leaf(c.conn.ConnectionState().TLS) }

// QUICStream is a [Stream] over UDP.
type QUICStream struct{ *quic.Stream }

// Cancel implements [Stream].
func (s QUICStream) Cancel() {
	s.CancelRead(0)
	s.CancelWrite(0)
}

// muxConn is an agentConn over TCP.
type muxConn struct{ conn *mux.Conn }

func (c muxConn) accept(ctx context.Context) (Stream, error) {
	s, err := c.conn.Accept(ctx)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (c muxConn) protocol() string       { return c.conn.TLS().NegotiatedProtocol }
func (c muxConn) remote() net.Addr       { return c.conn.RemoteAddr() }
func (c muxConn) ended() <-chan struct{} { return c.conn.Context().Done() }
func (c muxConn) end(reason string)      { _ = c.conn.CloseWithError(0, reason) }

func (c muxConn) certificate() *x509.Certificate { return leaf(c.conn.TLS()) }

func leaf(state tls.ConnectionState) *x509.Certificate {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	return state.PeerCertificates[0]
}

// overTCP makes a connection of what was accepted.
func overTCP(ctx context.Context, raw net.Conn, conf *tls.Config) (agentConn, error) {
	c, err := mux.Server(ctx, raw, conf, mux.StreamsBy(func(protocol string) int {
		if protocol == wire.ALPNSiteEnrol {
			return 1 // it is unknown, and each is memory
		}
		return streamsMax
	}))
	if err != nil {
		return nil, err
	}
	return muxConn{c}, nil
}
