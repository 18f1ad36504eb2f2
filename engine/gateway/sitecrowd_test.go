package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"quorate/engine"
	"quorate/engine/gateway"
	"quorate/engine/gateway/gatewaytest"
	"quorate/internal/pki"
	"quorate/nodeagent/wire"
)

// askTunnel asks a relay for a tunnel on a stream of its own, and says nothing in it.
func askTunnel(ctx context.Context, site *quic.Conn) (*quic.Stream, error) {
	s, err := site.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	return s, wire.WriteMessage(s, &wire.Tunnel{})
}

// tunnelled is the answer to that.
func tunnelled(s *quic.Stream) error {
	m, err := wire.ReadFrom(s, wire.Orchestrator)
	if answer, ok := m.(*wire.Tunnelled); ok && answer.Error != "" {
		return errors.New(answer.Error)
	}
	return err
}

// TestSiteThatHoldsUpHandshakes: an agent that asks the relay of its site for tunnels
// again and again, and says nothing in them, keeps no other site's agents out.
func TestSiteThatHoldsUpHandshakes(t *testing.T) {
	t.Parallel()
	const connections, streams = 30, 8 // more tunnels than get their turns while one waits
	rig := gatewaytest.Start(t, gatewaytest.Options{Limits: gateway.Limits{HandshakesAtOnce: 4}})
	bad, good := startRelay(t, rig, "bad", 0), startRelay(t, rig, "good", 0)
	rig.Until(t, "both relays", func(s *engine.State) bool {
		return s.AgentByName("bad") != nil && s.AgentByName("bad").Connected && s.AgentByName("good") != nil && s.AgentByName("good").Connected
	})
	agent := rig.Enrol(t, "n1")
	ctx, cancel := context.WithTimeout(t.Context(), gatewaytest.Patience)
	var flood, asked sync.WaitGroup
	defer flood.Wait()
	defer cancel()
	dial := func(relay *site) *quic.Conn {
		conn := gatewaytest.Must(quic.DialAddr(ctx, relay.address, pki.SiteTLS(agent.Identity, rig.CA.Certificate()), &quic.Config{}))
		context.AfterFunc(ctx, func() { _ = conn.CloseWithError(0, "") })
		return conn
	}
	for range connections {
		conn := dial(bad)
		for range streams {
			asked.Add(1)
			flood.Go(func() {
				once := sync.OnceFunc(asked.Done)
				defer once()
				for ctx.Err() == nil {
					s, err := askTunnel(ctx, conn)
					if err != nil {
						return
					}
					once()
					if tunnelled(s) == nil {
						<-time.After(200 * time.Millisecond) // longer than a turn
					}
					s.CancelRead(0)
					s.CancelWrite(0)
				}
			})
		}
	}
	asked.Wait()
	other := dial(good)
	for i := range 3 {
		s, err := askTunnel(ctx, other)
		if err == nil {
			err = tunnelled(s)
		}
		if err != nil {
			t.Fatal(fmt.Errorf("tunnel %d of the other site: %w", i, err))
		}
	}
}
