package edge

import (
	"fmt"
	"testing"
	"time"
)

// connections counts the events that tell of agents' connections.
func (s *site) connections() int {
	s.t.Helper()
	kinds := s.kinds()
	return kinds["agent_connected"] + kinds["agent_disconnected"]
}

// works has the agent do a job, so that packets have gone both ways.
func (s *site) works(name string) {
	s.t.Helper()
	s.lap(s.writeJobs(name, 1, "true")...)
}

// TestMigration gives the agent another address a few times, on a link that nothing is
// wrong with: a connection over QUIC goes on, and nothing is on record.
func TestMigration(t *testing.T) {
	beside(t)
	s := newSite(t, 1, 1, Conditions{Delay: 5 * time.Millisecond})
	s.goesOver("quic")
	s.works("before")
	before := s.connections()
	for n := range size(5, 2) {
		if err := s.renumber(0, address(0, n), address(0, n+1)); err != nil {
			t.Fatal(err)
		}
		s.works(fmt.Sprintf("moved%d", n))
		<-time.After(size(5*time.Second, 0)) // that it is missed
	}
	if n := s.connections() - before; n != 0 {
		t.Errorf("%d events tell of connections, want none: QUIC moves with the address", n)
	}
}

// natForgets is what the worst of NATs leave who sends nothing over UDP.
const natForgets = 30 * time.Second

// TestBehindNAT leaves an agent without work behind a NAT, for
// longer than that remembers who is silent, and then restarts the NAT.
func TestBehindNAT(t *testing.T) {
	beside(t)
	s := newSite(t, 1, 1, Conditions{Delay: 5 * time.Millisecond, NATForgets: natForgets})
	link := s.links[0]
	s.goesOver("quic")
	s.works("before")
	<-time.After(size(5*time.Second, 0)) // until the agent has used all ports that it uses
	before, ports := s.connections(), link.Bindings()
	if full() {
		<-time.After(3 * natForgets)
		if n := link.Bindings() - ports; n > 0 {
			t.Errorf("the NAT gave out %d more ports: an idle agent let it forget", n)
		}
		s.works("idle")
	}
	for n := range size(3, 1) {
		link.Forget() // the agent does not know that it has another port now
		s.works(fmt.Sprintf("forgotten%d", n))
		<-time.After(size(5*time.Second, 0))
	}
	if link.Bindings() == ports {
		t.Error("the NAT carries nothing")
	}
	if n := s.connections() - before; n != 0 {
		t.Errorf("%d events tell of connections, want none", n)
	}
}

// eventsPerLongCut is an end of a connection and the next one, and room for an agent that
// a bad line has look for another orchestrator at once.
const eventsPerLongCut = 4

// TestLongCuts cuts a link for longer than QUIC keeps a connection, so that the next one is
// on record, and where it takes its time the end of the one before.
func TestLongCuts(t *testing.T) {
	if !full() {
		t.Skip("takes minutes: make edge")
	}
	s := newSite(t, 3, 1, Conditions{Delay: 30 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.05})
	s.goesOver("quic")
	s.works("before")
	all := 0
	for n, cut := range []time.Duration{20 * time.Second, 25 * time.Second, 30 * time.Second, 40 * time.Second} {
		before := s.connections()
		s.links[0].Cut()
		<-time.After(cut)
		s.links[0].Mend()
		back := time.Now()
		s.works(fmt.Sprintf("cut%d", n))
		took := time.Since(back)
		<-time.After(10 * time.Second) // what else comes of it
		events := s.connections() - before
		all += events
		t.Logf("a cut of %v is %d events of connections; a job was done %.1f s after it", cut, events, took.Seconds())
		if events > eventsPerLongCut {
			t.Errorf("%d events tell of connections behind a cut of %v, want %d at most", events, cut, eventsPerLongCut)
		}
	}
	if all == 0 {
		t.Error("nothing of cuts is on record that no connection outlives")
	}
}
