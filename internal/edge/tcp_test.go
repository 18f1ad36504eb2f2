package edge

import (
	"testing"
	"time"

	"quorate/engine/api"
)

// agent returns the first agent as its cluster sees it.
func (s *site) agent() api.Agent {
	s.t.Helper()
	client, err := s.anyServer().Local()
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	a, err := client.Agent(s.t.Context(), s.Agents()[0].Name())
	if err != nil {
		s.t.Fatal(err)
	}
	return *a
}

// goesOver waits until the agent is connected in a way, and says how long that took.
func (s *site) goesOver(transport string) time.Duration {
	s.t.Helper()
	begun := time.Now()
	s.until("the agent is connected over "+transport, func() bool {
		a := s.agent()
		return a.Status == "connected" && a.Transport == transport
	})
	return time.Since(begun)
}

// TestWithoutUDP takes UDP from an agent and gives it back, in the middle of runs. It
// goes on over TCP, and back to QUIC, and no job is lost or repeated on the way.
func TestWithoutUDP(t *testing.T) {
	beside(t)
	good := Conditions{Delay: 5 * time.Millisecond}
	blocked := good
	blocked.NoUDP = true
	s := newSite(t, 1, 1, good)
	a, link, e := s.Agents()[0], s.links[0], s.effects()
	s.goesOver("quic")
	tasks := size(200, 40)
	chain := func(name string) (run string) {
		t.Helper()
		run = s.begin(s.writeTasks(name, a.Name(), tasks, true, func(int) string { return e.job("0.1") })...)
		have := len(e.lines())
		s.until(name+" goes on", func() bool { return len(e.lines()) >= have+3 })
		return run
	}
	ends := func(run, name string) {
		t.Helper()
		s.until(name+" ends", func() bool { return settled(s.show(run)) })
		if r := s.show(run); r.Status != "succeeded" || r.Summary.Succeeded != tasks {
			t.Errorf("run %s is %s: %+v", run, r.Status, r.Summary)
		}
		e.once(t, name, tasks, true)
	}

	run := chain("blocked")
	link.Set(blocked)
	t.Logf("UDP blocked under a connection: over TCP after %s", s.goesOver("tcp"))
	ends(run, "blocked")

	a.Slay()
	begun := time.Now()
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	seen := s.agent().SeenAt
	s.until("the agent is back", func() bool {
		v := s.agent()
		return v.Status == "connected" && v.Transport == "tcp" && v.SeenAt.After(seen)
	})
	took := time.Since(begun)
	t.Logf("UDP blocked from the start: over TCP after %s", took)
	if full() && took > 5*time.Second {
		t.Errorf("an agent that UDP does not reach took %s to connect", took)
	}
	if !full() { // the way back is tried every 20 s
		ends(chain("overtcp"), "overtcp")
		return
	}

	run = chain("freed")
	link.Set(good)
	took = s.goesOver("quic")
	t.Logf("UDP free again: over QUIC after %s", took)
	if took > time.Minute {
		t.Errorf("it took %s to go back to QUIC", took)
	}
	ends(run, "freed")
}

// TestBadLineKeepsToQUIC: what is lost and late is no firewall.
func TestBadLineKeepsToQUIC(t *testing.T) {
	if !full() {
		t.Skip("takes minutes: make edge")
	}
	s := newSite(t, 1, 1, Conditions{Delay: 150 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.05})
	took := s.goesOver("quic") // perhaps over TCP at first
	before := s.kinds()
	<-time.After(2 * time.Minute)
	s.goesOver("quic")
	after := s.kinds()
	if n := after["agent_connected"] - before["agent_connected"]; n > 1 {
		t.Errorf("%d more connections in two minutes", n)
	}
	t.Logf("over QUIC after %s; events of connections meanwhile: %d", took, after["agent_connected"]-before["agent_connected"])
}
