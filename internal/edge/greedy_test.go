package edge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"quorate/internal/mux"
	"quorate/internal/pki"
	"quorate/internal/soak/lab"
	"quorate/nodeagent/relay"
	"quorate/nodeagent/wire"
)

// A greedy machine has the key of an agent of the site, and asks its relay for all that it
// can get.
type greedy struct {
	host    *lab.Host
	relay   string
	site    *tls.Config
	cluster *tls.Config
	got     atomic.Int64 // tunnels
	lost    atomic.Int64 // tunnels, refused or ended, and connections
	open    atomic.Int64 // tunnels now
	most    atomic.Int64 // tunnels at once
}

// newGreedy takes the key of an agent, which does not run any more.
func newGreedy(t *testing.T, r *relayed, a *lab.Agent) *greedy {
	t.Helper()
	identity, err := tls.LoadX509KeyPair(filepath.Join(a.Dir, "identity.crt"), filepath.Join(a.Dir, "identity.key"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(a.Dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	var ca *x509.Certificate
	if ca, err = pki.ParseCertificate(text); err != nil {
		t.Fatal(err)
	}
	return &greedy{
		host: a.Host, relay: net.JoinHostPort(r.host.Address, "7443"),
		site: pki.SiteTLS(identity, ca), cluster: pki.AgentTLS(identity, ca),
	}
}

// run opens connections and tunnels as fast as it can until ctx ends, and keeps them.
func (g *greedy) run(ctx context.Context, connections, tunnels int) error {
	var socket net.PacketConn
	err := g.host.Within(func() (err error) {
		socket, err = net.ListenPacket("udp4", "0.0.0.0:0")
		return err
	})
	if err != nil {
		return err
	}
	defer socket.Close()
	transport := &quic.Transport{Conn: socket}
	defer transport.Close()
	to, err := net.ResolveUDPAddr("udp4", g.relay)
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	defer all.Wait()
	for range connections {
		all.Go(func() {
			for ctx.Err() == nil {
				conn, err := transport.Dial(ctx, to, g.site, &quic.Config{HandshakeIdleTimeout: 10 * time.Second})
				if err != nil {
					continue
				}
				var streams sync.WaitGroup
				for range tunnels {
					streams.Go(func() {
						for ctx.Err() == nil && conn.Context().Err() == nil {
							g.tunnel(ctx, conn)
						}
					})
				}
				streams.Wait()
				g.lost.Add(1)
				_ = conn.CloseWithError(0, "")
			}
		})
	}
	return nil
}

// tunnel asks for a tunnel and holds it.
func (g *greedy) tunnel(ctx context.Context, conn *quic.Conn) {
	opened, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return
	}
	defer g.lost.Add(1)
	s := relay.QUICStream{Stream: opened}
	defer s.Cancel()
	defer context.AfterFunc(ctx, s.Cancel)()
	if wire.WriteMessage(s, &wire.Tunnel{}) != nil {
		return
	}
	m, err := wire.ReadFrom(s, wire.Orchestrator)
	if answer, ok := m.(*wire.Tunnelled); err != nil || !ok || answer.Error != "" {
		return
	}
	g.got.Add(1)
	most := g.open.Add(1)
	for before := g.most.Load(); most > before && !g.most.CompareAndSwap(before, most); {
		before = g.most.Load()
	}
	defer g.open.Add(-1)
	c, err := mux.Client(ctx, way{s, conn.RemoteAddr()}, g.cluster)
	if err != nil {
		return
	}
	select {
	case <-c.Context().Done():
	case <-ctx.Done():
	}
	_ = c.CloseWithError(0, "")
}

// A way is a stream as a connection.
type way struct {
	relay.Stream
	addr net.Addr
}

func (w way) LocalAddr() net.Addr  { return w.addr }
func (w way) RemoteAddr() net.Addr { return w.addr }
func (w way) Close() error         { w.Cancel(); return nil }

// TestGreedyNeighbour: a machine with the key of one agent opens connections and tunnels as
// fast as it can, and keeps them. The other agents of the site, all of which are killed and
// started meanwhile, get theirs through the same relay, and do a run.
func TestGreedyNeighbour(t *testing.T) {
	beside(t)
	const tunnels, enough = 8, 48 // streams of a connection, and ends by which the machine has met its bounds
	agents, tasks := size(20, 5), size(100, 20)
	r := newRelayed(t, 1, agents+1, Conditions{Delay: 5 * time.Millisecond})
	bad, good := r.Agents()[0], r.Agents()[1:]
	bad.Slay()
	for _, connections := range []int{128, 12} { // more than it may have, and fewer
		g := newGreedy(t, r, bad)
		ctx, cancel := context.WithCancel(t.Context())
		var flood sync.WaitGroup
		flood.Go(func() {
			if err := g.run(ctx, connections, tunnels); err != nil {
				t.Error(err)
			}
		})
		r.until("the machine has all that it gets", func() bool { return g.lost.Load() >= enough || g.open.Load() >= enough })
		for _, a := range good {
			a.Kill()
		}
		began := time.Now()
		for _, a := range good {
			if err := a.Start(); err != nil {
				t.Fatal(err)
			}
		}
		e, name := r.effects(), fmt.Sprint("turn", connections)
		args, want := r.writeRelay(name, good, tasks, fmt.Sprintf("echo $QUORATE_TASK >> %s", string(e)))
		run := r.begin(args...)
		r.ends(run, "succeeded")
		t.Logf("beside a machine of %d connections, which got %d tunnels, %d at once, %d agents were started and did %d jobs in turn within %.1f s",
			connections, g.got.Load(), g.most.Load(), agents, tasks, time.Since(began).Seconds())
		r.didOnce(t, run, e, want)
		if most := g.most.Load(); most >= enough {
			t.Errorf("one machine has had %d tunnels at once", most)
		}
		cancel()
		flood.Wait()
		if err := os.Remove(string(e)); err != nil {
			t.Fatal(err)
		}
	}
}
