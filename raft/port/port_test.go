package port_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"quorate/internal/pki"
	"quorate/raft/port"
)

// patience bounds what a test waits for.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	if dir := os.Getenv(starvingDir); dir != "" {
		starve(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// A cluster is what its members have in common.
type cluster struct {
	ca  *pki.CA
	ra  *pki.RaftCA
	ctx context.Context
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	ca, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	ra, err := pki.NewRaft(ca.ClusterID())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return &cluster{ca, ra, ctx}
}

// A member is a replica's port on loopback.
type member struct {
	*port.Port
	book    *port.Book
	replica uint64
}

func (c *cluster) member(t testing.TB, replica uint64, limits port.Limits) *member {
	t.Helper()
	server, client, err := pki.PeerTLS(c.ca, c.ra, replica, []string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	book, err := port.OpenBook("")
	if err != nil {
		t.Fatal(err)
	}
	p := port.New(port.Config{Listener: listener, Server: server, Client: client, PeerOf: pki.ReplicaOf, Book: book, Limits: limits})
	for _, protocol := range []string{port.Raft, port.Snapshot, port.Blob, port.Join} {
		p.Handle(protocol, echo)
	}
	done := make(chan error, 1)
	go func() { done <- p.Serve(context.Background()) }()
	t.Cleanup(func() {
		if err := errors.Join(p.Close(), <-done); err != nil {
			t.Error(err)
		}
	})
	return &member{p, book, replica}
}

// knows tells m where another is, maybe under a number that is not its own.
func (m *member) knows(t testing.TB, other *member, replica uint64) {
	t.Helper()
	if err := m.book.Set(map[uint64]string{replica: other.Addr().String()}); err != nil {
		t.Fatal(err)
	}
}

// echo says who spoke, and then all that it hears.
func echo(_ context.Context, conn net.Conn, from uint64) {
	if _, err := conn.Write([]byte{byte(from)}); err == nil {
		_, _ = io.Copy(conn, conn)
	}
}

// talk expects an echo that knows its peer as from.
func talk(ctx context.Context, conn net.Conn, from uint64) error {
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	var b [2]byte
	if _, err := conn.Write([]byte{42}); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		return err
	}
	if b != [2]byte{byte(from), 42} {
		return errors.New("another answer")
	}
	return nil
}

func (m *member) ask(ctx context.Context, replica uint64, protocol string) error {
	conn, err := m.Dial(ctx, replica, protocol)
	if err != nil {
		return err
	}
	defer conn.Close()
	return talk(ctx, conn, m.replica)
}

func TestDial(t *testing.T) {
	c := newCluster(t)
	a, b, d := c.member(t, 1, port.Limits{}), c.member(t, 2, port.Limits{}), c.member(t, 3, port.Limits{})
	a.knows(t, b, 2)
	d.knows(t, b, 2)
	b.knows(t, b, 2)
	for _, m := range []*member{a, b, d} {
		for _, protocol := range []string{port.Raft, port.Snapshot, port.Blob} {
			if err := m.ask(c.ctx, 2, protocol); err != nil {
				t.Errorf("replica %d on %s: %v", m.replica, protocol, err)
			}
		}
	}
}

func TestDialRefuses(t *testing.T) {
	c, other := newCluster(t), newCluster(t)
	a, b := c.member(t, 1, port.Limits{}), c.member(t, 2, port.Limits{})
	if _, err := a.Dial(c.ctx, 2, port.Raft); !errors.Is(err, port.ErrUnknownReplica) {
		t.Errorf("an unknown replica: %v", err)
	}
	a.knows(t, b, 3)
	if _, err := a.Dial(c.ctx, 3, port.Raft); !errors.Is(err, port.ErrOtherReplica) {
		t.Errorf("another replica: %v", err)
	}
	a.knows(t, other.member(t, 4, port.Limits{}), 4)
	if _, err := a.Dial(c.ctx, 4, port.Raft); !errors.Is(err, pki.ErrOtherCluster) {
		t.Errorf("another cluster: %v", err)
	}
	a.knows(t, b, 2)
	b.Handle(port.Blob, nil)
	if _, err := a.Dial(c.ctx, 2, port.Blob); err == nil {
		t.Error("a protocol that nobody serves")
	}
	if _, err := a.Dial(c.ctx, 2, port.Join); err == nil {
		t.Error("a replica joined")
	}
	ended, cancel := context.WithCancel(c.ctx)
	cancel()
	if _, err := a.Dial(ended, 2, port.Raft); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended ctx: %v", err)
	}
	if err := a.ask(c.ctx, 2, port.Raft); err != nil {
		t.Errorf("what is right: %v", err)
	}
}

