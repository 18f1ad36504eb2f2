package gateway_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"quorate/engine"
	"quorate/engine/gateway"
	"quorate/engine/gateway/gatewaytest"
	"quorate/eventlog"
	"quorate/nodeagent/verb"
	"quorate/nodeagent/wire"
)

// An agent is told of every gateway, and how often to ask.
func TestToldOfTheOthers(t *testing.T) {
	rigs := gatewaytest.Cluster(t, 3, gatewaytest.Options{})
	agent := rigs[0].Enrol(t, "n1")
	link := agent.On(rigs[2]).MustConnect(t)
	var want []string
	rigs[2].O.View(func(s *engine.State) { want = s.AgentServers(agent.ID) })
	if len(want) != 3 || !slices.Equal(link.Welcome.Servers, want) {
		t.Errorf("told of %q, want %q", link.Welcome.Servers, want)
	}
	if link.Welcome.HeartbeatMillis != 500 {
		t.Errorf("heartbeat of %d ms", link.Welcome.HeartbeatMillis)
	}
	if err := rigs[0].O.RemoveMember(t.Context(), 2, "test", "gone", "remove"); err != nil {
		t.Fatal(err)
	}
	link = agent.On(rigs[2]).MustConnect(t)
	if slices.Contains(link.Welcome.Servers, rigs[1].Address) || len(link.Welcome.Servers) != 2 {
		t.Errorf("told of %q after %s was removed", link.Welcome.Servers, rigs[1].Address)
	}
}

// An agent that stays connected is told of every change of the gateways: otherwise
// it would know of none but those that were there when it came, and be lost when
// they are all gone.
func TestToldOfThoseWhoComeLater(t *testing.T) {
	t.Parallel()
	rigs := gatewaytest.Cluster(t, 1, gatewaytest.Options{})
	agent := rigs[0].Enrol(t, "n1")
	link := agent.MustConnect(t)
	if want := []string{rigs[0].Address}; !slices.Equal(link.Welcome.Servers, want) {
		t.Fatalf("told of %q, want %q", link.Welcome.Servers, want)
	}
	told := func(what string, addresses ...string) {
		t.Helper()
		got := slices.Sorted(slices.Values(until[*wire.Servers](t, link).Servers))
		if slices.Sort(addresses); !slices.Equal(got, addresses) {
			t.Errorf("told of %q after %s, want %q", got, what, addresses)
		}
	}
	second := gatewaytest.Start(t, gatewaytest.Options{Log: rigs[0].Log, CA: rigs[0].CA, Blobs: rigs[0].O.Blobs(), Replica: 2})
	second.Join(t, rigs[0], 2)
	told("a join", rigs[0].Address, second.Address)
	moved := &eventlog.OrchestratorMoved{Replica: 2, Name: "elsewhere", AgentAddress: "elsewhere:1"}
	gatewaytest.Must2(rigs[0].O.Propose(t.Context(), moved))
	told("a move", rigs[0].Address, "elsewhere:1")
	// What is the same for agents is not said again: the next is of the removal.
	renamed := *moved
	renamed.APIAddress = "elsewhere:2"
	gatewaytest.Must2(rigs[0].O.Propose(t.Context(), &renamed))
	if err := rigs[0].O.RemoveMember(t.Context(), 2, "test", "gone", "remove"); err != nil {
		t.Fatal(err)
	}
	told("a removal", rigs[0].Address)
}

// A real agent keeps what it was told while it was connected: it goes to an
// orchestrator that joined later when the only one that it was given dies.
func TestGoesToThoseWhoCameLater(t *testing.T) {
	t.Parallel()
	rigs := gatewaytest.Cluster(t, 1, gatewaytest.Options{})
	f := startFleet(t, rigs, 2, rigs[0].Address)
	second := gatewaytest.Start(t, gatewaytest.Options{Log: rigs[0].Log, CA: rigs[0].CA, Blobs: rigs[0].O.Blobs(), Replica: 2})
	second.Join(t, rigs[0], 2)
	f.knowing(t, second.Address)
	rigs[0].Kill()
	second.Until(t, "all agents at the second", func(s *engine.State) bool { return s.ConnectedAgents()[2] == len(f.names) })
}

// A muteLog has no majority until it is told so.
type muteLog struct {
	engine.Log
	asked, open chan struct{}
	once        sync.Once
}

