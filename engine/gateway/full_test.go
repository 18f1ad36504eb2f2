package gateway_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"quorate/engine/gateway"
	"quorate/engine/gateway/gatewaytest"
	"quorate/internal/mux"
	"quorate/internal/pki"
	"quorate/nodeagent/wire"
)

// TestFull: a gateway that has as many connections as it takes says so, over QUIC and over
// TCP, to agents and to who wants to become one, and when to come again; once another one
// has left it serves who comes. An agent that it has may come in another way.
func TestFull(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]gateway.Limits{
		"in all":           {Connections: 3},
		"from one address": {ConnectionsPerAddress: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ln := silentPort(t)
			rig := gatewaytest.Start(t, gatewaytest.Options{Limits: limits, TCP: ln})
			var agents []*gatewaytest.Agent
			for i := range 4 { // whose connections to enrol may still count
				agents = append(agents, rig.Enrol(t, fmt.Sprint("n", i)))
			}
			var links []*gatewaytest.Link
			for _, a := range agents[:3] {
				links = append(links, come(t, a))
			}
			fourth := agents[3]
			told := func(err error) {
				t.Helper()
				var refused *gatewaytest.Refused
				if !errors.As(err, &refused) || refused.Code != "busy" || !strings.Contains(refused.Reason, "as many connections") {
					t.Errorf("%v, want to be told that there are too many connections", err)
				}
				if refused != nil && refused.After < 5*time.Second {
					t.Errorf("it is to come again after %v", refused.After)
				}
			}
			for range 3 {
				_, err := fourth.Connect(t.Context(), fourth.Hello())
				told(err)
				told(overTCP(t, rig, ln.Addr(), fourth))
				before := links[0]
				if links[0], err = agents[0].Connect(t.Context(), agents[0].Hello()); err != nil {
					t.Fatalf("the second connection of an agent: %v", err)
				}
				t.Cleanup(links[0].Close)
				select {
				case <-before.Quic.Context().Done():
				case <-time.After(gatewaytest.Patience):
					t.Fatal("the first connection of an agent stays")
				}
			}
			token := pki.Token{Pin: rig.CA.Pin(), Secret: strings.Repeat("A", 43)}
			_, err := rig.EnrolWith(t.Context(), token, &wire.Enrol{Token: token.Secret, PublicKey: gatewaytest.PublicKey(), JournalID: "j"})
			var refused *gatewaytest.Refused
			if !errors.As(err, &refused) || !strings.Contains(refused.Reason, "as many connections") {
				t.Errorf("an enrolment: %v", err)
			}
			links[1].Close()
			come(t, fourth)
			if err := overTCP(t, rig, ln.Addr(), agents[0]); err != nil {
				t.Errorf("an agent that is there over TCP: %v", err)
			}
		})
	}
}

// come connects an agent where there is room, or will be.
func come(t *testing.T, a *gatewaytest.Agent) *gatewaytest.Link {
	t.Helper()
	for deadline := time.Now().Add(gatewaytest.Patience); ; {
		l, err := a.Connect(t.Context(), a.Hello())
		if err == nil {
			t.Cleanup(l.Close)
			return l
		}
		if !errors.As(err, new(*gatewaytest.Refused)) || time.Now().After(deadline) {
			t.Fatal(err)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// overTCP introduces an agent over TCP.
func overTCP(t *testing.T, rig *gatewaytest.Rig, to net.Addr, a *gatewaytest.Agent) error {
	t.Helper()
	raw, err := net.Dial("tcp", to.String())
	if err != nil {
		return err
	}
	c, err := mux.Client(t.Context(), raw, pki.AgentTLS(a.Identity, rig.CA.Certificate()))
	if err != nil {
		return err
	}
	defer c.CloseWithError(0, "")
	s, err := c.Open(t.Context())
	if err != nil {
		return err
	}
	if err := wire.WriteMessage(s, a.Hello()); err != nil {
		return err
	}
	m, err := wire.ReadFrom(s, wire.Orchestrator)
	if refuse, ok := m.(*wire.Refuse); ok {
		return &gatewaytest.Refused{Code: refuse.Code, Reason: refuse.Reason, After: time.Duration(refuse.AfterMillis) * time.Millisecond}
	}
	return err
}