// TestForeigners: what TLS refuses never meets a handler, and is told so.
func TestForeigners(t *testing.T) {
	c, other := newCluster(t), newCluster(t)
	b := c.member(t, 2, port.Limits{})
	var served atomic.Int32
	b.Handle(port.Raft, func(context.Context, net.Conn, uint64) { served.Add(1) })
	operator, err := c.ca.IssueOperator("ann", 0)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := pki.ParseBundle(operator)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := other.ra.IssueReplica(1)
	if err != nil {
		t.Fatal(err)
	}
	for name, cert := range map[string]tls.Certificate{"operator": bundle.Certificate, "other cluster": foreign} {
		conf := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{port.Raft},
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }}
		conn, err := tls.Dial("tcp", b.Addr().String(), conf)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
		conn.Close()
	}
	if served.Load() > 0 {
		t.Error("the handler met them")
	}
}

// dialJoin connects to a port as one that is no member yet.
func dialJoin(to *member, pin string) (net.Conn, error) {
	return tls.Dial("tcp", to.Addr().String(), pki.JoinTLS(pin))
}

func TestJoin(t *testing.T) {
	c := newCluster(t)
	b := c.member(t, 2, port.Limits{Joins: 2})
	var conns []net.Conn
	for range 3 {
		conn, err := dialJoin(b, c.ca.Pin())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := talk(c.ctx, conn, 0); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	// The first gave way to the third.
	if _, err := conns[0].Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the oldest: %v", err)
	}
	if _, err := conns[1].Write([]byte{1}); err != nil {
		t.Error(err)
	}
	if _, err := dialJoin(b, newCluster(t).ca.Pin()); !errors.Is(err, pki.ErrOtherCluster) {
		t.Errorf("another cluster's token: %v", err)
	}
}

// TestJoinTime: who has no certificate does not stay.
func TestJoinTime(t *testing.T) {
	c := newCluster(t)
	b := c.member(t, 2, port.Limits{JoinTime: 50 * time.Millisecond})
	conn, err := dialJoin(b, c.ca.Pin())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("it is still open")
	}
}

// TestSilentConnections: any number of connections that say nothing neither
// delay a replica nor pile up.
func TestSilentConnections(t *testing.T) {
	const silent, most = 200, 32
	c := newCluster(t)
	a := c.member(t, 1, port.Limits{})
	b := c.member(t, 2, port.Limits{Handshake: time.Hour, HandshakesPerAddress: most})
	a.knows(t, b, 2)
	closed := make(chan struct{}, silent)
	for range silent {
		conn, err := net.Dial("tcp", b.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		go func() {
			_, _ = conn.Read(make([]byte, 1))
			closed <- struct{}{}
		}()
	}
	if err := a.ask(c.ctx, 2, port.Raft); err != nil {
		t.Fatalf("a replica among them: %v", err)
	}
	for i := range silent - most {
		select {
		case <-closed:
		case <-c.ctx.Done():
			t.Fatalf("%d of %d silent connections were closed, want %d", i, silent, silent-most)
		}
	}
}

// TestSlowHandshake: a handshake has an end.
func TestSlowHandshake(t *testing.T) {
	b := newCluster(t).member(t, 2, port.Limits{Handshake: 50 * time.Millisecond})
	conn, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte{0x16, 3, 1, 2}); err != nil { // the beginning of a hello
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("it is still open")
	}
}

