package engine

import (
	"testing"
	"time"

	"quorate/eventlog"
)

// blamed is a cluster with an agent and a relay, and what the agent does there.
type blamed struct {
	flapper
	relay *flapper
}

func newBlamed(t *testing.T) *blamed {
	l := cluster(t, 3)
	b := &blamed{flapper: *newFlapper(l, "h0"), relay: newFlapper(l, "site1")}
	b.relay.agentOf().Relay = true
	return b
}

// came connects the agent to a gateway, perhaps through the relay.
func (b *blamed) comes(gateway uint64, came eventlog.Arrival, relay uint64) {
	b.t.Helper()
	a := b.agentOf()
	b.ok(&eventlog.AgentConnected{
		Agent: b.id, Gateway: gateway, Session: time.Duration(len(b.recs)).String(), JournalID: a.JournalID, Came: came, Relay: relay,
	})
}

func (b *blamed) penalty() uint64 { return b.s.PenaltyAt(b.agentOf(), b.s.Time) }

// TestExcused: what an agent was charged with for leaving a gateway, or a relay, is taken
// back where that was lost, and no more than that.
func TestExcused(t *testing.T) {
	t.Parallel()
	const self, asked = eventlog.ByItself, eventlog.Asked
	for what, c := range map[string]struct {
		does func(b *blamed)
		want uint64 // about what is left, in reconnections
	}{
		"who left a gateway that died": {func(b *blamed) {
			b.comes(1, self, 0)
			b.comes(2, self, 0)
			b.ok(&eventlog.GatewayLost{Gateway: 1})
		}, 0},
		"who was asked to go, before its gateway stopped": {func(b *blamed) {
			b.comes(1, self, 0)
			b.comes(2, asked, 0)
			b.ok(&eventlog.GatewayLost{Gateway: 1})
		}, 0},
		"who left another gateway": {func(b *blamed) {
			b.comes(1, self, 0)
			b.comes(2, self, 0)
			b.ok(&eventlog.GatewayLost{Gateway: 3})
			b.ok(&eventlog.GatewayLost{Gateway: 2})
		}, 1},
		"who left it twice": {func(b *blamed) {
			b.comes(1, self, 0)
			b.comes(2, self, 0)
			b.comes(1, self, 0)
			b.comes(2, self, 0)
			b.ok(&eventlog.GatewayLost{Gateway: 1})
			b.ok(&eventlog.GatewayLost{Gateway: 1})
		}, 2},
		"whose end the gateway saw": {func(b *blamed) {
			b.comes(1, self, 0)
			b.lose()
			b.comes(2, self, 0)
			b.ok(&eventlog.GatewayLost{Gateway: 1})
		}, 1},
		"who left long before": {func(b *blamed) {
			b.comes(1, self, 0)
			b.comes(2, self, 0)
			b.pass(61 * time.Second)
			b.ok(&eventlog.GatewayLost{Gateway: 1})
		}, 1},
		"whom an operator had calmed": {func(b *blamed) {
			b.comes(1, self, 0)
			b.comes(2, self, 0)
			b.ok(&eventlog.AgentCalmed{Agent: b.id, By: "ann"})
			b.comes(2, self, 0)
			b.ok(&eventlog.GatewayLost{Gateway: 1})
		}, 1},
		"who left a relay that was lost": {func(b *blamed) {
			b.relay.connect(1)
			b.comes(1, self, b.relay.id)
			b.comes(2, self, 0)
			b.relay.lose()
		}, 0},
		"who left a relay that came anew": {func(b *blamed) {
			b.relay.connect(1)
			b.comes(1, self, b.relay.id)
			b.comes(2, self, 0)
			b.relay.connect(2)
		}, 0},
		"who left a relay that stayed": {func(b *blamed) {
			b.relay.connect(1)
			b.comes(1, self, b.relay.id)
			b.comes(2, self, 0)
		}, 1},
		"who goes home, once": {func(b *blamed) {
			b.relay.connect(1)
			b.comes(1, self, b.relay.id)
			b.comes(2, self, 0)
			b.relay.connect(2)
			b.comes(2, self, b.relay.id)
			b.comes(1, self, 0)
			b.comes(2, self, b.relay.id)
		}, 2},
		"who goes home from where it was sent meanwhile": {func(b *blamed) {
			b.relay.connect(1)
			b.comes(1, self, b.relay.id)
			b.relay.lose()
			b.comes(2, self, 0)
			b.ok(&eventlog.AgentsSent{Gateway: 2, To: 3, Agents: []uint64{b.id}})
			b.comes(3, asked, 0)
			b.relay.connect(2)
			b.comes(3, self, b.relay.id)
		}, 0},
		"who was sent to spread the fleet": {func(b *blamed) {
			b.comes(1, self, 0)
			b.ok(&eventlog.AgentsSent{Gateway: 1, To: 2, Agents: []uint64{99, b.id}})
			b.comes(2, asked, 0)
		}, 0},
		"who goes elsewhere than it was sent to": {func(b *blamed) {
			b.comes(1, self, 0)
			b.ok(&eventlog.AgentsSent{Gateway: 1, To: 2, Agents: []uint64{b.id}})
			b.comes(3, self, 0)
		}, 1},
		"who goes there twice": {func(b *blamed) {
			b.comes(1, self, 0)
			b.ok(&eventlog.AgentsSent{Gateway: 1, To: 2, Agents: []uint64{b.id}})
			b.comes(2, asked, 0)
			b.comes(1, self, 0)
			b.comes(2, self, 0)
		}, 2},
		"who was lost before it went": {func(b *blamed) {
			b.comes(1, self, 0)
			b.ok(&eventlog.AgentsSent{Gateway: 1, To: 2, Agents: []uint64{b.id}})
			b.lose()
			b.comes(2, self, 0)
		}, 1},
	} {
		t.Run(what, func(t *testing.T) {
			b := newBlamed(t)
			c.does(b)
			if got := (b.penalty() + 500) / 1000; got != c.want {
				t.Errorf("%d thousandths count against it, want some %d", b.penalty(), 1000*c.want)
			}
			if a := b.agentOf(); a.Flaps != c.want && what != "whom an operator had calmed" {
				t.Errorf("%d of %d connections count, want %d", a.Flaps, a.Connections, c.want)
			}
		})
	}
}

