package port

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

const (
	acceptBackoffMin = 5 * time.Millisecond
	acceptBackoffMax = 500 * time.Millisecond

	// ready is what the server says when it has taken a replica's connection: in
	// TLS 1.3 the client's handshake ends before the server has seen its
	// certificate, so that without it a refusal would look like a connection.
	ready = 1
)

// acceptAll accepts until the port is closed. Whatever accept says short of that,
// such as that the process has no more file descriptors, passes.
func (p *Port) acceptAll() {
	backoff := time.Duration(0)
	for {
		conn, err := p.cfg.Listener.Accept()
		if err == nil {
			if backoff > 0 {
				p.log.Info("raft port accepts again")
			}
			backoff = 0
			p.begin(conn)
			continue
		}
		if p.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return
		}
		if backoff == 0 {
			p.log.Warn("raft port cannot accept; it goes on trying", "err", err)
		}
		backoff = min(max(2*backoff, acceptBackoffMin), acceptBackoffMax)
		select {
		case <-time.After(backoff):
		case <-p.ctx.Done():
			return
		}
	}
}

// begin hands a connection to a goroutine of its own.
func (p *Port) begin(conn net.Conn) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		_ = conn.Close()
		return
	}
	address := hostOf(conn)
	evicted := p.handshakes.add(conn, address, p.limits.Handshakes, p.limits.HandshakesPerAddress)
	p.goroutines.Add(1)
	p.mu.Unlock()
	if evicted != nil {
		_ = evicted.Close()
	}
	go func() {
		defer p.goroutines.Done()
		defer conn.Close()
		if err := p.serve(conn); err != nil && p.ctx.Err() == nil {
			p.log.Debug("raft port: connection refused", "remote", conn.RemoteAddr().String(), "err", err)
		}
	}()
}

// serve does the handshake and lets the handler serve. Errors are those before
// the handler.
func (p *Port) serve(raw net.Conn) error {
	conn, err := p.handshake(raw)
	if err != nil {
		return err
	}
	protocol := conn.ConnectionState().NegotiatedProtocol
	var from uint64
	if protocol != Join {
		if from, err = p.cfg.PeerOf(conn.ConnectionState()); err != nil {
			return err
		}
	}
	if err := p.may(peer{protocol, from}, raw.RemoteAddr()); err != nil {
		return err
	}
	handler, done, err := p.admit(raw, protocol, from)
	if err != nil {
		return err
	}
	defer done()
	if err := p.tune(raw, protocol); err != nil {
		return err
	}
	if protocol == Join {
		err = conn.SetDeadline(time.Now().Add(p.limits.JoinTime))
	} else {
		err = p.sayReady(conn)
	}
	if err != nil {
		return err
	}
	handler(p.ctx, conn, from)
	_ = conn.Close() // says goodbye to who still listens
	return nil
}

func (p *Port) sayReady(conn net.Conn) error {
	if err := conn.SetWriteDeadline(time.Now().Add(p.limits.Handshake)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte{ready}); err != nil {
		return err
	}
	return conn.SetWriteDeadline(time.Time{})
}

func (p *Port) handshake(raw net.Conn) (*tls.Conn, error) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.handshakes.remove(raw)
	}()
	ctx, cancel := context.WithTimeout(p.ctx, p.limits.Handshake)
	defer cancel()
	conn := tls.Server(raw, p.cfg.Server)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return conn, nil
}

// admit finds the handler, and counts the connection until done.
func (p *Port) admit(raw net.Conn, protocol string, from uint64) (handler Handler, done func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	handler, ok := p.handlers[protocol]
	switch {
	case p.closed:
		return nil, nil, ErrClosed
	case !ok:
		return nil, nil, fmt.Errorf("nobody serves %s here yet", protocol)
	case protocol != Join && p.perReplica[from] >= p.limits.ConnectionsPerReplica:
		return nil, nil, fmt.Errorf("replica %d has %d connections here already", from, p.limits.ConnectionsPerReplica)
	}
	p.open[raw] = peer{protocol, from}
	if protocol == Join {
		if oldest := p.joins.add(raw, "", p.limits.Joins, p.limits.Joins); oldest != nil {
			_ = oldest.Close() // its handler hears of it
		}
	} else {
		p.perReplica[from]++
	}
	return handler, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, raw)
		if protocol == Join {
			p.joins.remove(raw)
		} else if p.perReplica[from]--; p.perReplica[from] == 0 {
			delete(p.perReplica, from)
		}
	}, nil
}

// hostOf is the remote address without its port.
func hostOf(conn net.Conn) string {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return a.IP.String()
	}
	return conn.RemoteAddr().String()
}
