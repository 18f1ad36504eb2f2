package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"quorate/engine"
	"quorate/internal/admission"
	"quorate/internal/mux"
	"quorate/nodeagent/wire"
)

// relayStreamsMax is what one relay may have under way. A site of more agents than that
// needs another.
const relayStreamsMax = 1024

// A relayDesk is what a gateway needs for the tunnels of relays.
type relayDesk struct {
	tls        *tls.Config
	handshakes admission.Queue
}

// ofOneRelay are the turns of one relay's tunnels: a quarter of all is for other relays,
// whatever the agents of its site do.
func (l Limits) ofOneRelay() admission.Queue {
	return admission.NewQueue(l.HandshakesAtOnce - l.HandshakesAtOnce/4)
}

// relays reports whether the connection is one of a site's relay.
func (c *connection) relays() bool {
	return wire.ForRelay(c.carrier.state().NegotiatedProtocol)
}

// via is the relay that the connection came through, or 0.
func (c *connection) via() uint64 {
	if t, ok := c.carrier.(tunnelCarrier); ok {
		return t.relay
	}
	return 0
}

// tunnel serves the agent that speaks within a stream of a relay, as it would one that
// came by itself: the relay has no part in what is said.
func (s *session) tunnel(ctx context.Context, st *stream, asked *wire.Tunnel) error {
	over, ok := s.g.relaying.handshakes.WaitWithin(ctx, s.handshakes)
	if !ok && ctx.Err() != nil {
		return ctx.Err()
	}
	answer := &wire.Tunnelled{}
	if !ok {
		answer.Error = "the orchestrator has too many handshakes under way: try again"
	} else {
		defer over()
	}
	if wire.WriteMessage(st, answer) != nil {
		st.abort() // who asked has given up, as a whole site may at once
		return nil
	}
	if !ok {
		return st.Close()
	}
	conn, err := s.g.shake(ctx, s, st)
	over()
	if err != nil {
		s.g.logger.Debug("handshake through a relay", "relay", s.name, "error", err)
		return nil // that is between the agent and us
	}
	from := siteAddr{s.conn.carrier.remoteAddr(), asked.Address}
	if _, err := netip.ParseAddrPort(asked.Address); err != nil {
		from.agent = s.conn.remote()
	}
	// It ends with the stream, and not before, so that the reason is told as it is.
	s.g.attend(context.WithoutCancel(ctx), &connection{carrier: tunnelCarrier{muxCarrier{conn}, from, s.agent, s.conn}})
	return nil
}

// shake is the handshake with an agent, or with somebody who wants to become one.
func (g *gateway) shake(ctx context.Context, relay *session, st *stream) (*mux.Conn, error) {
	raw := &tunnelConn{carried: st.carried, addr: relay.conn.carrier.remoteAddr()}
	if err := errors.Join(raw.SetReadDeadline(time.Time{}), raw.SetWriteDeadline(time.Time{})); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(relay.conn.carrier.context(), func() { _ = raw.Close() })
	conn, err := mux.Server(ctx, raw, g.observed(g.relaying.tls, relay.agent))
	if err != nil {
		stop()
		return nil, err
	}
	// A relay's connection outlives thousands of tunnels, and is to keep none of them.
	context.AfterFunc(conn.Context(), func() { stop() })
	return conn, nil
}

// tunnelCarrier is a connection within a stream of a relay.
type tunnelCarrier struct {
	muxCarrier
	from   siteAddr
	relay  uint64
	within *connection
}

func (c tunnelCarrier) name() string         { return "relay" }
func (c tunnelCarrier) remoteAddr() net.Addr { return c.from }

// siteAddr is the address of an agent as its relay tells it, which is for display; what
// counts is the relay's own.
type siteAddr struct {
	net.Addr
	agent string
}

func (a siteAddr) String() string { return a.agent }

// A tunnelConn is a stream of a relay as a connection.
type tunnelConn struct {
	carried
	addr net.Addr
	once sync.Once
}

func (c *tunnelConn) LocalAddr() net.Addr  { return c.addr }
func (c *tunnelConn) RemoteAddr() net.Addr { return c.addr }

// SetDeadline implements [net.Conn].
func (c *tunnelConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Close ends both directions.
func (c *tunnelConn) Close() error {
	c.once.Do(func() {
		_ = c.carried.Close() // the other side is to read what was written
		c.carried.cancel()
	})
	return nil
}

// attempts are those that the peer may fetch content for: an agent's own open ones, and
// those of the agents that came through a relay.
func (s *session) attempts(state *engine.State) []uint64 {
	if !s.conn.relays() {
		return state.Agent(s.agent).Open
	}
	var all []uint64
	for _, a := range state.Agents {
		if a.Via == s.agent {
			all = append(all, a.Open...)
		}
	}
	return all
}

// streamsOf is how many streams who speaks a protocol may have open.
func streamsOf(protocol string) int {
	if wire.ForRelay(protocol) {
		return relayStreamsMax
	}
	return streamsMax
}
