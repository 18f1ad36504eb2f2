package nodeagent

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"quorate/internal/mux"
	"quorate/internal/pki"
)

// TestIPv6 connects to an orchestrator that has no other address.
func TestIPv6(t *testing.T) {
	probe, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Skip("this host has no IPv6:", err)
	}
	_ = probe.Close()
	o := newOrchestrator(t)
	cert, err := o.ca.IssueServer(nil)
	if err != nil {
		t.Fatal(err)
	}
	six := &orchestrator{t: t, ca: o.ca, token: o.token, changed: make(chan struct{}), epoch: o.epoch, heartbeat: o.heartbeat}
	six.listen("[::1]:0", pki.ServerTLS(cert, o.ca.Certificate()))
	startAgent(t, six, t.TempDir())
	six.connected()
}

// TestOtherVersion: an orchestrator that knows nothing of the agent's protocol is said to be
// of another version.
func TestOtherVersion(t *testing.T) {
	o := newOrchestrator(t)
	conf := pki.EnrolTLS("")
	conf.NextProtos = []string{"quorate-agent/0"}
	var k sockets
	defer k.close()
	l, err := k.dial(t.Context(), o.address, conf, func() {})
	if err == nil {
		l.close("unexpected")
	}
	if err == nil || !strings.Contains(err.Error(), "orchestrators are upgraded first") {
		t.Errorf("told %v", err)
	}
}

// TestSocketsClose: no socket outlives the agent, whatever its connection is about.
func TestSocketsClose(t *testing.T) {
	var k sockets
	left := make(chan struct{}, 2)
	over, end := context.WithCancel(t.Context())
	k.linger(over, func() { left <- struct{}{} })
	k.linger(t.Context(), func() { left <- struct{}{} })
	end()
	k.close()
	if len(left) != 2 {
		t.Errorf("%d of 2 sockets are closed", len(left))
	}
}

// TestHandshakesOnly: where QUIC connects and then bears nothing TCP comes first, until
// QUIC does.
func TestHandshakesOnly(t *testing.T) {
	o := newOrchestrator(t)
	cert, err := o.ca.IssueServer(nil)
	if err != nil {
		t.Fatal(err)
	}
	server := pki.ServerTLS(cert, o.ca.Certificate())
	for { // until nobody else has the port over TCP
		ln, err := net.Listen("tcp", o.address)
		if err != nil {
			o = o.another()
			continue
		}
		var serving sync.WaitGroup
		serving.Go(func() {
			for {
				raw, err := ln.Accept()
				if err != nil {
					return
				}
				if c, err := mux.Server(context.Background(), raw, server); err == nil {
					t.Cleanup(func() { _ = c.CloseWithError(0, "") })
				}
			}
		})
		t.Cleanup(func() {
			_ = ln.Close()
			serving.Wait()
		})
		break
	}
	key, err := loadOrCreateKey(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	der, err := o.ca.IssueAgent(public, 9)
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{
		cfg: Config{sockets: new(sockets)},
		id:  &identity{ca: o.ca.Certificate(), cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}},
	}
	t.Cleanup(a.cfg.sockets.close)
	dial := func(overTCP bool) *link {
		t.Helper()
		l, err := a.dial(t.Context(), o.address, func() {})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.close("") })
		if l.overTCP() != overTCP || l.overQUIC() == overTCP {
			t.Fatalf("over TCP is %t", l.overTCP())
		}
		return l
	}
	silence := fmt.Errorf("greeting: %w", os.ErrDeadlineExceeded)
	overQUIC := dial(false)
	for range muteMax {
		a.greeted(overQUIC, silence)
	}
	a.greeted(dial(true), nil) // says nothing of QUIC
	dial(true)
	a.greeted(overQUIC, &RefusedError{Code: codeBusy})
	a.greeted(overQUIC, silence)
	dial(false)
}

// TestRelayCredit: what nobody takes out of a relay's streams fills their own windows, and
// another stream goes on.
func TestRelayCredit(t *testing.T) {
	t.Parallel()
	const stalled = 20 // windows of streams at first, beyond an agent's of the connection
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ca, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.IssueServer(nil)
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
	der, err := ca.IssueRelay(public, 7)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := quic.ListenAddr("127.0.0.1:0", pki.ServerTLS(cert, ca.Certificate()), &quic.Config{MaxIncomingStreams: 2 * stalled})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	full := make(chan struct{}, stalled)
	var serving sync.WaitGroup
	defer serving.Wait()
	serving.Go(func() {
		c, err := ln.Accept(ctx)
		if err != nil {
			return
		}
		for i := 0; ; i++ {
			s, err := c.AcceptStream(ctx)
			if err != nil {
				return
			}
			serving.Go(func() {
				if i == stalled {
					_, _ = s.Write([]byte("x"))
					return
				}
				_ = s.SetWriteDeadline(time.Now().Add(time.Second))
				_, _ = s.Write(make([]byte, 4<<20))
				full <- struct{}{}
			})
		}
	})
	var k sockets
	defer k.close()
	identity := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	l, err := k.dialQUIC(ctx, ln.Addr().String(), pki.RelayTLS(identity, ca.Certificate()), func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer l.close("done")
	open := func() stream {
		s, err := l.open(ctx)
		if err == nil {
			_, err = s.Write([]byte("x"))
		}
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for range stalled {
		open()
	}
	for range stalled {
		<-full
	}
	s := open()
	_ = s.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := s.Read(make([]byte, 1)); err != nil {
		t.Errorf("behind %d streams that nobody reads: %v", stalled, err)
	}
}

// TestOtherVersionOverTCP: likewise where there is no way but TCP.
func TestOtherVersionOverTCP(t *testing.T) {
	t.Parallel()
	ca, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.IssueServer(nil)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", pki.ServerTLS(cert, ca.Certificate()))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		if c, err := ln.Accept(); err == nil {
			_ = c.(*tls.Conn).Handshake()
			_ = c.Close()
		}
	}()
	conf := pki.EnrolTLS("")
	conf.NextProtos = []string{"quorate-agent/0"}
	if _, err := dialTCP(t.Context(), ln.Addr().String(), conf, func() {}); !errors.Is(err, errOtherProtocol) {
		t.Errorf("told %v", err)
	}
}
