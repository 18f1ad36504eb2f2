package mux

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
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const patience = 60 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// configs are the TLS of both sides.
func configs(t testing.TB) (client, server *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	protocols := []string{"test"}
	return &tls.Config{InsecureSkipVerify: true, NextProtos: protocols, MinVersion: tls.VersionTLS13},
		&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: protocols, MinVersion: tls.VersionTLS13}
}

// wires are the two ends of a TCP connection.
func wires(t testing.TB) (a, b net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if a, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// pair are both sides of a connection, which ends with the test.
func pair(t testing.TB, options ...Option) (client, server *Conn) {
	t.Helper()
	a, b := wires(t)
	return pairOver(t, a, b, options...)
}

func pairOver(t testing.TB, a, b net.Conn, options ...Option) (client, server *Conn) {
	t.Helper()
	clientTLS, serverTLS := configs(t)
	failed := make(chan error, 1)
	go func() {
		var err error
		server, err = Server(t.Context(), b, serverTLS, options...)
		failed <- err
	}()
	client, err := Client(t.Context(), a, clientTLS, options...)
	if err := errors.Join(err, <-failed); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.CloseWithError(0, "")
		server.CloseWithError(0, "")
		await(t, client)
		await(t, server)
		client.tasks.Wait()
		server.tasks.Wait()
	})
	return client, server
}

// await returns why a connection ended.
func await(t testing.TB, c *Conn) error {
	t.Helper()
	select {
	case <-c.Context().Done():
	case <-time.After(patience):
		t.Fatal("the connection goes on")
	}
	return context.Cause(c.Context())
}

// streams are both ends of a stream.
func streams(t testing.TB, from, to *Conn) (a, b *Stream) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	a, err := from.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = to.Accept(ctx); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Stream{a, b} {
		if err := s.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

// TestHalfClose: the end of a direction is told behind its bytes, and the other
// direction goes on.
func TestHalfClose(t *testing.T) {
	client, server := pair(t)
	for _, way := range [][2]*Conn{{client, server}, {server, client}} {
		a, b := streams(t, way[0], way[1])
		question, answer := bytes.Repeat([]byte("question"), 100_000), bytes.Repeat([]byte("answer"), 100_000)
		written := make(chan error, 1)
		go func() {
			_, err := a.Write(question)
			written <- errors.Join(err, a.Close())
		}()
		got, err := io.ReadAll(b)
		if err := errors.Join(err, <-written); err != nil || !bytes.Equal(got, question) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(question), err)
		}
		go func() {
			_, err := b.Write(answer)
			written <- errors.Join(err, b.Close())
		}()
		got, err = io.ReadAll(a)
		if err := errors.Join(err, <-written); err != nil || !bytes.Equal(got, answer) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(answer), err)
		}
	}
}

// TestCloseCodes: whoever closes, the other side learns the code and the reason, also
// where bytes are on the way that nobody reads.
func TestCloseCodes(t *testing.T) {
	for _, unread := range []bool{false, true} {
		client, server := pair(t)
		closer, other := client, server
		if unread {
			closer, other = server, client
			a, b := streams(t, client, server)
			defer a.Cancel()
			if _, err := b.Write(make([]byte, windowBytes)); err != nil {
				t.Fatal(err)
			}
			if _, err := a.Write(make([]byte, windowBytes)); err != nil {
				t.Fatal(err)
			}
		}
		reason := strings.Repeat("because ", 200)
		closer.CloseWithError(1<<40|7, reason)
		closer.CloseWithError(3, "too late")
		var here, there *CloseError
		if err := await(t, closer); !errors.As(err, &here) || *here != (CloseError{1<<40 | 7, reason, false}) {
			t.Errorf("the closer sees %v", err)
		}
		if err := await(t, other); !errors.As(err, &there) || *there != (CloseError{1<<40 | 7, reason[:reasonBytesMax], true}) {
			t.Errorf("the other side sees %v", err)
		}
		for _, c := range []*Conn{closer, other} {
			if _, err := c.Open(t.Context()); !errors.As(err, &here) {
				t.Errorf("a stream of a closed connection: %v", err)
			}
			if _, err := c.Accept(t.Context()); !errors.As(err, &here) {
				t.Errorf("a stream of a closed connection: %v", err)
			}
		}
	}
}

// TestCancel: the other side of a cancelled stream reads and writes no more.
func TestCancel(t *testing.T) {
	client, server := pair(t)
	a, b := streams(t, client, server)
	if _, err := a.Write([]byte("unread")); err != nil {
		t.Fatal(err)
	}
	a.Cancel()
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, ErrCancelled) {
		t.Errorf("reading what was cancelled here: %v", err)
	}
	if _, err := io.ReadAll(b); !errors.Is(err, ErrCancelled) {
		t.Errorf("reading what was cancelled there: %v", err)
	}
	if _, err := b.Write([]byte("x")); !errors.Is(err, ErrCancelled) {
		t.Errorf("writing what was cancelled there: %v", err)
	}
}

// TestDeadlines: a read that waits for nothing and a write that nobody reads end.
func TestDeadlines(t *testing.T) {
	client, server := pair(t)
	a, b := streams(t, client, server)
	a.SetReadDeadline(time.Now().Add(-time.Second))
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	a.SetReadDeadline(time.Now().Add(patience))
	if _, err := b.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Read(make([]byte, 1)); err != nil {
		t.Errorf("read after a deadline was taken back: %v", err)
	}
	a.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := a.Write(make([]byte, 64<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write: %v", err)
	}
}

// BenchmarkBulk is how fast a file goes that yields, over loopback, both sides together.
func BenchmarkBulk(b *testing.B) {
	client, server := pair(b)
	to, from := streams(b, client, server)
	from.Yield()
	chunk := make([]byte, 256<<10)
	got := make(chan error, 1)
	b.SetBytes(int64(len(chunk)))
	go func() {
		_, err := io.Copy(io.Discard, to)
		got <- err
	}()
	for b.Loop() {
		if _, err := from.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
	if err := errors.Join(from.Close(), <-got); err != nil {
		b.Fatal(err)
	}
}
