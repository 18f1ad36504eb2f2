package gateway_test

import (
	"errors"
	"fmt"
	"testing"

	"quorate/engine"
	"quorate/engine/gateway/gatewaytest"
	"quorate/eventlog"
	"quorate/nodeagent/wire"
)

// begin lets the agent take the attempt of a run, and puts that on record.
func begin(t *testing.T, rig *gatewaytest.Rig, agent *gatewaytest.Agent) (attempt uint64, link *gatewaytest.Link) {
	t.Helper()
	rig.Run(t, rig.Plan(t, []string{agent.Name}, gatewaytest.Task{ID: "svc-a", Jobs: 2}))
	link = agent.MustConnect(t)
	m, err := link.Read()
	if err != nil {
		t.Fatal(err)
	}
	attempt = m.(*wire.Dispatch).Attempt
	if err := link.Send(agent.Record(wire.Report{Attempt: attempt, Began: true})...); err != nil {
		t.Fatal(err)
	}
	rig.Until(t, "the beginning on record", func(s *engine.State) bool { return s.Attempts[attempt].Began })
	return attempt, link
}

// An agent that comes back, to whichever gateway, without an attempt that it had
// begun shows an older copy of its journal, or another copy of it. It is not given
// the attempt again, which would do its work twice.
func TestRolledBackUnderWay(t *testing.T) {
	for name, change := range map[string]func(*wire.Hello){
		"by the number":   func(h *wire.Hello) { h.JournalSeq = 0 },
		"by the attempts": func(h *wire.Hello) { h.Attempts = nil }, // as after a reboot, when the number is a guess
	} {
		t.Run(name, func(t *testing.T) {
			rigs := gatewaytest.Cluster(t, 2, gatewaytest.Options{})
			agent := rigs[0].Enrol(t, "n1")
			attempt, _ := begin(t, rigs[0], agent)
			sound := gatewaytest.Must(agent.On(rigs[1]).Connect(t.Context(), agent.Hello()))
			if sound.Challenged != 0 {
				t.Error("a sound journal was challenged")
			}
			sound.Close()
			copied := agent.Hello()
			change(copied)
			var refused *gatewaytest.Refused
			if _, err := agent.On(rigs[1]).Connect(t.Context(), copied); !errors.As(err, &refused) || refused.Code != "quarantined" {
				t.Fatalf("a journal without the attempt: %v, want a quarantine", err)
			}
			rigs[0].Until(t, "the unknown outcome", func(s *engine.State) bool { return s.Attempts[attempt].Outcome == eventlog.Unknown })
		})
	}
}

// A Hello that was overtaken proves nothing: the agent went on elsewhere while it
// waited. Asked again it shows that its journal is sound.
func TestOvertakenHello(t *testing.T) {
	rigs := gatewaytest.Cluster(t, 2, gatewaytest.Options{})
	agent := rigs[0].Enrol(t, "n1")
	overtaken := agent.Hello()
	begin(t, rigs[0], agent)
	hellos := []*wire.Hello{overtaken, agent.Hello()}
	link, err := agent.On(rigs[1]).ConnectWith(t.Context(), func() *wire.Hello {
		next := hellos[0]
		hellos = hellos[1:]
		return next
	})
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	if link.Challenged != 1 {
		t.Errorf("challenged %d times", link.Challenged)
	}
	rigs[0].O.View(func(s *engine.State) {
		if q := s.Agent(agent.ID).Quarantined; q != "" {
			t.Errorf("quarantined: %s", q)
		}
	})
}

// Whoever answers a challenge with anything but a Hello is not served.
func TestChallengeIsAnsweredWithHello(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	agent := rig.Enrol(t, "n1")
	overtaken := agent.Hello()
	begin(t, rig, agent)
	for _, answer := range []wire.Message{&wire.Ping{}, &wire.Results{}, &wire.Reply{Status: wire.StatusRunning}} {
		link := gatewaytest.Must(agent.Dial(t.Context()))
		defer link.Close()
		if err := wire.WriteMessage(link.Control, overtaken); err != nil {
			t.Fatal(err)
		}
		if m, err := link.Read(); err != nil {
			t.Fatal(err)
		} else if _, ok := m.(*wire.Challenge); !ok {
			t.Fatalf("%T, want a challenge", m)
		}
		if err := wire.WriteMessage(link.Control, answer); err != nil {
			t.Fatal(err)
		}
		if m, err := link.Read(); err == nil {
			t.Errorf("%T was answered with %T", answer, m)
		}
	}
}