// TestDeafServer: a dial ends although the other side, a replica by its
// certificate, never takes the connection.
func TestDeafServer(t *testing.T) {
	c := newCluster(t)
	a := c.member(t, 1, port.Limits{Handshake: 50 * time.Millisecond})
	server, _, err := pki.PeerTLS(c.ca, c.ra, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
		}
	}()
	if err := a.book.Set(map[uint64]string{2: listener.Addr().String()}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Dial(c.ctx, 2, port.Raft); err == nil || c.ctx.Err() != nil {
		t.Errorf("dial: %v", err)
	}
}

func TestConnectionsPerReplica(t *testing.T) {
	c := newCluster(t)
	a, d := c.member(t, 1, port.Limits{}), c.member(t, 3, port.Limits{})
	b := c.member(t, 2, port.Limits{ConnectionsPerReplica: 2})
	a.knows(t, b, 2)
	d.knows(t, b, 2)
	var conns []net.Conn
	for range 2 {
		conn, err := a.Dial(c.ctx, 2, port.Raft)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	if _, err := a.Dial(c.ctx, 2, port.Raft); err == nil {
		t.Error("a third connection was taken")
	}
	if err := d.ask(c.ctx, 2, port.Raft); err != nil {
		t.Errorf("another replica: %v", err)
	}
	conns[0].Close()
	for a.ask(c.ctx, 2, port.Raft) != nil {
		if c.ctx.Err() != nil {
			t.Fatal("the place of one that ended stays taken")
		}
	}
}

// TestClose: closing ends the handlers, those who wait, and the dials.
func TestClose(t *testing.T) {
	c := newCluster(t)
	a, b := c.member(t, 1, port.Limits{}), c.member(t, 2, port.Limits{})
	a.knows(t, b, 2)
	b.knows(t, a, 1)
	conn, err := a.Dial(c.ctx, 2, port.Blob)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	idle, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if err := b.Close(); err != nil { // returns although two are connected
		t.Fatal(err)
	}
	if err := talk(c.ctx, conn, 1); err == nil {
		t.Error("a connection outlives the port")
	}
	if _, err := b.Dial(c.ctx, 1, port.Raft); err == nil {
		t.Error("a closed port dials")
	}
	if err := b.Serve(c.ctx); !errors.Is(err, port.ErrClosed) {
		t.Errorf("a closed port serves: %v", err)
	}
}

// TestSilence: the kernel is told when a peer counts as dead, at both ends.
func TestSilence(t *testing.T) {
	c := newCluster(t)
	limits := port.Limits{RaftSilence: 2 * time.Second, BulkSilence: 30 * time.Second}
	a, b := c.member(t, 1, limits), c.member(t, 2, limits)
	a.knows(t, b, 2)
	served := make(chan int, 1)
	for protocol, want := range map[string]int{port.Raft: 2000, port.Blob: 30000} {
		b.Handle(protocol, func(_ context.Context, conn net.Conn, _ uint64) { served <- userTimeout(t, conn) })
		conn, err := a.Dial(c.ctx, 2, protocol)
		if err != nil {
			t.Fatal(err)
		}
		if client, server := userTimeout(t, conn), <-served; client != want || server != want {
			t.Errorf("%s: %d ms at the client, %d ms at the server, want %d", protocol, client, server, want)
		}
		conn.Close()
	}
}

func userTimeout(t *testing.T, conn net.Conn) (ms int) {
	raw, err := conn.(*tls.Conn).NetConn().(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Error(err)
		return 0
	}
	if e := raw.Control(func(fd uintptr) { ms, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT) }); e != nil || err != nil {
		t.Error(e, err)
	}
	return ms
}

// logged is a log whose lines can be waited for.
type logged chan string

func (l logged) Write(b []byte) (int, error) {
	select {
	case l <- strings.TrimSpace(string(b)):
	default:
	}
	return len(b), nil
}

func (l logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
