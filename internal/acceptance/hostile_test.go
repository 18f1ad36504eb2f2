package acceptance

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"quorate/internal/pki"
	"quorate/internal/soak/lab"
	"quorate/nodeagent/wire"
	"quorate/raft/port/alpn"
)

// What a trespasser brings.
var (
	floodBytes    = int64(size(100, 8)) << 20                // how long one message of a flood is
	floodPatience = time.Duration(size(30, 1)) * time.Second // for somebody to read it
	halfOpen      = size(300, 20)                            // connections that say nothing, at each port
	datagrams     = size(20_000, 2_000)
	strangers     = size(40, 12) // connections of agents that nobody knows
)

// A trespasser speaks to ports that it has no business with.
type trespasser struct {
	t      *testing.T
	l      *lab.Lab
	s      *lab.Server
	ca     *pki.CA
	raft   *pki.RaftCA
	random *rand.ChaCha8

	greeting wire.Welcome // what the true orchestrator would say

	mu   sync.Mutex
	held []io.Closer // connections that stay open and silent
}

func (h *trespasser) hold(c io.Closer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = append(h.held, c)
}

func (h *trespasser) leave() {
	for _, c := range h.held {
		_ = c.Close()
	}
}

func (h *trespasser) address(port string) string { return net.JoinHostPort(h.s.Address, port) }

// noise is random bytes of a length, led by a beginning.
func (h *trespasser) noise(length int64, beginning ...byte) io.Reader {
	h.mu.Lock()
	defer h.mu.Unlock()
	var seed [32]byte
	_, _ = h.random.Read(seed[:])
	return io.MultiReader(strings.NewReader(string(beginning)), io.LimitReader(rand.NewChaCha8(seed), length))
}

// pour writes as much as the other side takes, within a time.
func (h *trespasser) pour(c net.Conn, r io.Reader) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(floodPatience))
	_, _ = io.Copy(struct{ io.Writer }{c}, r) // how far that gets is up to the other side
}

// dial connects to a port that has to accept.
func (h *trespasser) dial(network, address string) net.Conn {
	c, err := (&net.Dialer{Timeout: lab.Patience}).Dial(network, address)
	if err != nil {
		h.t.Errorf("%s %s: %v", network, address, err)
		return nil
	}
	return c
}

// stream does to a listener what any stranger can: silence, noise, beginnings of TLS and
// HTTP, and more than anybody wants to read.
func (h *trespasser) stream(network, address string) {
	for range halfOpen {
		if c := h.dial(network, address); c != nil {
			h.hold(c)
		}
	}
	var all sync.WaitGroup
	defer all.Wait()
	record := []byte{22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff} // a ClientHello that goes on
	for _, r := range []io.Reader{
		h.noise(64 << 10), h.noise(floodBytes), h.noise(floodBytes, record...),
		h.noise(floodBytes, []byte("GET /v1/runs HTTP/1.1\r\nHost: x\r\nX-Long: ")...),
		h.noise(0, []byte("PUT /v1/blobs/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n")...),
	} {
		if c := h.dial(network, address); c != nil {
			all.Go(func() { h.pour(c, r) })
		}
	}
}

// datagrams sends noise, and what looks like the beginning of QUIC's handshakes.
func (h *trespasser) datagrams(address string) {
	c := h.dial("udp", address)
	if c == nil {
		return
	}
	defer c.Close()
	buf := make([]byte, 1400)
	for n := range datagrams {
		size := 1 + n%len(buf)
		if n%2 == 0 {
			size = len(buf) // shorter ones begin no handshake
		}
		if _, err := io.ReadFull(h.noise(int64(size)), buf[:size]); err != nil {
			h.t.Error(err)
		}
		if n%2 == 0 { // a long header of version 1, with an identifier of eight bytes
			copy(buf, []byte{0xc3, 0, 0, 0, 1, 8})
			buf[14] = 0
		}
		_, _ = c.Write(buf[:size]) // a full queue is no fault of ours
	}
}

// enrolments speak the agents' protocols without being anybody: silence, and messages
// that claim to be, and are, larger than any.
func (h *trespasser) enrolments(ctx context.Context, address string) {
	for n := range strangers {
		c, err := quic.DialAddr(ctx, address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{wire.ALPNEnrol}}, &quic.Config{HandshakeIdleTimeout: lab.Patience})
		var said *quic.TransportError
		if errors.As(err, &said) && said.ErrorCode == quic.ConnectionRefused {
			continue // there are too many at once
		}
		if err != nil {
			h.t.Errorf("QUIC to %s: %v", address, err)
			return
		}
		h.hold(closer(func() error { return c.CloseWithError(0, "") }))
		s, err := c.OpenStreamSync(ctx)
		if err != nil {
			continue // it is closed already
		}
		switch n % 4 {
		case 0: // silence
		case 1:
			_, _ = s.Write([]byte{0, 0}) // half a length
		case 2:
			h.flood(s, wire.TypeEnrol)
		case 3:
			_ = s.SetDeadline(time.Now().Add(floodPatience))
			_, _ = io.Copy(s, h.noise(floodBytes))
		}
	}
}

