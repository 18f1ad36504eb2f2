package orchestrator_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"quorate/engine"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
)

// enrolAgents puts agents on record, connected to members in turn.
func enrolAgents(t *testing.T, o *orchestrator.Orchestrator, gateways ...uint64) (agents []uint64) {
	t.Helper()
	for i, gateway := range gateways {
		name := fmt.Sprint("n", i)
		indexes, _, err := o.Propose(t.Context(), &eventlog.TokenCreated{TokenHash: name, Name: name, Role: "agent"},
			&eventlog.AgentEnrolled{TokenHash: name, Name: name, KeyDigest: name, JournalID: name})
		if err != nil {
			t.Fatal(err)
		}
		agents = append(agents, indexes[1])
		connect(t, o, indexes[1], gateway, "first of "+name)
	}
	return agents
}

func connect(t *testing.T, o *orchestrator.Orchestrator, agent, gateway uint64, session string) {
	t.Helper()
	propose(t, o, &eventlog.AgentConnected{Agent: agent, Gateway: gateway, Session: session, JournalID: journalOf(o, agent)})
}

// connectedAgents are those of the agents that are connected on record.
func connectedAgents(o *orchestrator.Orchestrator, agents []uint64) (out []uint64) {
	o.View(func(s *engine.State) {
		for _, id := range agents {
			if s.Agent(id).Connected {
				out = append(out, id)
			}
		}
	})
	return out
}

// The agents of a member that does not answer count as disconnected after a while,
// and not before; those of the others stay. The log says why.
func TestAgentsOfWhoDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peers := &reachable{down: map[uint64]bool{}}
		_, r := three(t, func(c *orchestrator.Config) { c.Peers = peers })
		agents := enrolAgents(t, r[1].o, 1, 2, 3, 2)
		want := func(what string, want ...uint64) {
			t.Helper()
			if got := connectedAgents(r[1].o, agents); !slices.Equal(got, want) {
				t.Fatalf("%s: connected are %d, want %d", what, got, want)
			}
		}
		pass := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		pass(time.Minute)
		want("all answer", agents...)

		peers.set(2, true)
		pass(7 * time.Second)
		want("2 is silent for a moment", agents...)
		peers.set(2, false)
		pass(3 * time.Second)
		peers.set(2, true)
		pass(7 * time.Second)
		want("2 is silent for another moment", agents...)
		pass(6 * time.Second)
		want("2 is silent", agents[0], agents[2])
		if got := lastReason(t, r[1]); got != "orchestrator 2 does not answer" {
			t.Errorf("the log says %q", got)
		}

		// It serves agents all the same: they are left alone until it has answered.
		connect(t, r[1].o, agents[1], 2, "second")
		pass(time.Minute)
		want("2 reached the log", agents[0], agents[1], agents[2])
		peers.set(2, false)
		pass(5 * time.Second)
		peers.set(2, true)
		pass(13 * time.Second)
		want("2 is silent again", agents[0], agents[2])

		// The next leader goes on with that.
		peers.set(1, true)
		r[1].shared.elect(3)
		pass(13 * time.Second)
		want("1 is silent", agents[2])
	})
}

func lastReason(t *testing.T, r *replica) (reason string) {
	t.Helper()
	for _, rec := range read(t, r) {
		event, err := eventlog.Decode(rec.Kind, rec.Data)
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := event.(*eventlog.AgentDisconnected); ok {
			reason = e.Reason
		}
	}
	return reason
}

