package gateway

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// TestYield wants what is written to a stream to go before what streams carry that
// yield, all of which always have something to send.
func TestYield(t *testing.T) {
	const bulks, urgentBytes = 4, 8 << 20
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	streams := quicStreams(ctx, t, 1+bulks)
	var others sync.WaitGroup
	defer others.Wait()
	defer cancel()
	var sent atomic.Int64
	busy := make(chan struct{}, bulks)
	for _, s := range streams[1:] {
		s.yield()
		context.AfterFunc(ctx, func() { s.CancelWrite(codeDone) })
		others.Go(func() {
			chunk := make([]byte, 64<<10)
			for n := 0; ; n++ {
				if n == 16 {
					busy <- struct{}{}
				}
				if _, err := s.Write(chunk); err != nil {
					return
				}
				sent.Add(int64(len(chunk)))
			}
		})
	}
	for range bulks {
		select {
		case <-busy:
		case <-ctx.Done():
			t.Fatal("the others do not get on")
		}
	}
	before := sent.Load()
	if _, err := streams[0].Write(make([]byte, urgentBytes)); err != nil {
		t.Fatal(err)
	}
	if meanwhile := sent.Load() - before; meanwhile > urgentBytes/2 {
		t.Errorf("%d bytes of the others went while %d waited", meanwhile, urgentBytes)
	}
}

// quicStreams returns the server's ends of streams, of which the client reads all.
func quicStreams(ctx context.Context, t *testing.T, count int) (streams []quicStream) {
	t.Helper()
	conf := &quic.Config{
		InitialStreamReceiveWindow: 16 << 20, MaxStreamReceiveWindow: 16 << 20,
		InitialConnectionReceiveWindow: 128 << 20, MaxConnectionReceiveWindow: 128 << 20,
	}
	ln, err := quic.ListenAddr("127.0.0.1:0", selfSigned(t), conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	client, err := quic.DialAddr(ctx, ln.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"test"}}, conf)
	if err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	t.Cleanup(readers.Wait)
	t.Cleanup(func() { _ = client.CloseWithError(codeDone, "") })
	server, err := ln.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for range count {
		s, err := client.OpenStreamSync(ctx)
		if err == nil {
			_, err = s.Write([]byte{0}) // or nobody hears of it
		}
		if err != nil {
			t.Fatal(err)
		}
		readers.Go(func() { _, _ = io.Copy(io.Discard, s) })
		accepted, err := server.AcceptStream(ctx)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, quicStream{accepted})
	}
	return streams
}

func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}, NextProtos: []string{"test"}}
}
