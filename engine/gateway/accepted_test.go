package gateway_test

import (
	"errors"
	"testing"

	"quorate/engine"
	"quorate/engine/gateway/gatewaytest"
	"quorate/eventlog"
	"quorate/nodeagent/wire"
)

// An agent that comes back without an attempt that it had begun shows an older
// copy of its journal, or another copy of it. It is not given the attempt again,
// which would do its work twice, also where no report tells the copies apart.
func TestRolledBackUnderWay(t *testing.T) {
	begun := map[string]func(t *testing.T, rig *gatewaytest.Rig, agent *gatewaytest.Agent, attempt uint64, link *gatewaytest.Link){
		"it said so": func(t *testing.T, rig *gatewaytest.Rig, agent *gatewaytest.Agent, attempt uint64, link *gatewaytest.Link) {
			if err := wire.WriteMessage(link.Control, &wire.Reply{Attempt: attempt, Status: wire.StatusRunning}); err != nil {
				t.Fatal(err)
			}
			// What follows on the stream shows that the reply was read.
			if err := link.Send(agent.Record(wire.Report{Attempt: attempt, Outcome: uint8(eventlog.Succeeded)})...); err != nil {
				t.Fatal(err)
			}
			rig.Until(t, "the report", func(s *engine.State) bool { return s.Agent(agent.ID).JournalSeq == 1 })
		},
		"it showed it": func(t *testing.T, _ *gatewaytest.Rig, agent *gatewaytest.Agent, attempt uint64, _ *gatewaytest.Link) {
			hello := agent.Hello()
			hello.Attempts = []uint64{attempt}
			if _, err := agent.Connect(t.Context(), hello); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, begin := range begun {
		t.Run(name, func(t *testing.T) {
			rig := gatewaytest.Start(t, gatewaytest.Options{})
			agent := rig.Enrol(t, "n1")
			rig.Run(t, rig.Plan(t, []string{"n1"}, gatewaytest.Task{ID: "svc-a", Jobs: 2}))
			link := agent.MustConnect(t)
			m, err := link.Read()
			if err != nil {
				t.Fatal(err)
			}
			attempt := m.(*wire.Dispatch).Attempt
			begin(t, rig, agent, attempt, link)

			var refused *gatewaytest.Refused
			if _, err := agent.Connect(t.Context(), agent.Hello()); !errors.As(err, &refused) || refused.Code != "quarantined" {
				t.Fatalf("a journal without the attempt: %v, want a quarantine", err)
			}
			rig.Until(t, "the unknown outcome", func(s *engine.State) bool { return s.Attempts[attempt].Outcome == eventlog.Unknown })
		})
	}
}
