package port_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"quorate/internal/pki"
	"quorate/raft/port"
)

// Who is not admitted meets no handler, whatever it shows, and who is not any more is cut
// off; on other protocols, and for other replicas, everything goes on.
func TestAdmit(t *testing.T) {
	c := newCluster(t)
	server, client, err := pki.PeerTLS(c.ca, c.ra, 2, []string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	book, err := port.OpenBook("")
	if err != nil {
		t.Fatal(err)
	}
	var barred atomic.Bool
	p := port.New(port.Config{
		Listener: ln, Server: server, Client: client, PeerOf: pki.ReplicaOf, Book: book,
		Admit: func(protocol string, replica uint64, remote net.Addr) error {
			if barred.Load() && protocol == port.Raft && replica == 1 && remote != nil {
				return errors.New("removed")
			}
			return nil
		},
	})
	for _, protocol := range []string{port.Raft, port.Blob, port.Join} {
		p.Handle(protocol, echo)
	}
	done := make(chan error, 1)
	go func() { done <- p.Serve(context.Background()) }()
	t.Cleanup(func() {
		if err := errors.Join(p.Close(), <-done); err != nil {
			t.Error(err)
		}
	})
	to := &member{p, book, 2}
	one, three := c.member(t, 1, port.Limits{}), c.member(t, 3, port.Limits{})
	for _, m := range []*member{one, three} {
		m.knows(t, to, 2)
	}
	open := map[string]net.Conn{}
	for name, dial := range map[string]func() (net.Conn, error){
		"1 raft": func() (net.Conn, error) { return one.Dial(c.ctx, 2, port.Raft) },
		"1 blob": func() (net.Conn, error) { return one.Dial(c.ctx, 2, port.Blob) },
		"3 raft": func() (net.Conn, error) { return three.Dial(c.ctx, 2, port.Raft) },
		"join":   func() (net.Conn, error) { return dialJoin(to, c.ca.Pin()) },
	} {
		conn, err := dial()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer conn.Close()
		if err := talk(c.ctx, conn, map[byte]uint64{'1': 1, '3': 3}[name[0]]); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		open[name] = conn
	}
	p.Review()
	barred.Store(true)
	if err := one.ask(c.ctx, 2, port.Raft); err == nil {
		t.Error("one that is barred was let in")
	}
	if err := errors.Join(one.ask(c.ctx, 2, port.Blob), three.ask(c.ctx, 2, port.Raft)); err != nil {
		t.Errorf("another replica, or protocol: %v", err)
	}
	p.Review()
	for name, conn := range open {
		_ = conn.SetDeadline(time.Now().Add(patience))
		if name == "1 raft" {
			if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s was not cut off", name)
			}
			continue
		}
		if _, err := conn.Write([]byte{7}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if b := make([]byte, 1); !readsOne(conn, b) || b[0] != 7 {
			t.Errorf("%s was cut off", name)
		}
	}
}

func readsOne(conn net.Conn, b []byte) bool {
	_, err := io.ReadFull(conn, b)
	return err == nil
}