// giveBack is begin, and the agent's word that the attempt never starts, on record. The
// hello is from before that.
func giveBack(t *testing.T, rig *gatewaytest.Rig, agent *gatewaytest.Agent) (attempt uint64, before *wire.Hello) {
	t.Helper()
	attempt, link := begin(t, rig, agent)
	before = agent.Hello()
	if err := link.Send(agent.Record(wire.Report{Attempt: attempt, End: true, Outcome: uint8(eventlog.NotStarted)})...); err != nil {
		t.Fatal(err)
	}
	rig.Until(t, "that it has not started, on record", func(s *engine.State) bool { return s.Attempts[attempt].Outcome == eventlog.NotStarted })
	return attempt, before
}

// An agent whose journal does not know that an attempt never starts has an older copy of
// it, which may have let it start, whatever the numbers say: the log takes that back. So
// it does when such an agent is in quarantine for another reason.
func TestDisproved(t *testing.T) {
	for _, quarantined := range []bool{false, true} {
		t.Run(fmt.Sprint("quarantined ", quarantined), func(t *testing.T) {
			rigs := gatewaytest.Cluster(t, 2, gatewaytest.Options{})
			agent := rigs[0].Enrol(t, "n1")
			attempt, older := giveBack(t, rigs[0], agent)
			older.JournalSeq = agent.Hello().JournalSeq // it may have been, for all that is known behind a reboot
			if quarantined {
				gatewaytest.Must2(rigs[0].O.Propose(t.Context(), &eventlog.AgentQuarantined{Agent: agent.ID, Reason: "another"}))
			}
			var refused *gatewaytest.Refused
			if _, err := agent.On(rigs[1]).Connect(t.Context(), older); !errors.As(err, &refused) || refused.Code != "quarantined" {
				t.Fatalf("an older journal: %v, want a quarantine", err)
			}
			rigs[0].Until(t, "the unknown outcome", func(s *engine.State) bool { return s.Attempts[attempt].Outcome == eventlog.Unknown })
		})
	}
}

// A Hello from before an attempt was given back disproves nothing where the agent,
// asked again, forbids it.
func TestOvertakenHelloDisprovesNothing(t *testing.T) {
	rigs := gatewaytest.Cluster(t, 2, gatewaytest.Options{})
	agent := rigs[0].Enrol(t, "n1")
	attempt, overtaken := giveBack(t, rigs[0], agent)
	overtaken.JournalSeq = agent.Hello().JournalSeq
	hellos := []*wire.Hello{overtaken, agent.Hello()}
	link, err := agent.On(rigs[1]).ConnectWith(t.Context(), func() *wire.Hello {
		next := hellos[0]
		hellos = hellos[1:]
		return next
	})
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	if link.Challenged != 1 {
		t.Errorf("challenged %d times", link.Challenged)
	}
	rigs[0].O.View(func(s *engine.State) {
		if at := s.Attempts[attempt]; at.Outcome != eventlog.NotStarted || s.Agent(agent.ID).Quarantined != "" {
			t.Errorf("outcome %d, quarantined %q", at.Outcome, s.Agent(agent.ID).Quarantined)
		}
	})
}

// An agent whose journal holds an attempt as not started, of which it has said how it
// went, has an older copy of it, whatever the numbers say: it is given nothing.
func TestOvertakenJournal(t *testing.T) {
	rigs := gatewaytest.Cluster(t, 2, gatewaytest.Options{})
	agent := rigs[0].Enrol(t, "n1")
	attempt, link := begin(t, rigs[0], agent)
	older := agent.Hello()
	older.Unstarted = []uint64{attempt}
	if err := link.Send(agent.Record(wire.Report{Attempt: attempt, Outcome: uint8(eventlog.Succeeded)})...); err != nil {
		t.Fatal(err)
	}
	rigs[0].Until(t, "the job's end on record", func(s *engine.State) bool { return s.Attempts[attempt].Jobs.Len() == 1 })
	older.JournalSeq = agent.Hello().JournalSeq
	var refused *gatewaytest.Refused
	if _, err := agent.On(rigs[1]).Connect(t.Context(), older); !errors.As(err, &refused) || refused.Code != "quarantined" {
		t.Fatalf("an older journal: %v, want a quarantine", err)
	}
}