func (l *muteLog) Barrier(ctx context.Context) error {
	l.once.Do(func() { close(l.asked) })
	select {
	case <-l.open:
		return l.Log.Barrier(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// An orchestrator that comes back, and may have been removed meanwhile, answers no
// agent before a majority has said that it is a member, or nobody says anything.
func TestNobodyIsAnsweredBeforeMembershipIsKnown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		within time.Duration
		answer bool
	}{"a majority answers": {time.Hour, true}, "nobody answers": {100 * time.Millisecond, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rigs := gatewaytest.Cluster(t, 2, gatewaytest.Options{})
			agent := rigs[0].Enrol(t, "n1")
			rigs[1].Stop()
			mute := &muteLog{Log: rigs[0].Log, asked: make(chan struct{}), open: make(chan struct{})}
			back := gatewaytest.Start(t, gatewaytest.Options{
				Log: mute, CA: rigs[0].CA, Blobs: rigs[0].O.Blobs(), Replica: 2, Limits: gateway.Limits{MembershipWithin: c.within},
			})
			<-mute.asked
			if c.answer {
				limited, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if link, err := agent.On(back).Dial(limited); err == nil {
					link.Close()
					t.Error("an agent is answered")
				}
				close(mute.open)
			}
			link, err := agent.On(back).Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			link.Close()
		})
	}
}

// until reads messages until one is of the type.
func until[M wire.Message](t *testing.T, l *gatewaytest.Link) M {
	t.Helper()
	for {
		m, err := l.Read()
		if err != nil {
			t.Fatal(err)
		}
		if wanted, ok := m.(M); ok {
			return wanted
		}
	}
}

// Pings are answered, also many at once, but not any number of them.
func TestPings(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	link := rig.Enrol(t, "n1").MustConnect(t)
	for range 3 {
		if err := wire.WriteMessage(link.Control, &wire.Ping{}); err != nil {
			t.Fatal(err)
		}
		until[*wire.Pong](t, link)
	}
	flood := wire.NewWriter(link.Control)
	for range 10_000 {
		if err := flood.Add(&wire.Ping{}); err != nil {
			t.Fatal(err)
		}
	}
	_ = flood.Flush() // the gateway may have closed the connection before it ends
	select {
	case <-link.Quic.Context().Done():
	case <-time.After(gatewaytest.Patience):
		t.Error("the flood is endured")
	}
}

// What only a gateway says ends the connection of an agent that says it.
func TestMessagesOfTheOtherSide(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	agent := rig.Enrol(t, "n1")
	for _, m := range []wire.Message{&wire.Pong{}, &wire.Move{Servers: []string{"x:1"}}, &wire.Challenge{}, &wire.Servers{}, &wire.Welcome{}, &wire.Hello{}} {
		link := agent.MustConnect(t)
		if err := wire.WriteMessage(link.Control, m); err != nil {
			t.Fatal(err)
		}
		select {
		case <-link.Quic.Context().Done():
		case <-time.After(gatewaytest.Patience):
			t.Errorf("%T is accepted", m)
		}
	}
}

// A beginning is no end, has no outcome, and is counted like any other report.
func TestFalseBeginnings(t *testing.T) {
	for name, falsify := range map[string]func(attempt uint64) []wire.Report{
		"beginning and end": func(a uint64) []wire.Report { return []wire.Report{{Seq: 1, Attempt: a, Began: true, End: true}} },
		"no attempt":        func(uint64) []wire.Report { return []wire.Report{{Seq: 1, Attempt: 1, Began: true}} },
		"a hole":            func(a uint64) []wire.Report { return []wire.Report{{Seq: 2, Attempt: a, Began: true}} },
		"too many": func(a uint64) (all []wire.Report) {
			for i := range uint64(100) {
				all = append(all, wire.Report{Seq: i + 1, Attempt: a, Began: true})
			}
			return all
		},
	} {
		t.Run(name, func(t *testing.T) {
			rig := gatewaytest.Start(t, gatewaytest.Options{})
			agent := rig.Enrol(t, "n1")
			rig.Run(t, rig.Plan(t, []string{"n1"}, gatewaytest.Task{ID: "svc-a", Jobs: 1}))
			link := agent.MustConnect(t)
			if err := link.Send(falsify(until[*wire.Dispatch](t, link).Attempt)...); err != nil {
				t.Fatal(err)
			}
			rig.Until(t, "the quarantine", func(s *engine.State) bool { return s.Agent(agent.ID).Quarantined != "" })
			rig.Replay(t)
		})
	}
}

