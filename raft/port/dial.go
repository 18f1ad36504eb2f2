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
	ctx, cancel := context.WithTimeout(ctx, p.limits.Handshake)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	conn, err := dialTLS(ctx, address, p.cfg.Client, protocol)
	if err != nil {
		return nil, err
	}
	if err := p.greet(ctx, conn, replica, protocol); err != nil {
		_ = conn.NetConn().Close()
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	return conn, nil
}

// greet finds out whether the other end is the replica and takes the connection.
func (p *Port) greet(ctx context.Context, conn *tls.Conn, replica uint64, protocol string) error {
	other, err := p.cfg.PeerOf(conn.ConnectionState())
	if err != nil {
		return err
	}
	if other != replica {
		return fmt.Errorf("%w: replica %d", ErrOtherReplica, other)
	}
	if err := p.tune(conn.NetConn(), protocol); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
	var b [1]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		return fmt.Errorf("connection was not taken: %w", err)
	}
	if b[0] != ready {
		return fmt.Errorf("connection was not taken: greeted by %d", b[0])
	}
	return ctx.Err()
}

// DialJoin connects to an orchestrator's port as one that is no member yet, to
// speak Join. The configuration says whom to trust. Ctx bounds it.
func DialJoin(ctx context.Context, address string, conf *tls.Config) (net.Conn, error) {
	conn, err := dialTLS(ctx, address, conf, Join)
	if err != nil {
		return nil, fmt.Errorf("dial on %s: %w", Join, err)
	}
	return conn, nil
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
