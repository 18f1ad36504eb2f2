package relay

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"

	"quorate/internal/mux"
	"quorate/internal/pki"
)

// A journal is a log that a test reads while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) lines() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Split(strings.TrimSpace(j.text.String()), "\n")
}

// TestRefusalsAreTold: of those who are refused for one reason the first is told at once,
// and the others once a minute, however many they are.
func TestRefusalsAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		r := newRefusals(slog.New(slog.NewTextHandler(j, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { r.run(ctx) })
		expect := func(lines int, last string) {
			t.Helper()
			synctest.Wait()
			if got := j.lines(); len(got) != lines || !strings.Contains(got[len(got)-1], last) {
				t.Errorf("told %q, want %d lines with %q in the last", got, lines, last)
			}
		}
		for i := range 1000 {
			r.note("a", &net.UDPAddr{IP: net.IPv4(10, 0, 0, byte(i%8)), Port: i})
		}
		expect(1, `reason=a times=1 addresses=[10.0.0.0]`)
		r.note("b", &net.TCPAddr{IP: net.IPv4(10, 0, 0, 9), Port: 1})
		expect(2, `reason=b times=1 addresses=[10.0.0.9]`)
		time.Sleep(toldEvery)
		expect(3, `reason=a times=999 addresses="[10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4]"`)
		time.Sleep(5 * toldEvery)
		expect(3, "reason=a")
		r.note("b", &net.TCPAddr{IP: net.IPv4(10, 0, 0, 8), Port: 1})
		expect(4, `reason=b times=1 addresses=[10.0.0.8]`)
		cancel()
		running.Wait()
	})
}

// TestStrangersAreTold: whom a relay refuses by its certificate, or by what it speaks, is in
// its log, over UDP and over TCP.
func TestStrangersAreTold(t *testing.T) {
	t.Parallel()
	j := &journal{}
	b := newBenchLogging(t, nil, slog.New(slog.NewTextHandler(j, nil)))
	other, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	foreign := pki.SiteTLS(b.identity(other, other.IssueAgent), b.ca.Certificate())
	nobody := pki.SiteEnrolTLS(b.ca.Pin())
	nobody.NextProtos = foreign.NextProtos
	unknown := pki.SiteEnrolTLS(b.ca.Pin())
	unknown.NextProtos = []string{"quorate-site/0"}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if c, err := quic.DialAddr(ctx, b.udp.String(), foreign, nil); err == nil {
		<-c.Context().Done() // the relay says so behind the handshake
	}
	raw, err := net.Dial("tcp", b.tcp.String())
	if err != nil {
		t.Fatal(err)
	}
	if c, err := mux.Client(ctx, raw, nobody); err == nil {
		<-c.Context().Done()
	}
	if _, err := quic.DialAddr(ctx, b.udp.String(), unknown, nil); err == nil {
		t.Error("a protocol that nobody knows is spoken")
	}
	for poll := time.NewTicker(10 * time.Millisecond); ; <-poll.C {
		told := strings.Join(j.lines(), "\n")
		if strings.Contains(told, "none of this cluster's") && strings.Contains(told, "no certificate was shown") && strings.Contains(told, "of another version") {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("told %s", told)
		}
	}
}