// A gateway that slept while its agent connected elsewhere sends it nothing more,
// and its word that the agent is gone changes nothing.
func TestSleptThroughTheChange(t *testing.T) {
	t.Parallel()
	rigs := gatewaytest.Cluster(t, 2, gatewaytest.Options{})
	agent := rigs[0].Enrol(t, "n1")
	old := agent.On(rigs[1]).MustConnect(t)
	rigs[1].Pause(true)
	now := agent.MustConnect(t)
	rigs[0].Run(t, rigs[0].Plan(t, []string{"n1"}, gatewaytest.Task{ID: "svc-a", Jobs: 1}))
	until[*wire.Dispatch](t, now)
	rigs[1].Pause(false)
	for {
		m, err := old.Read()
		if closed := new(quic.ApplicationError); errors.As(err, &closed) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Errorf("%T %+v from a gateway that is not the agent's any more", m, m)
	}
	rigs[1].Until(t, "the record of the other gateway", func(s *engine.State) bool { return s.Agent(agent.ID).Gateway == 1 })
	rigs[0].O.View(func(s *engine.State) {
		if a := s.Agent(agent.ID); !a.Connected || a.Session != now.Welcome.Session {
			t.Errorf("the agent is connected %t by session %s", a.Connected, a.Session)
		}
	})
}

// Reports that are on their way through two gateways at once count once.
func TestReportsThroughTwoGateways(t *testing.T) {
	t.Parallel()
	rigs := gatewaytest.Cluster(t, 2, gatewaytest.Options{})
	agent := rigs[0].Enrol(t, "n1")
	run := rigs[0].Run(t, rigs[0].Plan(t, []string{"n1"}, gatewaytest.Task{ID: "svc-a", Jobs: 3}))
	old := agent.On(rigs[1]).MustConnect(t)
	dispatch := until[*wire.Dispatch](t, old)
	step := gatewaytest.Must(wire.DecodeStep(dispatch.Spec))
	reports := agent.Record(append([]wire.Report{{Attempt: dispatch.Attempt, Began: true}}, gatewaytest.Succeed(dispatch.Attempt, step)...)...)
	rigs[1].Cut(true)
	if err := old.Send(reports...); err != nil {
		t.Fatal(err)
	}
	if err := askBlob(t, old); err != nil { // they have arrived, and wait
		t.Fatal(err)
	}
	if err := agent.MustConnect(t).Send(reports...); err != nil {
		t.Fatal(err)
	}
	rigs[1].Cut(false)
	if status := rigs[0].UntilEnded(t, run); status != "succeeded" {
		t.Errorf("run is %s", status)
	}
	select {
	case <-old.Quic.Context().Done():
	case <-time.After(gatewaytest.Patience):
		t.Error("the old connection stays")
	}
	s := rigs[0].Replay(t)
	if c, a := s.Run(run).Counts, s.Agent(agent.ID); c.JobsSucceeded != 3 || a.JournalSeq != 5 || a.Quarantined != "" {
		t.Errorf("%d jobs, %d reports, quarantined %q", c.JobsSucceeded, a.JournalSeq, a.Quarantined)
	}
}

