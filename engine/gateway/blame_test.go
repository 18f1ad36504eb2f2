package gateway_test

import (
	"testing"

	"quorate/engine"
	"quorate/engine/gateway/gatewaytest"
	"quorate/eventlog"
	"quorate/nodeagent/verb"
)

// TestDeathIsExcused: a gateway that died and is back says so, and its agents, who went
// elsewhere before, have nothing on record against them; one that left another gateway
// meanwhile has.
func TestDeathIsExcused(t *testing.T) {
	t.Parallel()
	rigs := gatewaytest.Cluster(t, 2, gatewaytest.Options{})
	left, late, gadabout := rigs[0].Enrol(t, "n1"), rigs[0].Enrol(t, "n2"), rigs[0].Enrol(t, "n3")
	for _, a := range []*gatewaytest.Agent{left, late} {
		a.On(rigs[1]).MustConnect(t)
	}
	gadabout.MustConnect(t)
	rigs[1].Kill()
	left.MustConnect(t)
	gadabout.MustConnect(t)
	flaps := func(s *engine.State, a *gatewaytest.Agent) uint64 { return s.Agent(a.ID).Flaps }
	rigs[0].O.View(func(s *engine.State) {
		if flaps(s, left) != 1 {
			t.Errorf("%d connections count before anybody knows of the death, want 1", flaps(s, left))
		}
	})
	gatewaytest.Start(t, gatewaytest.Options{Log: rigs[0].Log, CA: rigs[0].CA, Blobs: rigs[0].O.Blobs(), Replica: 2})
	rigs[0].Until(t, "the excuse", func(s *engine.State) bool { return flaps(s, left) == 0 })
	late.MustConnect(t)
	rigs[0].O.View(func(s *engine.State) {
		if flaps(s, late) != 0 || flaps(s, gadabout) != 1 {
			t.Errorf("%d connections count against who came late, and %d against who left a gateway that lives",
				flaps(s, late), flaps(s, gadabout))
		}
	})
	if n := kinds(t, rigs[0])[eventlog.KindGatewayLost]; n != 1 {
		t.Errorf("%d records tell of one death", n)
	}
	rigs[0].Replay(t)
}

// TestNobodyMissedIt: a gateway that comes back to a cluster in which nobody had missed
// it puts nothing on record.
func TestNobodyMissedIt(t *testing.T) {
	t.Parallel()
	rigs := gatewaytest.Cluster(t, 2, gatewaytest.Options{})
	agent := rigs[0].Enrol(t, "n1")
	agent.MustConnect(t)
	rigs[1].Kill()
	back := gatewaytest.Start(t, gatewaytest.Options{Log: rigs[0].Log, CA: rigs[0].CA, Blobs: rigs[0].O.Blobs(), Replica: 2})
	agent.On(back).MustConnect(t) // it serves
	if n := kinds(t, rigs[0]); n[eventlog.KindGatewayLost]+n[eventlog.KindAgentDisconnected] != 0 {
		t.Errorf("%v", n)
	}
}

// TestSpreadingCountsNothing: agents that are spread over gateways which came back have
// nothing on record against them.
func TestSpreadingCountsNothing(t *testing.T) {
	t.Parallel()
	rigs := gatewaytest.Cluster(t, 3, gatewaytest.Options{Verbs: verb.Lookup, Limits: eager})
	f := startFleet(t, rigs, 9, rigs[0].Address)
	f.spread(t, rigs)
	rigs[0].O.View(func(s *engine.State) {
		moved := 0
		for _, a := range s.Agents {
			if a.Connections > 1 {
				moved++
			}
			if a.Flaps != 0 || s.PenaltyAt(a, s.Time) != 0 {
				t.Errorf("%s: %+v", a.Name, a.Steadiness)
			}
		}
		if moved == 0 {
			t.Error("no agent was moved")
		}
	})
	if n := kinds(t, rigs[0])[eventlog.KindAgentsSent]; n == 0 {
		t.Error("no record tells of the moves")
	}
}