// TestDeadGatewayThatAllHaveLeft: the agents of a member that died have gone elsewhere
// before anybody else notices. The leader asks for that member all the same, puts on
// record that it was lost, once, and with it they are excused.
func TestDeadGatewayThatAllHaveLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peers := &reachable{down: map[uint64]bool{}}
		_, r := three(t, func(c *orchestrator.Config) { c.Peers = peers })
		agents := enrolAgents(t, r[1].o, 1, 1, 1)
		moves := func(agent, to uint64) {
			t.Helper()
			propose(t, r[1].o, &eventlog.AgentConnected{
				Agent: agent, Gateway: to, Session: fmt.Sprint(agent, to, time.Now()), JournalID: journalOf(r[1].o, agent), Came: eventlog.ByItself,
			})
		}
		want := func(what string, flaps ...uint64) {
			t.Helper()
			r[1].o.View(func(s *engine.State) {
				for i, id := range agents {
					if got := s.Agent(id).Flaps; got != flaps[i] {
						t.Errorf("%s: %d connections count against agent %d, want %d", what, got, i, flaps[i])
					}
				}
			})
		}
		pass := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		moves(agents[0], 2)
		moves(agents[1], 2)
		moves(agents[2], 3)
		peers.set(2, true)
		moves(agents[0], 3)
		moves(agents[1], 1)
		moves(agents[2], 1) // 3 lives
		want("nobody knows", 1, 1, 1)
		pass(7 * time.Second)
		want("2 is silent for a moment", 1, 1, 1)
		pass(8 * time.Second)
		want("2 is silent", 0, 0, 1)
		moves(agents[0], 2)
		pass(time.Minute)
		lost := 0
		for _, rec := range read(t, r[1]) {
			if rec.Kind == eventlog.KindGatewayLost {
				lost++
			}
		}
		if lost != 1 {
			t.Errorf("%d records tell of one death", lost)
		}
	})
}

// TestDeposedLeaderExcuses: a leader that paused, and answers again, was replaced by its
// peers meanwhile. That is on record, once, and who left it is excused; who left another
// member that answers is not. Where nobody has left nothing is said, and of a leader that has
// handed over neither.
func TestDeposedLeaderExcuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared, r := three(t)
		agents := enrolAgents(t, r[1].o, 1, 3, 3)
		lost := func() (n int) {
			for _, rec := range read(t, r[2]) {
				if rec.Kind == eventlog.KindGatewayLost {
					n++
				}
			}
			return n
		}
		propose(t, r[1].o, &eventlog.AgentConnected{Agent: agents[0], Gateway: 1, Session: "a", JournalID: journalOf(r[1].o, agents[0]), Came: eventlog.Dropped})
		propose(t, r[1].o, &eventlog.AgentConnected{Agent: agents[1], Gateway: 3, Session: "b", JournalID: journalOf(r[1].o, agents[1]), Came: eventlog.Dropped})
		shared.elect(2)
		for i, session := range []string{"c", "d"} {
			propose(t, r[1].o, &eventlog.AgentConnected{
				Agent: agents[i], Gateway: 2, Session: session, JournalID: journalOf(r[1].o, agents[i]), Came: eventlog.ByItself,
			})
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		r[2].o.View(func(s *engine.State) {
			if a, b := s.Agent(agents[0]).Flaps, s.Agent(agents[1]).Flaps; a != 0 || b != 1 {
				t.Errorf("%d connections count against who left the leader, and %d against who left another one", a, b)
			}
		})
		if n := lost(); n != 1 {
			t.Errorf("%d records tell of the leader's loss", n)
		}
		shared.elect(3)
		time.Sleep(time.Minute)
		synctest.Wait()
		propose(t, r[1].o, &eventlog.AgentConnected{
			Agent: agents[2], Gateway: 3, Session: "e", JournalID: journalOf(r[1].o, agents[2]), Came: eventlog.Dropped,
		})
		if err := r[1].o.Transfer(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		propose(t, r[1].o, &eventlog.AgentConnected{
			Agent: agents[2], Gateway: 2, Session: "f", JournalID: journalOf(r[1].o, agents[2]), Came: eventlog.ByItself,
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := lost(); n != 1 {
			t.Errorf("%d records tell of losses, one of which nobody has noticed", n)
		}
	})
}

func propose(t *testing.T, o *orchestrator.Orchestrator, e eventlog.Event) {
	t.Helper()
	if _, voids, err := o.Propose(t.Context(), e); err != nil || voids[0] != "" {
		t.Fatal(err, voids)
	}
}

func journalOf(o *orchestrator.Orchestrator, agent uint64) (id string) {
	o.View(func(s *engine.State) { id = s.Agent(agent).JournalID })
	return id
}

func read(t *testing.T, r *replica) []eventlog.Record {
	t.Helper()
	head, _ := r.Head()
	records, err := r.Read(t.Context(), 1, int(head))
	if err != nil {
		t.Fatal(err)
	}
	return records
}