// A gateway that lags behind does not take an agent that another one has told more
// for a liar.
func TestAgentIsAhead(t *testing.T) {
	t.Parallel()
	for name, say := range map[string]func(a *gatewaytest.Agent, attempt uint64) wire.Message{
		"a report": func(a *gatewaytest.Agent, attempt uint64) wire.Message {
			return &wire.Results{Reports: a.Record(wire.Report{Attempt: attempt, Began: true})}
		},
		"no attempt of this gateway's": func(a *gatewaytest.Agent, attempt uint64) wire.Message {
			return &wire.Results{Reports: a.Record(wire.Report{Attempt: attempt, End: true, Outcome: uint8(eventlog.Failed)})}
		},
	} {
		t.Run(name, func(t *testing.T) {
			rigs := gatewaytest.Cluster(t, 2, gatewaytest.Options{Limits: gateway.Limits{MajorityEvery: time.Hour}})
			agent := rigs[0].Enrol(t, "n1")
			link := agent.On(rigs[1]).MustConnect(t)
			rigs[1].Cut(true)
			rigs[0].Run(t, rigs[0].Plan(t, []string{"n1"}, gatewaytest.Task{ID: "svc-a", Jobs: 1}))
			var attempt uint64
			rigs[0].Until(t, "the attempt", func(s *engine.State) bool {
				for _, attempt = range s.Agent(agent.ID).Open {
				}
				return attempt != 0
			})
			if err := wire.WriteMessage(link.Control, say(agent, attempt)); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(gatewaytest.Patience); rigs[1].Stuck() == 0; {
				if time.Now().After(deadline) {
					t.Fatal("the gateway does not ask the log")
				}
				runtime.Gosched()
			}
			rigs[1].Cut(false)
			rigs[0].Until(t, "the report", func(s *engine.State) bool {
				return s.Agent(agent.ID).JournalSeq == 1 || s.Agent(agent.ID).Quarantined != ""
			})
			rigs[0].O.View(func(s *engine.State) {
				if q := s.Agent(agent.ID).Quarantined; q != "" {
					t.Errorf("quarantined: %s", q)
				}
			})
		})
	}
}

// A gateway that has no majority takes nobody on for good, and says so.
func TestNobodyIsWelcomedWithoutMajority(t *testing.T) {
	t.Parallel()
	rigs := gatewaytest.Cluster(t, 2, gatewaytest.Options{})
	agent := rigs[0].Enrol(t, "n1")
	agent.On(rigs[1]).MustConnect(t).Close() // it is known there
	rigs[1].Cut(true)
	_, err := agent.On(rigs[1]).Connect(t.Context(), agent.Hello())
	var refused *gatewaytest.Refused
	if !errors.As(err, &refused) || refused.Code != "busy" {
		t.Errorf("%v, want a refusal as busy", err)
	}
	rigs[1].Cut(false)
	agent.On(rigs[1]).MustConnect(t)
}

// A gateway that is cut off sends its agents to the others, and so does one that
// stops: both before the connection ends.
func TestSentElsewhere(t *testing.T) {
	t.Parallel()
	for name, part := range map[string]func(*gatewaytest.Rig){
		"cut off": func(r *gatewaytest.Rig) { r.Cut(true) },
		"stopped": func(r *gatewaytest.Rig) { go r.Stop() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rigs := gatewaytest.Cluster(t, 2, gatewaytest.Options{Limits: gateway.Limits{MajorityEvery: 200 * time.Millisecond}})
			agent := rigs[0].Enrol(t, "n1")
			link := agent.On(rigs[1]).MustConnect(t)
			part(rigs[1])
			if move := until[*wire.Move](t, link); !slices.Equal(move.Servers, []string{rigs[0].Address}) || move.Reason == "" {
				t.Errorf("sent to %+v, want %s", move, rigs[0].Address)
			}
			if err := wire.WriteMessage(link.Control, &wire.Ping{}); err != nil {
				t.Fatal(err)
			}
			until[*wire.Pong](t, link) // still there
			agent.MustConnect(t)
			link.Close()
		})
	}
}

// Real agents leave an orchestrator that stops before it is gone: none is ever
// without a gateway, and their work goes on.
func TestStopLosesNothing(t *testing.T) {
	t.Parallel()
	rigs := gatewaytest.Cluster(t, 2, gatewaytest.Options{Verbs: verb.Lookup})
	f := startFleet(t, rigs, 4, rigs[1].Address)
	run := f.begin(t, rigs[0])
	alone := false
	stop := rigs[0].O.Observe(func(s *engine.State, _ *eventlog.Record, _ eventlog.Event, _ string) {
		alone = alone || connected(s) < len(f.names)
	}, nil)
	defer stop()
	rigs[1].Stop()
	rigs[0].Until(t, "all agents here", func(s *engine.State) bool { return s.ConnectedAgents()[1] == len(f.names) })
	f.open(t)
	if status := rigs[0].UntilEnded(t, run); status != "succeeded" {
		t.Errorf("run is %s", status)
	}
	rigs[0].O.View(func(*engine.State) {
		if alone {
			t.Error("an agent was without a gateway")
		}
	})
}
