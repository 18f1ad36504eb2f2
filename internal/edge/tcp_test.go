package edge

import (
	"fmt"
	"strings"
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

// What is promised of an agent that cannot use UDP, or can again.
const (
	overTCPWithin  = 5 * time.Second
	overQUICWithin = time.Minute
)

// TestWithoutUDP takes UDP from an agent and gives it back, in the middle of runs. It
// goes on over TCP, and back to QUIC, and no job is lost or repeated on the way.
func TestWithoutUDP(t *testing.T) {
	beside(t)
	for _, row := range []struct {
		name    string
		refused bool
	}{{"dropped in silence", false}, {"refused", true}} {
		if row.refused && !full() {
			continue // TestRefusal has the emulator's part, and TestProcessGone the agent's
		}
		t.Run(row.name, func(t *testing.T) {
			withoutUDP(t, Conditions{Delay: 5 * time.Millisecond, NoUDP: true, Refused: row.refused})
		})
	}
}

func withoutUDP(t *testing.T, blocked Conditions) {
	good := blocked
	good.NoUDP = false
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
	within := func(what string, took, promised time.Duration) {
		t.Helper()
		t.Logf("%s after %v", what, took.Round(10*time.Millisecond))
		if full() && took > promised {
			t.Errorf("%s after %v, promised are %v", what, took, promised)
		}
	}

	run := chain("blocked")
	link.Set(blocked)
	within("UDP blocked under a connection: over TCP", s.goesOver("tcp"), overTCPWithin)
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
	within("UDP blocked from the start: over TCP", time.Since(begun), overTCPWithin)
	if !full() { // the way back is tried every 20 s
		ends(chain("overtcp"), "overtcp")
		return
	}

	run = chain("freed")
	link.Set(good)
	within("UDP free again: over QUIC", s.goesOver("quic"), overQUICWithin)
	ends(run, "freed")
}

// TestBadLineKeepsToQUIC: what is lost and late is no firewall.
func TestBadLineKeepsToQUIC(t *testing.T) { keepsConnected(t, "quic", badLine) }

// TestBadLineOverTCP: nor is it a gateway that has died, where lost packets hold up what
// comes behind them.
func TestBadLineOverTCP(t *testing.T) {
	blocked := badLine
	blocked.NoUDP = true
	keepsConnected(t, "tcp", blocked)
}

// badLine is far away and loses much.
var badLine = Conditions{Delay: 150 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.05}

// keepsConnected wants an agent to stay for two minutes on the connection that it has.
func keepsConnected(t *testing.T, transport string, c Conditions) {
	if !full() {
		t.Skip("takes minutes: make edge")
	}
	s := newSite(t, 1, 1, c)
	took := s.goesOver(transport) // perhaps over TCP at first
	before, said := s.kinds(), s.Agents()[0].LogSize()
	<-time.After(2 * time.Minute)
	s.goesOver(transport)
	after := s.kinds()
	came := after["agent_connected"] - before["agent_connected"]
	if came > 1 {
		t.Errorf("%d more connections in two minutes", came)
	}
	alarms := strings.Count(s.Agents()[0].LogFrom(said), silent)
	t.Logf("over %s after %s; in two minutes %d more connections, and %d false alarms", transport, took, came, alarms)
}

// silent is what an agent says of an orchestrator of which it hears nothing.
const silent = "the orchestrator is silent"

// TestStoppedOrchestrator stops the process of an orchestrator, whose host goes on to
// acknowledge what comes over TCP: the agent is to notice.
func TestStoppedOrchestrator(t *testing.T) {
	if !full() {
		t.Skip("of its parts internal/mux and nodeagent have tests: make edge")
	}
	for _, transport := range []string{"quic", "tcp"} {
		for _, c := range []Conditions{{Delay: 5 * time.Millisecond}, badLine} {
			t.Run(fmt.Sprintf("%s, %v there and back", transport, 2*c.Delay), func(t *testing.T) {
				c.NoUDP = transport == "tcp"
				s := newSite(t, 1, 1, c)
				s.goesOver(transport)
				a, o := s.Agents()[0], s.Servers()[0]
				<-time.After(5 * time.Second) // until the line is known
				said, begun := a.LogSize(), time.Now()
				o.Pause()
				defer o.Resume()
				s.until("the agent notices", func() bool { return strings.Contains(a.LogFrom(said), silent) })
				t.Logf("over %s an agent noticed after %v", transport, time.Since(begun).Round(10*time.Millisecond))
			})
		}
	}
}