// TestBlameIsVoid: what is said of strangers, and of nobody, changes nothing.
func TestBlameIsVoid(t *testing.T) {
	t.Parallel()
	b := newBlamed(t)
	b.comes(1, eventlog.ByItself, 0)
	b.void(&eventlog.GatewayLost{Gateway: 9})
	b.void(&eventlog.AgentsSent{Gateway: 1, To: 9, Agents: []uint64{b.id}})
	b.void(&eventlog.AgentsSent{Gateway: 9, To: 1, Agents: []uint64{b.id}})
	b.void(&eventlog.AgentsSent{Gateway: 2, To: 1, Agents: []uint64{b.id}})
	b.void(&eventlog.AgentsSent{Gateway: 1, To: 2})
}

// TestExcusedFlapping: an agent that flaps because of connections which are excused does
// not flap any more, and one that would without them does.
func TestExcusedFlapping(t *testing.T) {
	t.Parallel()
	for alone, want := range map[int]bool{4: false, 5: true} {
		b := newBlamed(t)
		b.comes(1, eventlog.ByItself, 0)
		for range alone {
			b.comes(1, eventlog.ByItself, 0)
		}
		b.comes(2, eventlog.ByItself, 0)
		if !b.agentOf().Flapping {
			t.Fatalf("%d reconnections and one more do not make it flap", alone)
		}
		b.pass(50 * time.Second) // below the threshold by now, with either
		b.ok(&eventlog.GatewayLost{Gateway: 1})
		if a := b.agentOf(); a.Flapping != want || b.penalty() >= 5000 {
			t.Errorf("behind %d reconnections of its own it flaps: %t, with a penalty of %d", alone, a.Flapping, b.penalty())
		}
	}
}

