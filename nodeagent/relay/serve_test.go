package relay

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"quorate/internal/mux"
	"quorate/internal/pki"
	"quorate/nodeagent/wire"
)

// A bench is a relay, the cluster that it is of, and an orchestrator that echoes what
// is said to it in tunnels.
type bench struct {
	t      *testing.T
	ca     *pki.CA
	origin *origin
	udp    net.Addr
	tcp    net.Addr

	server *tls.Config
	// tamper changes what passes upstream, in either direction, where it is set.
	tamper func(b []byte) []byte
	echoed chan []byte // what the orchestrator took for the agent's words
	// streams, where it is not nil, bounds the tunnels that the orchestrator has at a time.
	streams chan struct{}
}

func newBench(t *testing.T) *bench { return newBenchWith(t, nil) }

func newBenchWith(t *testing.T, notices *Notices) *bench {
	t.Helper()
	return newBenchLogging(t, notices, slog.New(slog.DiscardHandler))
}

func newBenchLogging(t *testing.T, notices *Notices, log *slog.Logger) *bench {
	t.Helper()
	ca, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.IssueServer(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, ca: ca, origin: newOrigin(t), server: pki.TunnelTLS(pki.ServerTLS(cert, ca.Certificate())), echoed: make(chan []byte, 16)}
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.udp, b.tcp = udp.LocalAddr(), tcp.Addr()
	open := func(ctx context.Context) (Stream, error) { return b.open(ctx) }
	cache, err := NewCache(t.TempDir(), 0, 0, b.origin.open, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, Config{
			UDP: udp, TCP: tcp, TLS: pki.SiteServerTLS(b.identity(ca, ca.IssueRelay), ca.Certificate()), Open: open, Cache: cache, Notices: notices,
			Logger: log,
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the relay ended: %v", err)
		}
	})
	return b
}

