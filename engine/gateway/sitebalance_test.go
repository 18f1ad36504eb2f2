package gateway_test

import (
	"fmt"
	"testing"

	"quorate/engine"
	"quorate/engine/gateway/gatewaytest"
	"quorate/eventlog"
	"quorate/nodeagent/verb"
)

// TestSitesAreSpread: of two sites at one gateway one goes to another that joins, with its
// agents, none of which is without a connection, and nothing counts against any of them.
func TestSitesAreSpread(t *testing.T) {
	t.Parallel()
	first := gatewaytest.Cluster(t, 1, gatewaytest.Options{Verbs: verb.Lookup, Limits: eager})[0]
	const sites, perSite = 2, 3
	for i := range sites {
		relay := startRelay(t, first, fmt.Sprint("site", i), 0)
		for k := range perSite {
			startBehind(t, first, fmt.Sprintf("n%d-%d", i, k), relay.address)
		}
	}
	// at reports how many of the sites, with all of their agents, are at a gateway.
	at := func(s *engine.State, gateway uint64) (n int) {
		for i := range sites {
			site, all := s.AgentByName(fmt.Sprint("site", i)), 0
			for _, a := range s.Agents {
				if site != nil && site.Connected && site.Gateway == gateway && a.Connected && a.Gateway == gateway && a.Via == site.ID {
					all++
				}
			}
			if all == perSite {
				n++
			}
		}
		return n
	}
	first.Until(t, "both sites at one gateway", func(s *engine.State) bool { return at(s, 1) == sites })
	lost := make(chan string, 64)
	defer first.O.Observe(func(s *engine.State, _ *eventlog.Record, event eventlog.Event, void string) {
		if e, ok := event.(*eventlog.AgentDisconnected); ok && void == "" {
			lost <- s.Agent(e.Agent).Name
		}
	}, nil)()
	second := gatewaytest.Start(t, gatewaytest.Options{Log: first.Log, CA: first.CA, Blobs: first.O.Blobs(), Replica: 2, Limits: eager})
	second.Join(t, first, 2)
	first.Until(t, "a site at each gateway", func(s *engine.State) bool { return at(s, 1) == 1 && at(s, 2) == 1 })
	select {
	case name := <-lost:
		t.Errorf("%s was without a connection", name)
	default:
	}
	first.O.View(func(s *engine.State) {
		for _, a := range s.Agents {
			if a.Flaps != 0 || s.PenaltyAt(a, s.Time) != 0 {
				t.Errorf("%s: %+v", a.Name, a.Steadiness)
			}
		}
	})
}