// TestKillsMarkNobody: gateways are killed and started again every few seconds, thirty
// times, and their agents go to another and are sent back. Only the one that also leaves
// gateways which live flaps.
func TestKillsMarkNobody(t *testing.T) {
	t.Parallel()
	l := cluster(t, 3)
	good, bad := newFlapper(l, "h0"), newFlapper(l, "h1")
	for _, f := range []*flapper{good, bad} {
		f.connect(1)
	}
	for n := range uint64(30) {
		dies, other := 1+n%3, 1+(n+1)%3
		if good.agentOf().Gateway != dies {
			t.Fatalf("kill %d: it is at %d", n, good.agentOf().Gateway)
		}
		l.pass(time.Second)
		good.connect(other) // nobody else knows yet that the other one is dead
		bad.connect(other)
		l.pass(time.Second)
		l.ok(&eventlog.GatewayLost{Gateway: dies, Reason: "the orchestrator was restarted"})
		bad.connect(dies) // by itself
		l.pass(2 * time.Second)
		next := 1 + (n+1)%3
		if next != other {
			t.Fatal("the test is wrong")
		}
		l.ok(&eventlog.AgentsSent{Gateway: other, To: dies, Agents: []uint64{good.id}})
		good.came = eventlog.Asked
		good.connect(dies)
		l.ok(&eventlog.AgentsSent{Gateway: dies, To: next, Agents: []uint64{good.id}})
		good.connect(next)
		good.came = 0
		if a := good.agentOf(); a.Flapping || a.Flaps != 0 {
			t.Fatalf("behind kill %d: %+v", n, a.Steadiness)
		}
	}
	if a := good.agentOf(); l.s.PenaltyAt(a, l.s.Time) != 0 || a.Connections < 90 {
		t.Errorf("%d connections, and %d count against it", a.Connections, l.s.PenaltyAt(a, l.s.Time))
	}
	if !bad.agentOf().Flapping {
		t.Error("an agent that leaves gateways which live does not flap")
	}
}

// TestRelayFlaps: the agents of a relay whose link comes and goes do not flap; the relay
// does, and does not have them wait for long.
func TestRelayFlaps(t *testing.T) {
	t.Parallel()
	b := newBlamed(t)
	b.relay.connect(1)
	b.comes(1, eventlog.ByItself, b.relay.id)
	for n := range uint64(40) {
		b.pass(2 * time.Second)
		switch n % 3 {
		case 0: // the end is on record
			b.relay.lose()
			b.lose()
			b.relay.connect(1 + n%2)
			b.comes(1+n%2, eventlog.ByItself, b.relay.id)
		case 1: // it is not
			b.relay.connect(1 + n%2)
			b.comes(1+n%2, eventlog.ByItself, b.relay.id)
		case 2: // the agent does without it for a while
			b.comes(3, eventlog.ByItself, 0)
			b.relay.connect(1 + n%2)
			b.comes(1+n%2, eventlog.ByItself, b.relay.id)
		}
	}
	if a := b.agentOf(); a.Flapping || b.penalty() != 0 {
		t.Errorf("the agent: %+v", a.Steadiness)
	}
	r := b.relay.agentOf()
	if pause := time.Duration(b.s.ConnectPause(r, b.s.Time)); !r.Flapping || pause == 0 || pause > 10*time.Second {
		t.Errorf("the relay waits %s: %+v", pause, r.Steadiness)
	}
}

// TestDeserted: a member is deserted from when an agent left it on until that is excused,
// or too long ago to be.
func TestDeserted(t *testing.T) {
	t.Parallel()
	b := newBlamed(t)
	b.comes(1, eventlog.ByItself, 0)
	want := func(what string, want ...uint64) {
		t.Helper()
		got := b.s.Deserted()
		if len(got) != len(want) || len(got) > 0 && got[0] != want[0] {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	want("at first")
	b.comes(2, eventlog.ByItself, 0)
	want("left", 1)
	b.ok(&eventlog.GatewayLost{Gateway: 1})
	want("excused")
	b.comes(3, eventlog.ByItself, 0)
	want("left again", 2)
	b.pass(61 * time.Second)
	b.ok(&eventlog.GatewayLost{Gateway: 1})
	want("later")
}
