package gateway_test

import (
	"errors"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/gateway"
	"quorate/engine/gateway/gatewaytest"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
	"quorate/internal/pki"
	"quorate/nodeagent/wire"
)

// refusedFlapping connects, and wants to be told to come again later.
func refusedFlapping(t *testing.T, agent *gatewaytest.Agent) *gatewaytest.Refused {
	t.Helper()
	_, err := agent.Connect(t.Context(), agent.Hello())
	var refused *gatewaytest.Refused
	if !errors.As(err, &refused) || refused.Code != "flapping" {
		t.Fatalf("an agent that flaps is told %v", err)
	}
	return refused
}

// flap connects until the agent is told to wait, and returns its last connection.
func flap(t *testing.T, agent *gatewaytest.Agent) (last *gatewaytest.Link) {
	t.Helper()
	for range 100 {
		link, err := agent.Connect(t.Context(), agent.Hello())
		var refused *gatewaytest.Refused
		if errors.As(err, &refused) && refused.Code == "flapping" {
			return last
		}
		if err != nil {
			t.Logf("not connected: %v", err) // a busy machine
			continue
		}
		t.Cleanup(link.Close)
		last = link
	}
	t.Fatal("an agent that comes 100 times is never told to wait")
	return nil
}

// forgetSlowly has an agent that has flapped wait for long, and not for the moment that
// the next connection takes.
func forgetSlowly(t *testing.T, rig *gatewaytest.Rig) {
	t.Helper()
	long := engine.Damping{HalfLife: engine.HalfLifeMax, Threshold: engine.FlapThresholdMin}
	if err := rig.O.SetDamping(t.Context(), long, orchestrator.Change{RequestID: rig.RequestID(), By: "ann"}); err != nil {
		t.Fatal(err)
	}
}

func kinds(t *testing.T, rig *gatewaytest.Rig) map[eventlog.Kind]int {
	t.Helper()
	n := map[eventlog.Kind]int{}
	for {
		records, err := rig.Log.Read(t.Context(), uint64(total(n))+1, 512)
		if err != nil {
			t.Fatal(err)
		}
		if len(records) == 0 {
			return n
		}
		for _, rec := range records {
			n[rec.Kind]++
		}
	}
}

func total(n map[eventlog.Kind]int) (all int) {
	for _, k := range n {
		all += k
	}
	return all
}

// TestFlappingIsBounded: an agent that comes and goes 200 times as fast as it can is on
// record no more often than the rule allows.
func TestFlappingIsBounded(t *testing.T) {
	t.Parallel()
	rig := gatewaytest.Start(t, gatewaytest.Options{Limits: gateway.Limits{PartingHold: time.Millisecond}})
	agent := rig.Enrol(t, "n1")
	begun, taken := time.Now(), 0
	for range 200 {
		link, err := agent.Connect(t.Context(), agent.Hello())
		if err == nil {
			taken++
			link.Close()
			continue
		}
		var refused *gatewaytest.Refused
		if !errors.As(err, &refused) || refused.Code != "flapping" || refused.After <= 0 || refused.After > 5*time.Minute {
			t.Fatalf("told %v, %+v", err, refused)
		}
	}
	var d engine.Damping
	rig.O.View(func(s *engine.State) { d = s.Damping() })
	t.Logf("%d of 200 connections were taken", taken)
	n, most := kinds(t, rig), d.ConnectionsMax(int64(time.Since(begun)))
	if connected := n[eventlog.KindAgentConnected]; connected != taken || taken > most || taken < 10 {
		t.Errorf("%d connections on record, %d taken, and at most %d promised", connected, taken, most)
	}
	if gone := n[eventlog.KindAgentDisconnected]; gone > taken {
		t.Errorf("%d ends of %d connections are on record", gone, taken)
	}
	rig.Until(t, "the end of the last connection", func(s *engine.State) bool { return !s.Agent(agent.ID).Connected })
}

