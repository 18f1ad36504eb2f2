package relay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"

	"quorate/internal/blobcache"
)

// TestOneTakesNobodysShare: an agent that opens connections and tunnels as fast as it can
// ends its own, and the others of its site get theirs.
func TestOneTakesNobodysShare(t *testing.T) {
	t.Parallel()
	const upstream, connections = 64, 2 * connectionsOfOne
	b := newBench(t)
	b.streams = make(chan struct{}, upstream)
	greedy, sound := b.identity(b.ca, b.ca.IssueAgent), b.identity(b.ca, b.ca.IssueAgent)
	ctx, cancel := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	defer flood.Wait()
	defer cancel()
	ended := make(chan struct{}, 1)
	hold := func(site *quic.Conn) {
		for ctx.Err() == nil && site.Context().Err() == nil {
			c, err := b.tunnel(site, greedy)
			if err != nil {
				continue
			}
			select {
			case <-c.Context().Done():
				offer(ended)
			case <-ctx.Done():
			}
			_ = c.CloseWithError(0, "")
		}
	}
	for range connections {
		flood.Go(func() {
			for ctx.Err() == nil {
				site, err := b.dial(greedy)
				if err != nil {
					continue
				}
				stop := context.AfterFunc(ctx, func() { _ = site.CloseWithError(0, "") })
				var streams sync.WaitGroup
				for range streamsMax {
					streams.Go(func() { hold(site) })
				}
				streams.Wait()
				offer(ended)
				stop()
				_ = site.CloseWithError(0, "")
			}
		})
	}
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for poll := time.NewTicker(10 * time.Millisecond); len(b.streams) < upstream; {
		select {
		case <-poll.C:
			continue
		case <-ended:
		case <-deadline.C:
			t.Fatal("neither is there an end to what one agent gets, nor has it all")
		}
		break
	}
	for range 3 {
		site, err := b.dial(sound)
		if err != nil {
			t.Fatal(err)
		}
		c, err := b.tunnel(site, sound)
		if err != nil {
			t.Fatal(err)
		}
		if err := echo(t.Context(), c, "here I am"); err != nil {
			t.Error(err)
		}
		_ = c.CloseWithError(0, "")
		_ = site.CloseWithError(0, "")
	}
}

// fakeConn is of somebody without a certificate, unless there is one.
type fakeConn struct {
	agentConn
	addr net.Addr
	cert *x509.Certificate
}

func (c fakeConn) certificate() *x509.Certificate { return c.cert }
func (c fakeConn) remote() net.Addr               { return c.addr }

// TestEnrolments: strangers who hold all enrolments that there may be keep nobody from
// enrolling that comes from elsewhere, or behind those that go on for too long.
func TestEnrolments(t *testing.T) {
	t.Parallel()
	at := func(ip string) agentConn { return fakeConn{addr: &net.UDPAddr{IP: net.ParseIP(ip), Port: 1}} }
	synctest.Test(t, func(t *testing.T) {
		s := newShares()
		var ended []string
		var mu sync.Mutex
		come := func(ip string, want error) {
			t.Helper()
			_, err := s.connection(at(ip), func() {
				mu.Lock()
				defer mu.Unlock()
				ended = append(ended, ip)
			})
			if !errors.Is(err, want) {
				t.Errorf("from %s behind %d: %v, want %v", ip, len(s.enrolments), err, want)
			}
			synctest.Wait()
		}
		expect := func(want ...string) {
			t.Helper()
			if !slices.Equal(ended, want) || len(s.enrolments) > enrolmentsMax {
				t.Errorf("%v made room, want %v", ended, want)
			}
		}
		for range enrolmentsOfOne {
			come("10.0.0.1", nil)
		}
		come("10.0.0.1", errEnrolmentsAddress)
		for range enrolmentsOfOne {
			come("10.0.0.2", nil)
		}
		expect()
		come("10.0.0.3", nil)
		expect("10.0.0.1")
		come("10.0.0.1", errEnrolments)
		come("10.0.0.3", nil)
		come("10.0.0.4", nil)
		expect("10.0.0.1", "10.0.0.2", "10.0.0.1")
		time.Sleep(enrolmentAged)
		come("10.0.0.2", nil)
		expect("10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.1")

		s, ended = newShares(), nil
		dones := make([]func(), enrolmentsMax)
		for i := range dones { // as who has a whole network may
			dones[i], _ = s.connection(at(net.IPv4(11, 0, 0, byte(i)).String()), func() {})
		}
		come("10.0.0.1", errEnrolments)
		dones[7]()
		come("10.0.0.1", nil)
		come("10.0.0.2", errEnrolments)
		time.Sleep(enrolmentAged)
		come("10.0.0.2", nil)
		for range enrolmentsOfOne - 1 { // those before make room
			come("10.0.0.2", nil)
		}
		come("10.0.0.2", errEnrolmentsAddress)
		expect()
		for _, done := range dones {
			done()
		}
		if n := len(s.enrolments); n != 1+enrolmentsOfOne {
			t.Errorf("%d enrolments are left", n)
		}
	})
}

