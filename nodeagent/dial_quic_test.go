package nodeagent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"

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