// flood sends a frame of floodBytes.
func (h *trespasser) flood(s *quic.Stream, kind wire.Type) {
	_ = s.SetDeadline(time.Now().Add(floodPatience))
	_, _ = io.Copy(s, h.noise(floodBytes, append(binary.BigEndian.AppendUint32(nil, uint32(floodBytes)), byte(kind))...))
}

type closer func() error

func (c closer) Close() error { return c() }

// replica speaks to the orchestrators' port as one that was taken over: with a
// certificate that is good.
func (h *trespasser) replica(address string) {
	_, client, err := pki.PeerTLS(h.ca, h.raft, 2, []string{"127.0.0.1"})
	if err != nil {
		h.t.Error(err)
		return
	}
	var all sync.WaitGroup
	defer all.Wait()
	for _, protocol := range append(alpn.Peers(), alpn.Join) {
		for _, beginning := range [][]byte{nil, {0xff, 0xff, 0xff, 0xff}, {0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, {6, 0x40, 0, 0, 0}, {1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}} {
			conf := client.Clone()
			conf.NextProtos = []string{protocol}
			if protocol == alpn.Join {
				conf = &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}}
			}
			c := h.admitted(address, conf)
			if c == nil {
				return
			}
			all.Go(func() { h.pour(c, h.noise(floodBytes, beginning...)) })
		}
	}
}

// admitted connects with TLS. The others from the same address make the port give up
// handshakes, so it takes several tries. Where blobs are spoken of it waits until the
// port has let it in: what follows is read then.
func (h *trespasser) admitted(address string, conf *tls.Config) (conn net.Conn) {
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: lab.Patience}, Config: conf}
	err := lab.UntilWithin(context.Background(), lab.Patience, "a connection for "+conf.NextProtos[0], func() bool {
		c, err := dialer.Dial("tcp", address)
		if err != nil {
			return false
		}
		if conf.NextProtos[0] == alpn.Blob {
			_ = c.SetReadDeadline(time.Now().Add(lab.Patience))
			if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
				_ = c.Close()
				return false
			}
		}
		conn = c
		return true
	})
	if err != nil {
		h.t.Error(err)
	}
	return conn
}

