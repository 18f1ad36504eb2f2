package gateway_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"quorate/engine"
	"quorate/engine/gateway"
	"quorate/engine/gateway/gatewaytest"
	"quorate/eventlog"
	"quorate/internal/mux"
	"quorate/internal/pki"
	"quorate/nodeagent/verb"
	"quorate/nodeagent/wire"
)

// briefly is a cut that ends with the relay's welcome elsewhere, so that its gateway reads
// of that in the log before the relay tells.
const briefly = "the gateway was cut off"

// TestAgentsFollowTheirRelay: a relay whose gateway sends it away goes before its agents,
// and they follow it without having lost a connection: each is welcomed at the next
// gateway before it leaves the old one, and what runs goes on.
func TestAgentsFollowTheirRelay(t *testing.T) {
	t.Parallel()
	for what, part := range map[string]func(r *gatewaytest.Rig, stopped *sync.WaitGroup){
		"the gateway stops":      func(r *gatewaytest.Rig, stopped *sync.WaitGroup) { stopped.Go(r.Stop) },
		"the gateway is cut off": func(r *gatewaytest.Rig, _ *sync.WaitGroup) { r.Cut(true) },
		briefly:                  func(r *gatewaytest.Rig, _ *sync.WaitGroup) { r.Cut(true) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			rigs := gatewaytest.Cluster(t, 2, gatewaytest.Options{
				Verbs: verb.Lookup, Limits: gateway.Limits{MajorityEvery: 200 * time.Millisecond},
			})
			relay := startRelay(t, rigs[1], "site1", 0)
			names, dirs := []string{}, []string{}
			for i := range 3 {
				names = append(names, fmt.Sprint("n", i))
				dirs = append(dirs, startBehind(t, rigs[1], names[i], relay.address))
			}
			at := func(gateway uint64) func(*engine.State) bool {
				return func(s *engine.State) bool {
					for _, name := range names {
						if !behind(s, name, "site1") || s.AgentByName(name).Gateway != gateway {
							return false
						}
					}
					return true
				}
			}
			rigs[0].Until(t, "the agents behind the relay", at(2))
			plan := rigs[0].Plan(t, names, gatewaytest.Task{ID: "svc-a", Jobs: 1})
			plan.Tasks[0].Jobs[0].Spec.Text = "echo x >>effects; until test -e gate; do sleep 0.05; done; test $(wc -l <effects) = 1"
			gatewaytest.Must(rigs[0].O.Blobs().PutBytes(plan.Encode()))
			run := rigs[0].Run(t, plan)
			rigs[0].Until(t, "all attempts begun", func(s *engine.State) bool {
				begun := 0
				for _, a := range s.Attempts {
					if a.Began {
						begun++
					}
				}
				return begun == len(names)
			})
			var lost, unasked []string
			stop := rigs[0].O.Observe(func(s *engine.State, _ *eventlog.Record, event eventlog.Event, void string) {
				for _, name := range names {
					if !s.AgentByName(name).Connected {
						lost = append(lost, name)
					}
				}
				e, ok := event.(*eventlog.AgentConnected)
				if !ok || void != "" {
					return
				}
				if e.Came != eventlog.Asked {
					unasked = append(unasked, s.Agent(e.Agent).Name)
				}
				if what == briefly && s.Agent(e.Agent).Relay {
					rigs[1].Cut(false)
				}
			}, nil)
			var stopped sync.WaitGroup
			defer stopped.Wait()
			part(rigs[1], &stopped)
			rigs[0].Until(t, "the agents at the other gateway", at(1))
			stop()
			rigs[0].O.View(func(s *engine.State) {
				if len(lost)+len(unasked) > 0 {
					t.Errorf("%q were without a connection, and %q were not asked to go", lost, unasked)
				}
				for _, name := range names {
					if a := s.AgentByName(name); a.Flaps != 0 {
						t.Errorf("%s: %+v", name, a.Steadiness)
					}
				}
			})
			for _, dir := range dirs {
				if err := os.WriteFile(filepath.Join(dir, "gate"), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if status := rigs[0].UntilEnded(t, run); status != "succeeded" {
				t.Errorf("run is %s", status)
			}
		})
	}
}

// TestRelayChangesItsConnection: a relay that goes from one connection to another at the
// same gateway, as from TCP to QUIC, keeps the one before until its agents have followed:
// each is asked to, and none is without a connection.
func TestRelayChangesItsConnection(t *testing.T) {
	t.Parallel()
	rig := gatewaytest.Cluster(t, 2, gatewaytest.Options{})[0]
	relay, agent := rig.EnrolRelay(t, "site1"), rig.Enrol(t, "n1")
	first := relay.MustConnect(t)
	control := through(t, rig, first, agent)
	hello := relay.Hello()
	hello.Asked = true
	second, err := relay.Connect(t.Context(), hello)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	for moved := false; !moved; {
		m, err := wire.ReadFrom(control, wire.Orchestrator)
		if err != nil {
			t.Fatal(err)
		}
		move, ok := m.(*wire.Move)
		if moved = ok; ok && !slices.Contains(move.Servers, rig.Address) {
			t.Errorf("it is asked to go to %q", move.Servers)
		}
	}
	if err := first.Quic.Context().Err(); err != nil {
		t.Errorf("the connection before ended before its agent followed: %v", err)
	}
	through(t, rig, second, agent)
	select {
	case <-first.Quic.Context().Done():
	case <-time.After(gatewaytest.Patience):
		t.Error("the connection before is kept though nobody is behind it")
	}
	if n := kinds(t, rig)[eventlog.KindAgentDisconnected]; n != 0 {
		t.Errorf("%d records tell of lost connections", n)
	}
	rig.Until(t, "both connected", func(s *engine.State) bool {
		return s.AgentByName("site1").Connected && behind(s, "n1", "site1")
	})
}

// through connects an agent in a tunnel, and returns its control stream.
func through(t *testing.T, rig *gatewaytest.Rig, site *gatewaytest.Link, agent *gatewaytest.Agent) *mux.Stream {
	t.Helper()
	tunnel, err := askTunnel(t.Context(), site.Quic)
	if err == nil {
		err = tunnelled(tunnel)
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := mux.Client(t.Context(), carried{tunnel, site.Quic}, pki.AgentTLS(agent.Identity, rig.CA.Certificate()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseWithError(0, "") })
	control, err := c.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = control.SetDeadline(time.Now().Add(gatewaytest.Patience))
	if err := wire.WriteMessage(control, agent.Hello()); err != nil {
		t.Fatal(err)
	}
	if m, err := wire.ReadFrom(control, wire.Orchestrator); err != nil {
		t.Fatal(err)
	} else if _, ok := m.(*wire.Welcome); !ok {
		t.Fatalf("%T answers a hello", m)
	}
	return control
}

// carried is a stream as a connection.
type carried struct {
	*quic.Stream
	conn *quic.Conn
}

func (c carried) LocalAddr() net.Addr  { return c.conn.LocalAddr() }
func (c carried) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }
