package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"quorate/internal/mux"
	"quorate/internal/pace"
)

// acceptPause is how long no connection is accepted after that failed, as it does
// where there are too many open files.
const acceptPause = 100 * time.Millisecond

// acceptTCP serves agents that UDP does not reach until accepting ends; connections
// are served as long as ctx lets them. It closes the listener.
func (g *gateway) acceptTCP(accepting, ctx context.Context, ln net.Listener, conf *tls.Config) error {
	defer context.AfterFunc(accepting, func() { _ = ln.Close() })()
	defer ln.Close()
	for {
		raw, err := ln.Accept()
		switch {
		case accepting.Err() != nil:
			if err == nil {
				_ = raw.Close()
			}
			return accepting.Err()
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept of agents over TCP: %w", err)
		case err != nil:
			g.logger.Warn("connections over TCP are not accepted for a moment", "error", err)
			select {
			case <-time.After(acceptPause):
			case <-accepting.Done():
			}
			continue
		}
		ticket, err := g.admission.TCP(raw.RemoteAddr())
		if err != nil {
			refuse(raw)
			continue
		}
		g.tasks.Go(func() {
			defer ticket.Release()
			over, ok := g.handshakesTCP.Wait(accepting)
			if !ok {
				refuse(raw)
				return
			}
			defer over()
			c, err := mux.Server(accepting, raw, conf, mux.StreamsBy(streamsOf))
			if err != nil {
				g.logger.Debug("handshake over TCP", "address", raw.RemoteAddr(), "error", err)
				return
			}
			over()
			ticket.Shaken()
			g.attend(ctx, &connection{carrier: muxCarrier{c}, ticket: ticket})
		})
	}
}

// refuse drops a connection without leaving anything of it to the kernel.
func refuse(raw net.Conn) {
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = raw.Close()
}

// A muxCarrier is a connection over TCP.
type muxCarrier struct{ conn *mux.Conn }

func (c muxCarrier) name() string                     { return "tcp" }
func (c muxCarrier) state() tls.ConnectionState       { return c.conn.TLS() }
func (c muxCarrier) remoteAddr() net.Addr             { return c.conn.RemoteAddr() }
func (c muxCarrier) rtt() time.Duration               { return c.conn.RTT() }
func (c muxCarrier) trip() pace.Trip                  { return tripOf(c.conn.Stats()) }
func (c muxCarrier) context() context.Context         { return c.conn.Context() }
func (c muxCarrier) close(code uint64, reason string) { _ = c.conn.CloseWithError(code, reason) }

func (c muxCarrier) accept(ctx context.Context) (carried, error) {
	s, err := c.conn.Accept(ctx)
	if err != nil {
		return nil, err
	}
	return muxStream{s}, nil
}

// A muxStream is a stream over TCP.
type muxStream struct{ *mux.Stream }

func (s muxStream) cancel() { s.Cancel() }

// yield has what others write go first. What is under way on the one connection of TCP
// cannot be overtaken, but it is little (see [bulk]).
func (s muxStream) yield() { s.Yield() }

func tripOf(s mux.Stats) pace.Trip {
	return pace.Trip{Latest: s.RTT, Min: s.Min, Received: s.Received}
}
