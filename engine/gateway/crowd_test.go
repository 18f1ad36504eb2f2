package gateway_test

import (
	"fmt"
	"testing"

	"quorate/engine"
	"quorate/engine/gateway"
	"quorate/engine/gateway/gatewaytest"
)

// TestCrowd: agents that come all at once to a gateway which greets one at a time all
// join and connect, over QUIC.
func TestCrowd(t *testing.T) {
	t.Parallel()
	const agents = 8
	rig := gatewaytest.Start(t, gatewaytest.Options{Limits: gateway.Limits{HandshakesAtOnce: 1}})
	for i := range agents {
		startAgent(t, rig, fmt.Sprintf("n%d", i))
	}
	rig.Until(t, "all agents over QUIC", func(s *engine.State) bool {
		connected := 0
		for _, a := range s.Agents {
			if a.Connected && a.Transport == "quic" {
				connected++
			}
		}
		return connected == agents
	})
}
