package mux

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"
)

// rawClient is a peer that speaks TLS and then what it likes.
func rawClient(t *testing.T) (*tls.Conn, *Conn) {
	t.Helper()
	a, b := wires(t)
	clientTLS, serverTLS := configs(t)
	secure := tls.Client(a, clientTLS)
	shaken := make(chan error, 1)
	go func() { shaken <- secure.HandshakeContext(t.Context()) }()
	server, err := Server(t.Context(), b, serverTLS)
	if err := errors.Join(err, <-shaken); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = secure.Close()
		server.CloseWithError(0, "")
		server.tasks.Wait()
	})
	return secure, server
}

// TestGarbage: what is no record, or a record that holds no frame, ends the connection.
func TestGarbage(t *testing.T) {
	for name, bytes := range map[string][]byte{
		"kind":         {9, 0, 0, 1, 0},
		"oversized":    {kindStreams, 0xff, 0xff, 0xff, 0},
		"short close":  {kindClose, 0, 0, 1, 0},
		"long close":   appendRecord(nil, kindClose, make([]byte, 8+reasonBytesMax+1)),
		"no frame":     appendRecord(nil, kindStreams, bytes.Repeat([]byte{0xee}, 12)),
		"own stream":   appendRecord(nil, kindStreams, []byte{0, 1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0}),
		"beyond":       appendRecord(appendRecord(nil, kindStreams, []byte{0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0}), kindStreams, []byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 0xff, 0xff, 0xff}),
		"end too soon": {kindStreams, 0, 0, 12, 0},
	} {
		t.Run(name, func(t *testing.T) {
			secure, server := rawClient(t)
			if _, err := secure.Write(bytes); err != nil {
				t.Fatal(err)
			}
			_ = secure.CloseWrite()
			var closed *CloseError
			if err := await(t, server); errors.As(err, &closed) {
				t.Errorf("garbage looks like a close: %v", err)
			}
		})
	}
}

// TestNoALPN refuses who does not say what it speaks.
func TestNoALPN(t *testing.T) {
	a, b := wires(t)
	clientTLS, serverTLS := configs(t)
	clientTLS.NextProtos = nil
	go func() { _ = tls.Client(a, clientTLS).HandshakeContext(t.Context()) }()
	if _, err := Server(t.Context(), b, serverTLS); !errors.Is(err, ErrNoALPN) {
		t.Errorf("a peer without a protocol: %v", err)
	}
}

// TestSilentHandshake ends with its context, and closes the byte stream.
func TestSilentHandshake(t *testing.T) {
	a, b := wires(t)
	_, serverTLS := configs(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := Server(ctx, b, serverTLS); err == nil {
		t.Fatal("a silent peer has shaken hands")
	}
	if _, err := io.Copy(io.Discard, a); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Logf("the other end sees %v", err)
	}
}

// TestStuckReader: a stream that nobody reads holds up no other, and what is sent on it
// is bounded by its window, however much there is to send.
func TestStuckReader(t *testing.T) {
	client, server := pair(t)
	stuck, _ := streams(t, client, server)
	const flood = 100 << 20
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	written := make(chan int, 1)
	go func() {
		n, _ := stuck.Write(make([]byte, flood))
		written <- n
	}()
	a, b := streams(t, client, server)
	for range 100 {
		if _, err := a.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(b, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
	}
	stuck.Cancel()
	if n := <-written; n > windowBytes {
		t.Errorf("%d bytes were taken that nobody has read, want at most %d", n, windowBytes)
	}
	runtime.ReadMemStats(&after)
	// The test's own bytes are in it.
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > flood+16<<20 {
		t.Errorf("%d bytes of memory for a window of %d", grown-flood, windowBytes)
	}
}

// TestStreamsBounded: who opens more streams than the other side takes waits.
func TestStreamsBounded(t *testing.T) {
	client, server := pair(t, Streams(2))
	first, _ := streams(t, client, server)
	streams(t, client, server)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := client.Open(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a third stream of two: %v", err)
	}
	first.Cancel()
	streams(t, client, server)
}

// TestVanished: a peer that goes without a word has not closed the connection.
func TestVanished(t *testing.T) {
	client, server := pair(t)
	_ = client.raw.Close()
	var closed *CloseError
	if err := await(t, server); errors.As(err, &closed) || errors.Is(err, ErrProtocol) {
		t.Errorf("a peer that vanished: %v", err)
	}
}

// FuzzRecords reads what a peer might send.
func FuzzRecords(f *testing.F) {
	f.Add(appendRecord(appendClose(nil, 7, "why"), kindStreams, []byte("abc")))
	f.Add(appendClose(appendRecord(nil, kindStreams, []byte("abc")), 7, "why"))
	f.Add([]byte{kindStreams, 0, 0, 0, kindClose, 0, 0, 7})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := recordReader{from: bytes.NewReader(data)}
		got, err := io.ReadAll(&r)
		if len(got) > len(data) {
			t.Fatalf("%d bytes of %d", len(got), len(data))
		}
		var closed *CloseError
		switch {
		case errors.As(err, &closed):
			if !closed.Remote || len(closed.Reason) > reasonBytesMax || !bytes.Contains(data, binary.BigEndian.AppendUint64(nil, closed.Code)) {
				t.Errorf("close %+v", closed)
			}
		case !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, ErrProtocol):
			t.Errorf("bytes without a close end with %v", err)
		}
	})
}

// BenchmarkIdle is what a connection costs that has nothing to do, both of its sides
// together.
func BenchmarkIdle(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const connections = 50
	for range connections {
		client, server := pair(b)
		streams(b, client, server)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	for b.Loop() {
	}
	b.ReportMetric(float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/connections/2, "B/side")
}