// identity makes a key and has it certified.
func (b *bench) identity(ca *pki.CA, issue func([]byte, uint64) ([]byte, error)) tls.Certificate {
	b.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.t.Fatal(err)
	}
	pub, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		b.t.Fatal(err)
	}
	der, err := issue(pub, 7)
	if err != nil {
		b.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		b.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// duplex is a Stream within the process that can end one direction.
type duplex struct {
	net.Conn
	once sync.Once
}

func (d *duplex) Close() error {
	if c, ok := d.Conn.(*net.TCPConn); ok {
		return c.CloseWrite()
	}
	return nil
}

func (d *duplex) Cancel() { d.once.Do(func() { _ = d.Conn.Close() }) }

// open is the relay's connection upstream: a loopback connection for each stream.
func (b *bench) open(ctx context.Context) (Stream, error) {
	release := func() {}
	if b.streams != nil {
		select {
		case b.streams <- struct{}{}:
			release = func() { <-b.streams }
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	near, err := new(net.Dialer).DialContext(ctx, "tcp", ln.Addr().String())
	if err != nil {
		return nil, err
	}
	far, err := ln.Accept()
	if err != nil {
		return nil, err
	}
	go func() {
		defer release()
		b.orchestrate(far)
	}()
	return &duplex{Conn: near}, nil
}

// tampered is a connection whose bytes somebody changes.
type tampered struct {
	net.Conn
	change func([]byte) []byte
}

func (c tampered) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return copy(p, c.change(p[:n])), err
}

// orchestrate serves what comes by one stream of the relay.
func (b *bench) orchestrate(raw net.Conn) {
	m, err := wire.ReadFrom(raw, wire.Agent)
	if _, ok := m.(*wire.Tunnel); err != nil || !ok {
		_ = raw.Close()
		return
	}
	if wire.WriteMessage(raw, &wire.Tunnelled{}) != nil {
		_ = raw.Close()
		return
	}
	if b.tamper != nil {
		raw = tampered{raw, b.tamper}
	}
	conn, err := mux.Server(context.Background(), raw, b.server)
	if err != nil {
		return
	}
	defer conn.CloseWithError(0, "")
	s, err := conn.Accept(b.t.Context())
	if err != nil {
		return
	}
	for buf := make([]byte, 1<<10); ; {
		n, err := s.Read(buf)
		if n > 0 {
			b.echoed <- bytes.Clone(buf[:n])
			if _, err := s.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// dial connects to the relay as an agent.
func (b *bench) dial(identity tls.Certificate) (*quic.Conn, error) {
	return quic.DialAddr(b.t.Context(), b.udp.String(), pki.SiteTLS(identity, b.ca.Certificate()), &quic.Config{HandshakeIdleTimeout: patience / 2})
}

// tunnel asks for a tunnel and speaks with the orchestrator in it.
func (b *bench) tunnel(site *quic.Conn, identity tls.Certificate) (*mux.Conn, error) {
	s, err := site.OpenStreamSync(b.t.Context())
	if err != nil {
		return nil, err
	}
	if err := wire.WriteMessage(s, &wire.Tunnel{}); err != nil {
		return nil, err
	}
	m, err := wire.ReadFrom(s, wire.Orchestrator)
	if answer, ok := m.(*wire.Tunnelled); err != nil || !ok || answer.Error != "" {
		return nil, errors.Join(err, errors.New("no tunnel"))
	}
	return mux.Client(b.t.Context(), streamConn{QUICStream{s}, site.RemoteAddr()}, pki.AgentTLS(identity, b.ca.Certificate()))
}

// streamConn is a stream as a connection.
type streamConn struct {
	Stream
	addr net.Addr
}

func (c streamConn) LocalAddr() net.Addr  { return c.addr }
func (c streamConn) RemoteAddr() net.Addr { return c.addr }
func (c streamConn) Close() error         { c.Cancel(); return nil }

// echo says something and wants to hear it again.
func echo(ctx context.Context, c *mux.Conn, words string) error {
	s, err := c.Open(ctx)
	if err != nil {
		return err
	}
	defer s.Cancel()
	_ = s.SetDeadline(time.Now().Add(patience))
	if _, err := s.Write([]byte(words)); err != nil {
		return err
	}
	got := make([]byte, len(words))
	if _, err := io.ReadFull(s, got); err != nil {
		return err
	}
	if string(got) != words {
		return errors.New("another echo: " + string(got))
	}
	return nil
}

// TestTunnel: an agent speaks with an orchestrator through the relay, and fetches blobs
// from the relay itself, over UDP and over TCP.
func TestTunnel(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	agent := b.identity(b.ca, b.ca.IssueAgent)
	site, err := b.dial(agent)
	if err != nil {
		t.Fatal(err)
	}
	defer site.CloseWithError(0, "")
	c, err := b.tunnel(site, agent)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseWithError(0, "")
	if err := echo(t.Context(), c, "hello"); err != nil {
		t.Error(err)
	}
	digest, content := b.origin.add(200_000)
	over, err := net.Dial("tcp", b.tcp.String())
	if err != nil {
		t.Fatal(err)
	}
	near, err := mux.Client(t.Context(), over, pki.SiteTLS(agent, b.ca.Certificate()))
	if err != nil {
		t.Fatal(err)
	}
	defer near.CloseWithError(0, "")
	s, err := near.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = s.SetDeadline(time.Now().Add(patience))
	if err := errors.Join(wire.WriteMessage(s, &wire.BlobRequest{Digest: digest, Offset: 1000}), s.Close()); err != nil {
		t.Fatal(err)
	}
	if size, err := wire.ReadBlobSize(s); err != nil || size != uint64(len(content)) {
		t.Fatalf("size %d, %v", size, err)
	}
	if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, content[1000:]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestTampering: a relay that changes what it carries ends the connection, and nothing
// of what it made up is taken for anybody's words.
func TestTampering(t *testing.T) {
	t.Parallel()
	for name, tamper := range map[string]func([]byte) []byte{
		"a bit is flipped": func(p []byte) []byte {
			if len(p) > 0 {
				p[len(p)-1] ^= 1
			}
			return p
		},
		"bytes are repeated": func(p []byte) []byte {
			copy(p[len(p)/2:], p)
			return p
		},
		"bytes are swapped": func(p []byte) []byte {
			for i := 0; i+1 < len(p); i += 2 {
				p[i], p[i+1] = p[i+1], p[i]
			}
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			var mu sync.Mutex
			honest := true
			b.tamper = func(p []byte) []byte {
				mu.Lock()
				defer mu.Unlock()
				if honest {
					return p
				}
				return tamper(p)
			}
			agent := b.identity(b.ca, b.ca.IssueAgent)
			site, err := b.dial(agent)
			if err != nil {
				t.Fatal(err)
			}
			defer site.CloseWithError(0, "")
			c, err := b.tunnel(site, agent)
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseWithError(0, "")
			if err := echo(t.Context(), c, "before"); err != nil {
				t.Fatal(err)
			}
			<-b.echoed
			mu.Lock()
			honest = false
			mu.Unlock()
			if err := echo(t.Context(), c, "dispatch"); err == nil {
				t.Error("what was changed on the way was taken")
			}
			select {
			case words := <-b.echoed:
				t.Errorf("the orchestrator took %q for the agent's words", words)
			default:
			}
		})
	}
}

// TestStrangers: who is not of the cluster gets nothing, and the relay goes on: garbage
// on both ports, connections that say nothing, somebody else's agent.
func TestStrangers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	others, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	if c, err := b.dial(b.identity(others, others.IssueAgent)); err == nil {
		// The client believes the handshake before the relay has seen its certificate.
		_, err := c.AcceptStream(t.Context())
		if err == nil {
			t.Error("another cluster's agent is let in")
		}
	}
	udp, err := net.Dial("udp", b.udp.String())
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	garbage := make([]byte, 1200)
	for i := range 500 {
		_, _ = rand.Read(garbage)
		garbage[0] |= 0xc0 // a long header
		if i%2 == 0 {
			copy(garbage[1:], []byte{0, 0, 0, 1})
		}
		_, _ = udp.Write(garbage)
	}
	var idle []net.Conn
	defer func() {
		for _, c := range idle {
			_ = c.Close()
		}
	}()
	for range 3 * limits().TCP.PerAddress { // beyond the bound they are turned away
		c, err := net.Dial("tcp", b.tcp.String())
		if err != nil {
			break
		}
		_, _ = c.Write(garbage[:7])
		idle = append(idle, c)
	}
	agent := b.identity(b.ca, b.ca.IssueAgent)
	site, err := b.dial(agent)
	if err != nil {
		t.Fatal(err)
	}
	defer site.CloseWithError(0, "")
	for range 3 { // on one connection, streams that say nothing of use
		s, err := site.OpenStreamSync(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = s.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		_ = s.Close()
		_ = s.SetReadDeadline(time.Now().Add(patience))
		if text, err := io.ReadAll(s); err == nil && len(text) > 0 {
			t.Errorf("the relay answers garbage with %q", text)
		}
	}
	c, err := b.tunnel(site, agent)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseWithError(0, "")
	if err := echo(t.Context(), c, "still here"); err != nil {
		t.Error(err)
	}
}

// enrolling connects to the relay as somebody without a certificate.
func (b *bench) enrolling() *quic.Conn {
	b.t.Helper()
	c, err := quic.DialAddr(b.t.Context(), b.udp.String(), pki.SiteEnrolTLS(b.ca.Pin()), &quic.Config{HandshakeIdleTimeout: patience / 2})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = c.CloseWithError(0, "") })
	return c
}

// TestEnrolsOnly: who has no certificate gets one tunnel, and no blobs.
func TestEnrolsOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	digest, _ := b.origin.add(1000)
	s, err := b.enrolling().OpenStreamSync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := wire.WriteMessage(s, &wire.BlobRequest{Digest: digest}); err != nil {
		t.Fatal(err)
	}
	_ = s.SetReadDeadline(time.Now().Add(patience))
	if size, err := wire.ReadBlobSize(s); err == nil {
		t.Errorf("a blob of %d bytes for somebody without a certificate", size)
	}
	s, err = b.enrolling().OpenStreamSync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := wire.WriteMessage(s, &wire.Tunnel{}); err != nil {
		t.Fatal(err)
	}
	_ = s.SetReadDeadline(time.Now().Add(patience))
	if m, err := wire.ReadFrom(s, wire.Orchestrator); err != nil {
		t.Errorf("%v, %v", m, err)
	}
}