// requests are those of a local administrator who is mistaken, or worse.
func (h *trespasser) requests(socket string) {
	client := http.Client{Timeout: lab.Patience, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	digest := strings.Repeat("0", 64)
	for _, to := range []string{"POST /v1/plans", "POST /v1/runs", "POST /v1/blobs/missing", "POST /v1/tokens", "PUT /v1/blobs/" + digest} {
		method, path, _ := strings.Cut(to, " ")
		for _, body := range []io.Reader{h.noise(floodBytes), h.noise(floodBytes, []byte(`{"schema":"`)...), strings.NewReader(strings.Repeat("[", 1<<20))} {
			request, err := http.NewRequest(method, "http://local"+path, body)
			if err != nil {
				h.t.Error(err)
				return
			}
			resp, err := client.Do(request)
			if err != nil {
				continue // it was hung up on
			}
			_ = resp.Body.Close()
			if resp.StatusCode < 400 {
				h.t.Errorf("%s: %s", to, resp.Status)
			}
		}
	}
}

// Whatever strangers say at any port, and half of it with good certificates, every
// process stays, within its memory, and serves who has business with it.
func TestHostileNetwork(t *testing.T) {
	l := startLab(t, lab.Options{Agents: 1})
	s, a := l.Servers()[0], l.Agents()[0]
	h := newTrespasser(t, l)
	t.Cleanup(h.leave)
	var all sync.WaitGroup
	for _, f := range []func(){
		func() { h.stream("tcp", s.RaftAddress()) },
		func() { h.stream("tcp", h.address("7441")) },
		func() { h.stream("unix", filepath.Join(s.Dir, "quorate.sock")) },
		func() { h.datagrams(s.AgentAddress()) },
		func() { h.enrolments(t.Context(), s.AgentAddress()) },
		func() { h.replica(s.RaftAddress()) },
		func() { h.requests(filepath.Join(s.Dir, "quorate.sock")) },
	} {
		all.Go(f)
	}
	all.Wait()
	alive(t, s.Process, a.Process)
	im := newImage(t, 1<<20, 5, shipJob)
	_, server, agent, _ := ship(t, l, im) // with the silent connections still there
	t.Logf("resident at most: orchestrator %d MiB, agent %d MiB", server>>20, agent>>20)
}

func newTrespasser(t *testing.T, l *lab.Lab) *trespasser {
	t.Helper()
	s := l.Servers()[0]
	ca, err := pki.Load(filepath.Join(s.Dir, "pki"))
	if err != nil {
		t.Fatal(err)
	}
	raft, err := pki.LoadRaft(filepath.Join(s.Dir, "pki"))
	if err != nil {
		t.Fatal(err)
	}
	return &trespasser{t: t, l: l, s: s, ca: ca, raft: raft, random: rand.NewChaCha8([32]byte{6})}
}

func alive(t *testing.T, all ...*lab.Process) {
	t.Helper()
	for _, p := range all {
		if p.Crashed() {
			t.Fatalf("%s has ended: %s", p.Name, p.LogTail(20))
		}
	}
}

// An agent whose orchestrator was taken over, with its certificate, is sent noise,
// halves and 100 MB messages in place of every answer. It stays, within its memory, and
// works for the true one again.
func TestHostileOrchestrator(t *testing.T) {
	l := startLab(t, lab.Options{Agents: 1})
	s, a := l.Servers()[0], l.Agents()[0]
	h := newTrespasser(t, l)
	h.greeting = greeting(t, l, h.ca)
	s.Kill()
	cert, err := h.ca.IssueServer([]string{s.Address})
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.ListenPacket("udp", s.AgentAddress())
	if err != nil {
		t.Fatal(err)
	}
	transport := &quic.Transport{Conn: socket}
	vacate := sync.OnceValue(func() error { return errors.Join(transport.Close(), socket.Close()) })
	t.Cleanup(func() { _ = vacate() })
	ln, err := transport.Listen(pki.ServerTLS(cert, h.ca.Certificate()), &quic.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ways := []func(*quic.Stream){
		func(s *quic.Stream) { _ = s.Close() },
		func(s *quic.Stream) { _, _ = io.Copy(s, h.noise(4096)); _ = s.Close() },
		func(s *quic.Stream) { _, _ = s.Write([]byte{0, 0, 0}); _ = s.Close() }, // half a length
		func(s *quic.Stream) { h.flood(s, wire.TypeWelcome) },
		func(s *quic.Stream) { h.welcome(s); h.flood(s, wire.TypeDispatch) },
		func(s *quic.Stream) { h.welcome(s); _, _ = io.Copy(s, h.noise(4096)) },
	}
	for n := range size(2, 1) * len(ways) {
		ctx, cancel := context.WithTimeout(t.Context(), largePatience)
		c, err := ln.Accept(ctx)
		if err == nil {
			h.answer(ctx, c, ways[n%len(ways)])
		}
		cancel()
		if err != nil {
			t.Fatalf("the agent does not come back after %d connections: %v: %s", n, err, a.LogTail(10))
		}
		alive(t, a.Process)
	}
	if err := vacate(); err != nil {
		t.Error(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if err := l.Connected(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	im := newImage(t, 1<<20, 6, shipJob)
	_, _, agent, _ := ship(t, l, im)
	t.Logf("resident at most: agent %d MiB", agent>>20)
}

// answer takes the agent's first stream and answers in one way.
func (h *trespasser) answer(ctx context.Context, c *quic.Conn, way func(*quic.Stream)) {
	defer func() { _ = c.CloseWithError(0, "") }()
	s, err := c.AcceptStream(ctx)
	if err != nil {
		return
	}
	if _, err := wire.ReadFrom(s, wire.Agent); err != nil {
		h.t.Errorf("the agent's first message: %v", err)
		return
	}
	way(s)
	select { // the agent has to see it
	case <-c.Context().Done():
	case <-time.After(time.Second):
	}
}

// welcome answers as a true orchestrator would.
func (h *trespasser) welcome(s *quic.Stream) {
	if err := wire.WriteMessage(s, &h.greeting); err != nil {
		h.t.Errorf("welcome: %v", err)
	}
}

// greeting is what the agent has to hear to take somebody for its orchestrator.
func greeting(t *testing.T, l *lab.Lab, ca *pki.CA) wire.Welcome {
	t.Helper()
	status, err := l.Servers()[0].Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var agents struct {
		Agents []struct {
			ID   uint64
			Name string
		}
	}
	quorate(t, l, &agents, "agent", "ls", "-o", "json")
	if len(agents.Agents) != 1 {
		t.Fatalf("%d agents, want 1", len(agents.Agents))
	}
	one := agents.Agents[0]
	_, key, err := ca.LogSigner(ca.ClusterID())
	if err != nil {
		t.Fatal(err)
	}
	return wire.Welcome{
		ClusterID: ca.ClusterID(), Agent: one.ID, Name: one.Name, Session: strings.Repeat("ab", 16),
		Epoch: status.Epoch, HeartbeatMillis: 1000, LogKey: key,
	}
}