// TestFlappingKeepsItsConnection: who is put off goes on with the connection that it
// has, and by an operator's word is let in at once.
func TestFlappingKeepsItsConnection(t *testing.T) {
	t.Parallel()
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	agent := rig.Enrol(t, "n1")
	link := flap(t, agent)
	forgetSlowly(t, rig)
	refusedFlapping(t, agent)
	if err := wire.WriteMessage(link.Control, &wire.Ping{}); err != nil {
		t.Fatal(err)
	}
	until[*wire.Pong](t, link)
	change := orchestrator.Change{RequestID: rig.RequestID(), By: "ann"}
	for range 2 {
		if err := rig.O.Calm(t.Context(), "n1", change); err != nil {
			t.Fatal(err)
		}
	}
	agent.MustConnect(t)
}

// TestFlappingAsksAgain: an agent that has to wait for long asks again before, and so
// hears soon that an operator has calmed it.
func TestFlappingAsksAgain(t *testing.T) {
	t.Parallel()
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	agent := rig.Enrol(t, "n1")
	for range 10 {
		agent.MustConnect(t)
	}
	forgetSlowly(t, rig)
	var pause time.Duration
	refused := refusedFlapping(t, agent)
	rig.O.View(func(s *engine.State) { pause = time.Duration(s.ConnectPause(s.Agent(agent.ID), s.Time)) })
	if refused.After <= 0 || refused.After > time.Minute || pause < 5*time.Minute {
		t.Errorf("it is to ask again in %s, and to wait for %s", refused.After, pause)
	}
}

// TestFlappingIsCalm: the leader puts on record, once, that most is forgotten.
func TestFlappingIsCalm(t *testing.T) {
	t.Parallel()
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	agent := rig.Enrol(t, "n1")
	flap(t, agent)
	change := orchestrator.Change{RequestID: rig.RequestID(), By: "ann"}
	if err := rig.O.SetDamping(t.Context(), engine.Damping{HalfLife: int64(time.Second)}, change); err != nil {
		t.Fatal(err)
	}
	rig.Until(t, "the agent is calm", func(s *engine.State) bool { return !s.Agent(agent.ID).Flapping })
	if n := kinds(t, rig)[eventlog.KindAgentCalmed]; n != 1 {
		t.Errorf("%d records say so", n)
	}
}

// TestPartingIsHeld: that a connection of an agent which flaps has ended is not on
// record where the agent is back before its turn.
func TestPartingIsHeld(t *testing.T) {
	t.Parallel()
	rig := gatewaytest.Start(t, gatewaytest.Options{Limits: gateway.Limits{PartingHold: time.Hour}})
	agent := rig.Enrol(t, "n1")
	var taken int
	for ; taken < 9; taken++ {
		agent.MustConnect(t).Close()
		if taken < 4 { // it does not flap yet
			rig.Until(t, "the end of the connection", func(s *engine.State) bool { return !s.Agent(agent.ID).Connected })
		}
	}
	rig.Until(t, "it flaps", func(s *engine.State) bool { return s.Agent(agent.ID).Flapping })
	agent.MustConnect(t)
	if n := kinds(t, rig); n[eventlog.KindAgentDisconnected] > 6 {
		t.Errorf("%d ends of connections are on record, and %d connections", n[eventlog.KindAgentDisconnected], n[eventlog.KindAgentConnected])
	}
}

// TestRestartsAreNoFlaps: what an orchestrator's restarts do to an agent does not count
// against it.
func TestRestartsAreNoFlaps(t *testing.T) {
	t.Parallel()
	log := eventlog.NewMemory()
	t.Cleanup(func() { log.Close() })
	opt := gatewaytest.Options{
		Log: log, CA: gatewaytest.Must(pki.New()), Blobs: gatewaytest.Must(eventlog.OpenBlobs(t.TempDir())),
	}
	rig := gatewaytest.Start(t, opt)
	agent := rig.Enrol(t, "n1")
	agent.MustConnect(t)
	for range 3 {
		rig.Stop()
		rig = gatewaytest.Start(t, opt)
		agent = agent.On(rig)
		agent.MustConnect(t)
	}
	rig.O.View(func(s *engine.State) {
		if a := s.Agent(agent.ID); a.Flaps != 0 || a.Connections != 4 || s.PenaltyAt(a, s.Time) != 0 {
			t.Errorf("%d of %d connections count against it", a.Flaps, a.Connections)
		}
	})
}
