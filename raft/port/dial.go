package port

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"time"
)

// Dial connects to a replica on one of the protocols of members, and verifies
// that it reached that replica and that it takes the connection. Ctx bounds it, and
// [Limits].Handshake where that is sooner. Errors wrap [ErrUnknownReplica] or
// [ErrOtherReplica], or are of the network or of TLS.
func (p *Port) Dial(ctx context.Context, replica uint64, protocol string) (net.Conn, error) {
	conn, err := p.dial(ctx, replica, protocol)
	if err != nil {
		return nil, fmt.Errorf("dial replica %d on %s: %w", replica, protocol, err)
	}
	return conn, nil
}

func (p *Port) dial(ctx context.Context, replica uint64, protocol string) (net.Conn, error) {
	address, ok := p.cfg.Book.Address(replica)
	if !ok {
		return nil, ErrUnknownReplica
	}
	conn, _, err := p.dialAt(ctx, address, replica, protocol)
	return conn, err
}

// DialAddress is [Port.Dial] of whichever replica of the cluster is at the
// address, and tells which that is.
func (p *Port) DialAddress(ctx context.Context, address, protocol string) (net.Conn, uint64, error) {
	conn, replica, err := p.dialAt(ctx, address, 0, protocol)
	if err != nil {
		return nil, 0, fmt.Errorf("dial on %s: %w", protocol, err)
	}
	return conn, replica, nil
}

// dialAt connects to the replica at the address, to any where replica is 0.
func (p *Port) dialAt(ctx context.Context, address string, replica uint64, protocol string) (_ net.Conn, other uint64, _ error) {
	ctx, cancel := context.WithTimeout(ctx, p.limits.Handshake)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	conn, err := dialTLS(ctx, address, p.cfg.Client, protocol)
	if err != nil {
		return nil, 0, err
	}
	if other, err = p.greet(ctx, conn, replica, protocol); err != nil {
		_ = conn.NetConn().Close()
		return nil, 0, fmt.Errorf("%s: %w", address, err)
	}
	return conn, other, nil
}

// greet finds out which replica is at the other end, and whether it is the one that
// is asked for and takes the connection.
func (p *Port) greet(ctx context.Context, conn *tls.Conn, replica uint64, protocol string) (other uint64, err error) {
	if other, err = p.cfg.PeerOf(conn.ConnectionState()); err != nil {
		return 0, err
	}
	if replica != 0 && other != replica {
		return 0, fmt.Errorf("%w: replica %d", ErrOtherReplica, other)
	}
	if err := p.tune(conn.NetConn(), protocol); err != nil {
		return 0, err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
	var b [1]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		return 0, fmt.Errorf("connection was not taken: %w", err)
	}
	if b[0] != ready {
		return 0, fmt.Errorf("connection was not taken: greeted by %d", b[0])
	}
	return other, ctx.Err()
}

func dialTLS(ctx context.Context, address string, conf *tls.Config, protocol string) (*tls.Conn, error) {
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	conf = conf.Clone()
	conf.NextProtos = []string{protocol}
	conn := tls.Client(raw, conf)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("%s: handshake: %w", address, err)
	}
	if got := conn.ConnectionState().NegotiatedProtocol; got != protocol {
		_ = raw.Close()
		return nil, fmt.Errorf("%s: it speaks %q", address, got)
	}
	return conn, nil
}