// TestShares: each agent has its share, and all together have theirs.
func TestShares(t *testing.T) {
	t.Parallel()
	at := func(ip string) agentConn { return fakeConn{addr: &net.UDPAddr{IP: net.ParseIP(ip), Port: 1}} }
	synctest.Test(t, func(t *testing.T) {
		s := newShares()
		var dones []func()
		for i := 0; ; i++ {
			who := at(net.IPv4(11, 0, byte(i>>8), byte(i)).String())
			done, err := s.tunnel(t.Context(), who, func() {})
			if errors.Is(err, ErrFull) {
				break
			}
			dones = append(dones, done)
		}
		if len(dones) != tunnelsMax {
			t.Errorf("there is room for %d tunnels, want %d", len(dones), tunnelsMax)
		}
		for _, done := range dones {
			done()
		}
		var endings atomic.Int64
		for range tunnelsAtOnce {
			if _, err := s.tunnel(t.Context(), at("10.0.0.4"), func() { endings.Add(1) }); err != nil {
				t.Fatal(err)
			}
		}
		if synctest.Wait(); endings.Load() != 0 {
			t.Errorf("those who join from one address end %d of each other's tunnels", endings.Load())
		}
		known := fakeConn{cert: &x509.Certificate{RawSubjectPublicKeyInfo: []byte("a key")}}
		began := time.Now()
		for range tunnelsAtOnce + 2*tunnelsPerSecond {
			if _, err := s.tunnel(t.Context(), known, func() { endings.Add(1) }); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("who asks for tunnels all the time waited %v, want 2s", took)
		}
		if want := int64(tunnelsAtOnce + 2*tunnelsPerSecond - tunnelsOfOne); endings.Load() != want {
			t.Errorf("%d of its tunnels were ended, want %d", endings.Load(), want)
		}
		if s.tidyAt = 0; s.get("new") == nil || len(s.of) > 6 {
			t.Errorf("%d shares are kept of who has nothing", len(s.of))
		}
	})
}

// TestPrompt: a tunnel ends whose agent takes nothing, and not before.
func TestPrompt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		began := time.Now()
		err := pipe(prompt{&duplex{Conn: near}}, &duplex{Conn: endless{near}})
		if took := time.Since(began); err == nil || took != takeTimeout {
			t.Errorf("the tunnel ended after %v: %v", took, err)
		}
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the agent's side: %v", err)
		}
	})
}

// endless has always more to say.
type endless struct{ net.Conn }

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestUnknownKeepsNobodyWaiting: who asks for blobs that are not there, as many as are
// fetched at a time, holds up nobody's that are.
func TestUnknownKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(t)
		dir := t.TempDir()
		c := newTestCache(t, dir, o, 0)
		digest, content := o.add(1000)
		var unknown sync.WaitGroup
		for i := range fetchesMax {
			sum := sha256.Sum256([]byte{byte(i)})
			unknown.Go(func() {
				if _, err := readAll(t.Context(), c, hex.EncodeToString(sum[:]), 0); !errors.Is(err, blobcache.ErrUnknown) {
					t.Errorf("a blob that is not there: %v", err)
				}
			})
		}
		synctest.Wait()
		began := time.Now()
		got, err := readAll(t.Context(), c, digest, 0)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if waited := time.Since(began); waited > 0 {
			t.Errorf("it waited %v for others' that are not there", waited)
		}
		unknown.Wait()
		if left, err := filepath.Glob(filepath.Join(dir, "*", "*.part")); err != nil || len(left) > 0 {
			t.Errorf("files of what is not there are left: %q, %v", left, err)
		}
	})
}

// TestAbandonedLeavesNoFile: who asks for a blob and leaves before anything of it has come
// leaves no file behind.
func TestAbandonedLeavesNoFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		c := newTestCache(t, dir, newOrigin(t), 0)
		sum := sha256.Sum256([]byte("nothing"))
		ctx, leave := context.WithCancel(t.Context())
		asked := make(chan error)
		go func() {
			_, err := readAll(ctx, c, hex.EncodeToString(sum[:]), 0)
			asked <- err
		}()
		synctest.Wait() // it was told once that there is none
		leave()
		if err := <-asked; !errors.Is(err, context.Canceled) {
			t.Errorf("who has left is told: %v", err)
		}
		c.Wait()
		if left, err := filepath.Glob(filepath.Join(dir, "*", "*.part")); err != nil || len(left) > 0 {
			t.Errorf("files of what nobody waits for are left: %q, %v", left, err)
		}
	})
}
