package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"quorate/internal/admission"
	"quorate/internal/pki"
	"quorate/nodeagent/wire"
)

const quicPatience = time.Minute

// A quicPort is a cluster's authority, and what its gateway listens with.
type quicPort struct {
	t      *testing.T
	ca     *pki.CA
	server *tls.Config
	agent  *tls.Config
}

func newQUICPort(t *testing.T) *quicPort {
	t.Helper()
	ca, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.IssueServer(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	der, err := ca.IssueAgent(public, 7)
	if err != nil {
		t.Fatal(err)
	}
	identity := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return &quicPort{t, ca, pki.ServerTLS(server, ca.Certificate()), pki.AgentTLS(identity, ca.Certificate())}
}

// listen listens on a socket until the test ends.
func (p *quicPort) listen(socket net.PacketConn, conf *tls.Config) *listener {
	p.t.Helper()
	l, err := listen(socket, conf, [pki.ResetKeyBytes]byte{1}, admission.New(Limits{}.orDefault().admission()))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(l.close)
	return l
}

// socket is a new one on the loopback interface.
func (p *quicPort) socket() *net.UDPConn {
	p.t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	return socket.(*net.UDPConn)
}

// connect connects an agent, and returns both ends. What the agent writes to its first
// stream on the way is early data, where it has a ticket that allows it.
func (p *quicPort) connect(l *listener, tickets tls.ClientSessionCache, early string) (agent, gateway *quic.Conn) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), quicPatience)
	defer cancel()
	conf := p.agent.Clone()
	conf.ClientSessionCache, conf.SessionTicketsDisabled = tickets, tickets == nil
	agent, err := quic.DialAddrEarly(ctx, l.socket.LocalAddr().String(), conf, &quic.Config{
		MaxIdleTimeout: quicPatience, DisablePathMTUDiscovery: true, // whose packets are large
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = agent.CloseWithError(0, "") })
	if early != "" {
		if s, err := agent.OpenStream(); err == nil {
			_, _ = s.Write([]byte(early)) // whether it may is what the test asks
		}
	}
	c, err := l.accept(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-agent.HandshakeComplete():
	case <-ctx.Done():
		p.t.Fatal("no handshake")
	}
	return agent, c.carrier.(quicCarrier).conn
}

// TestResetTellsOfRestart: a gateway that was killed and started again with its key
// answers an agent's ping by telling it that its connection is over. Its port is not
// free in between, so that what tells is not the host.
func TestResetTellsOfRestart(t *testing.T) {
	t.Parallel()
	p := newQUICPort(t)
	socket := p.socket()
	file, err := socket.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	agent, gateway := p.connect(p.listen(socket, p.server), nil, "")
	control, err := agent.OpenStreamSync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// An agent that has not heard the end of the handshake repeats that, which no reset
	// answers: it has heard it when an answer is there.
	if err := wire.WriteMessage(control, wire.NewPing()); err != nil {
		t.Fatal(err)
	}
	answering, err := gateway.AcceptStream(t.Context())
	if err == nil {
		err = wire.WriteMessage(answering, &wire.Pong{})
	}
	if err == nil {
		_, err = wire.ReadFrom(control, wire.Orchestrator)
	}
	if err != nil {
		t.Fatal(err)
	}
	again, err := net.FilePacketConn(file)
	if err != nil {
		t.Fatal(err)
	}
	_ = socket.Close() // nothing can be said any more
	p.listen(again, p.server)
	if err := wire.WriteMessage(control, wire.NewPing()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-agent.Context().Done():
	case <-time.After(2 * quicPatience):
		t.Fatal("the agent was told nothing")
	}
	if err := context.Cause(agent.Context()); !errors.As(err, new(*quic.StatelessResetError)) {
		t.Errorf("the connection is over since %v, want a stateless reset", err)
	}
}

// tickets are those that a client was given.
type tickets struct {
	tls.ClientSessionCache
	given chan struct{} // one token for each
}

func newTickets() *tickets {
	return &tickets{tls.NewLRUClientSessionCache(1), make(chan struct{}, 16)}
}

// Put implements tls.ClientSessionCache.
func (c *tickets) Put(key string, state *tls.ClientSessionState) {
	c.ClientSessionCache.Put(key, state)
	if state != nil {
		c.given <- struct{}{}
	}
}

// TestNoTickets: an agent is given nothing that it could resume a session with.
func TestNoTickets(t *testing.T) {
	t.Parallel()
	p := newQUICPort(t)
	given := newTickets()
	agent, gateway := p.connect(p.listen(p.socket(), p.server), given, "")
	_ = gateway.CloseWithError(0, "done") // behind all that belongs to the handshake
	<-agent.Context().Done()
	if len(given.given) != 0 {
		t.Errorf("%d tickets were given", len(given.given))
	}
}

// TestNoEarlyData: even where sessions could be resumed the gateway offers no early data,
// and refuses what somebody sends with a ticket that allows it.
func TestNoEarlyData(t *testing.T) {
	t.Parallel()
	p := newQUICPort(t)
	conf := p.server.Clone() // without GetConfigForClient, which turns tickets off
	conf.GetConfigForClient, conf.SessionTicketsDisabled = nil, false
	conf.SetSessionTicketKeys([][32]byte{{7}})
	l := p.listen(p.socket(), conf)
	await := func(given *tickets) {
		t.Helper()
		select {
		case <-given.given:
		case <-time.After(quicPatience):
			t.Fatal("no ticket")
		}
	}
	own := newTickets()
	p.connect(l, own, "")
	await(own)
	agent, gateway := p.connect(l, own, "early")
	if !agent.ConnectionState().TLS.DidResume {
		t.Error("the session was not resumed")
	}
	if agent.ConnectionState().Used0RTT || gateway.ConnectionState().Used0RTT {
		t.Error("a session of the gateway was resumed with early data")
	}

	// Somebody who has the keys of the tickets allows it.
	lax, err := quic.ListenEarly(p.socket(), conf, &quic.Config{Allow0RTT: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lax.Close() })
	allowed := newTickets()
	laxConf := p.agent.Clone()
	laxConf.ClientSessionCache, laxConf.SessionTicketsDisabled = allowed, false
	first, err := quic.DialAddr(t.Context(), lax.Addr().String(), laxConf, nil)
	if err != nil {
		t.Fatal(err)
	}
	await(allowed)
	_ = first.CloseWithError(0, "")
	agent, gateway = p.connect(l, allowed, "early")
	if agent.ConnectionState().Used0RTT || gateway.ConnectionState().Used0RTT {
		t.Error("early data was taken")
	}
}
