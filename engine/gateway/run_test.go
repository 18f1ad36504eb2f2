package gateway_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"quorate/engine"
	"quorate/engine/gateway/gatewaytest"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
	"quorate/internal/pki"
	"quorate/nodeagent/wire"
	"quorate/planner"
)

// TestMain wants nothing to be left behind. The socket of a real agent answers for a
// moment longer than the agent lives.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		err := goleak.Find()
		for end := time.Now().Add(30 * time.Second); err != nil && time.Now().Before(end); {
			err = goleak.Find()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "left behind by the tests:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// A plan with a barrier, a local task and a message runs over real QUIC, and the
// log replays to the same state.
func TestRun(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	rig.Enrol(t, "n1", "controller").Work(t)
	rig.Enrol(t, "n2").Work(t)
	plan := rig.Plan(t, []string{"n1", "n2"},
		gatewaytest.Task{ID: "svc-a", Jobs: 3},
		gatewaytest.Task{ID: "svc-b", Driver: planner.DriverLocal, Jobs: 1, After: []uint32{0}},
		gatewaytest.Task{ID: "svc-c", Jobs: 2, After: []uint32{1}},
		gatewaytest.Task{ID: "svc-d", Driver: planner.DriverPrint, Messages: []string{"all done"}, After: []uint32{2}},
	)
	run := rig.Run(t, plan)
	if status := rig.UntilEnded(t, run); status != "succeeded" {
		t.Errorf("run is %s", status)
	}
	s := rig.Replay(t)
	if c := s.Run(run).Counts; c.JobsSucceeded != 2*3+1+2*2 || c.Succeeded != 6 {
		t.Errorf("counts %+v", c)
	}
}

// What is under way when the orchestrator stops goes on after a restart from the
// same log, without anything done twice.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	log := gatewaytest.Must(eventlog.OpenEmbedded(dir))
	t.Cleanup(func() { log.Close() })
	opt := gatewaytest.Options{
		Log: log, CA: gatewaytest.Must(pki.New()),
		Blobs: gatewaytest.Must(eventlog.OpenBlobs(filepath.Join(dir, "blobs"))),
	}
	first := gatewaytest.Start(t, opt)
	agent := first.Enrol(t, "n1")
	link := agent.MustConnect(t)
	run := first.Run(t, first.Plan(t, []string{"n1"}, gatewaytest.Task{ID: "svc-a", Jobs: 2}, gatewaytest.Task{ID: "svc-b", Jobs: 1, After: []uint32{0}}))
	m, err := link.Read()
	if err != nil {
		t.Fatal(err)
	}
	dispatch := m.(*wire.Dispatch)
	first.Stop()

	opt.Socket = gatewaytest.Must(net.ListenPacket("udp", first.Address))
	second := gatewaytest.Start(t, opt)
	var again []uint64
	step, err := wire.DecodeStep(dispatch.Spec)
	if err != nil {
		t.Fatal(err)
	}
	agent = agent.On(second)
	agent.Record(gatewaytest.Succeed(dispatch.Attempt, step)...) // it ended while nobody listened
	link = agent.MustConnect(t)
	link.ServeOn(t, func(d *wire.Dispatch, step *wire.Step) []wire.Report {
		again = append(again, d.Attempt)
		if d.Attempt == dispatch.Attempt {
			return nil
		}
		return gatewaytest.Succeed(d.Attempt, step)
	})
	if status := second.UntilEnded(t, run); status != "succeeded" {
		t.Errorf("run is %s", status)
	}
	second.Replay(t)
	second.O.View(func(s *engine.State) {
		if n := s.Run(run).Tasks[0].Steps[0].Attempts; n != 1 {
			t.Errorf("%d attempts of a step that ended once", n)
		}
	})
}

// A repeat of an attempt carries the same bytes, since an agent refuses others.
func TestRepeatIsTheSame(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	agent := rig.Enrol(t, "n1")
	rig.Run(t, rig.Plan(t, []string{"n1"}, gatewaytest.Task{ID: "svc-a", Jobs: 2}))
	var specs []*wire.Dispatch
	for range 2 {
		link := agent.MustConnect(t)
		m, err := link.Read()
		if err != nil {
			t.Fatal(err)
		}
		specs = append(specs, m.(*wire.Dispatch))
	}
	if specs[0].Attempt != specs[1].Attempt || !slices.Equal(specs[0].Spec, specs[1].Spec) {
		t.Error("the second connection was sent another command")
	}
	if specs[0].Fence.Session == specs[1].Fence.Session {
		t.Error("both connections have the same session")
	}
}

// The second connection of an agent takes over, and the first is told.
func TestReplaced(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	agent := rig.Enrol(t, "n1")
	first := agent.MustConnect(t)
	second := agent.MustConnect(t)
	select {
	case <-first.Quic.Context().Done():
	case <-second.Quic.Context().Done():
		t.Fatal("the newer connection was closed")
	}
	rig.Until(t, "the newer session on record", func(s *engine.State) bool {
		a := s.Agent(agent.ID)
		return a.Connected && a.Session == second.Welcome.Session
	})
}

// More attempts than fit into one turn of the sender arrive all, once, in order.
func TestManyDispatches(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	agent := rig.Enrol(t, "n1")
	const steps = 150
	var tasks []gatewaytest.Task
	for i := range steps {
		tasks = append(tasks, gatewaytest.Task{ID: fmt.Sprintf("svc-%03d", i), Jobs: 1})
	}
	plan := rig.Plan(t, []string{"n1"}, tasks...)
	rig.Record(t, plan)
	if _, err := rig.O.CreateRun(t.Context(), orchestrator.RunRequest{PlanID: plan.ID(), RequestID: "one", StepsPerHostMax: steps}); err != nil {
		t.Fatal(err)
	}
	rig.Until(t, "all attempts", func(s *engine.State) bool { return len(s.Agent(agent.ID).Open) == steps })
	link := agent.MustConnect(t)
	var want []uint64
	rig.O.View(func(s *engine.State) { want = slices.Clone(s.Agent(agent.ID).Open) })
	for i := range want {
		m, err := link.Read()
		if err != nil {
			t.Fatal(err)
		}
		if d, ok := m.(*wire.Dispatch); !ok || d.Attempt != want[i] {
			t.Fatalf("message %d is %T %+v, want attempt %d", i, m, m, want[i])
		}
	}
}

// Disconnects come on record.
func TestDisconnected(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	agent := rig.Enrol(t, "n1")
	link := agent.MustConnect(t)
	rig.Until(t, "connected", func(s *engine.State) bool { return s.Agent(agent.ID).Connected })
	link.Close()
	rig.Until(t, "disconnected", func(s *engine.State) bool { return !s.Agent(agent.ID).Connected })
}

// A cancelled run's attempts are cancelled at the agent, whether they were sent
// before or not.
func TestCancel(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	agent, absent := rig.Enrol(t, "n1"), rig.Enrol(t, "n2")
	run := rig.Run(t, rig.Plan(t, []string{"n1", "n2"}, gatewaytest.Task{ID: "svc-a", Jobs: 1}))
	link := agent.MustConnect(t)
	if m, err := link.Read(); err != nil {
		t.Fatal(err)
	} else if _, ok := m.(*wire.Dispatch); !ok {
		t.Fatalf("%T, want a dispatch", m)
	}
	change := orchestrator.Change{RequestID: "c1", By: "test", Reason: "enough"}
	if err := rig.O.Cancel(t.Context(), run, change); err != nil {
		t.Fatal(err)
	}
	for _, l := range []*gatewaytest.Link{link, absent.MustConnect(t)} {
		m, err := l.Read()
		if err != nil {
			t.Fatal(err)
		}
		cancel, ok := m.(*wire.Cancel)
		if !ok || cancel.Reason != "enough" {
			t.Fatalf("%s: %T, want a cancel with the reason", l.Agent.Name, m)
		}
		report := wire.Report{Attempt: cancel.Attempt, End: true, Outcome: uint8(eventlog.Cancelled)}
		if err := l.Send(l.Agent.Record(report)...); err != nil {
			t.Fatal(err)
		}
	}
	if status := rig.UntilEnded(t, run); status != "cancelled" {
		t.Errorf("run is %s", status)
	}
}

// An agent that is busy with the attempt before is sent its successor again.
func TestBusyIsSentAgain(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	agent := rig.Enrol(t, "n1")
	run := rig.Run(t, rig.Plan(t, []string{"n1"}, gatewaytest.Task{ID: "svc-a", Jobs: 1}))
	link := agent.MustConnect(t)
	refused := false
	link.ServeOn(t, func(d *wire.Dispatch, step *wire.Step) []wire.Report {
		if !refused {
			refused = true
			_ = wire.WriteMessage(link.Control, &wire.Reply{Attempt: d.Attempt, Status: wire.StatusBusy})
			return nil
		}
		return gatewaytest.Succeed(d.Attempt, step)
	})
	if status := rig.UntilEnded(t, run); status != "succeeded" {
		t.Errorf("run is %s", status)
	}
}

// An agent that does not read what it is sent holds up nobody else.
func TestSlowReader(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	const hosts = 3
	var names []string
	for i := range hosts {
		names = append(names, fmt.Sprintf("n%d", i))
		agent := rig.Enrol(t, names[i])
		if i == 0 {
			agent.MustConnect(t) // and never reads
			continue
		}
		agent.Work(t)
	}
	var tasks []gatewaytest.Task
	for i := range 40 {
		tasks = append(tasks, gatewaytest.Task{ID: fmt.Sprintf("svc-%02d", i), Jobs: 5})
	}
	run := rig.Run(t, rig.Plan(t, names, tasks...))
	rig.Until(t, "the steps of the agents that read", func(s *engine.State) bool {
		return s.Run(run).Counts.Succeeded == (hosts-1)*len(tasks)
	})
}

// Six agents at once: every result is on record once and in its agent's order.
func TestManyResults(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	var names []string
	for i := range 6 {
		names = append(names, fmt.Sprintf("n%d", i))
		rig.Enrol(t, names[i]).Work(t)
	}
	var tasks []gatewaytest.Task
	for i := range 10 {
		tasks = append(tasks, gatewaytest.Task{ID: fmt.Sprintf("svc-%02d", i), Jobs: 20})
	}
	run := rig.Run(t, rig.Plan(t, names, tasks...))
	if status := rig.UntilEnded(t, run); status != "succeeded" {
		t.Errorf("run is %s", status)
	}
	s := rig.Replay(t)
	if got, want := s.Run(run).Counts.JobsSucceeded, 6*10*20; got != want {
		t.Errorf("%d jobs succeeded, want %d", got, want)
	}
	for _, a := range s.Agents {
		if a.JournalSeq != 10*21 {
			t.Errorf("agent %s: %d reports committed, want %d", a.Name, a.JournalSeq, 10*21)
		}
	}
}

// What is sent to agents that are far away is packed, and they understand it.
func TestFarAgents(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	rig.Socket.SetDelay(30 * time.Millisecond)
	names := []string{"n0", "n1"}
	for _, name := range names {
		rig.Enrol(t, name).Work(t)
	}
	watched := rig.Enrol(t, "n2").MustConnect(t)
	run := rig.Run(t, rig.Plan(t, names, gatewaytest.Task{ID: "svc-a", Jobs: 20}, gatewaytest.Task{ID: "svc-b", Jobs: 20}))
	if status := rig.UntilEnded(t, run); status != "succeeded" {
		t.Errorf("run is %s", status)
	}
	rig.Run(t, rig.Plan(t, []string{"n2"}, gatewaytest.Task{ID: "svc-a", Jobs: 20}))
	for {
		var header [5]byte
		if _, err := io.ReadFull(watched.Control, header[:]); err != nil {
			t.Fatal(err)
		}
		switch wire.Type(header[4]) {
		case wire.TypePackedOrchestrator:
			return
		case wire.TypeDispatch:
			t.Fatal("a dispatch of 20 jobs is not packed")
		}
		if _, err := io.CopyN(io.Discard, watched.Control, int64(binary.BigEndian.Uint32(header[:]))-1); err != nil {
			t.Fatal(err)
		}
	}
}

var errStop = errors.New("stop")

// gated is a log that holds up the appends of results until it is opened.
type gated struct {
	*eventlog.Memory
	open chan struct{}
}

func (g *gated) Append(ctx context.Context, entries []eventlog.Entry) (uint64, error) {
	if entries[0].Kind == eventlog.KindJobEnded {
		select {
		case <-g.open:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return g.Memory.Append(ctx, entries)
}

// What is not committed is not acknowledged, though the agent hears other things
// in the meantime; once it is, the acknowledgement comes.
func TestNoAckBeforeCommit(t *testing.T) {
	log := &gated{eventlog.NewMemory(), make(chan struct{})}
	rig := gatewaytest.Start(t, gatewaytest.Options{Log: log})
	agent := rig.Enrol(t, "n1")
	link := agent.MustConnect(t)
	plan := rig.Plan(t, []string{"n1"}, gatewaytest.Task{ID: "svc-a", Jobs: 1})
	for i := range 3 {
		rig.Run(t, plan)
		m, err := link.Read()
		if err != nil {
			t.Fatal(err)
		}
		dispatch, ok := m.(*wire.Dispatch)
		if !ok {
			t.Fatalf("%T before the results are committed", m)
		}
		if i > 0 {
			continue
		}
		step, err := wire.DecodeStep(dispatch.Spec)
		if err != nil {
			t.Fatal(err)
		}
		if err := link.Send(agent.Record(gatewaytest.Succeed(dispatch.Attempt, step)...)...); err != nil {
			t.Fatal(err)
		}
		// The gateway has taken the results when it has answered something that
		// was sent behind them.
		if err := askBlob(t, link); err != nil {
			t.Fatal(err)
		}
	}
	close(log.open)
	m, err := link.Read()
	if err != nil {
		t.Fatal(err)
	}
	if ack, ok := m.(*wire.Ack); !ok || ack.Seq != 2 {
		t.Errorf("%T %+v after the commit, want an acknowledgement of 2", m, m)
	}
}

// askBlob makes a round trip to the gateway.
func askBlob(t *testing.T, link *gatewaytest.Link) error {
	st, err := link.Quic.OpenStreamSync(t.Context())
	if err != nil {
		return err
	}
	if err := wire.WriteMessage(st, &wire.BlobRequest{Digest: strings.Repeat("0", 64)}); err != nil {
		return err
	}
	_, err = wire.ReadBlobSize(st)
	return err
}

// Acknowledgements follow the commit, and cover everything in the end.
func TestAcknowledged(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	agent := rig.Enrol(t, "n1")
	run := rig.Run(t, rig.Plan(t, []string{"n1"}, gatewaytest.Task{ID: "svc-a", Jobs: 3}))
	link := agent.MustConnect(t)
	for last := uint64(0); last < 4; {
		m, err := link.Read()
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *wire.Dispatch:
			step, err := wire.DecodeStep(m.Spec)
			if err != nil {
				t.Fatal(err)
			}
			if err := link.Send(agent.Record(gatewaytest.Succeed(m.Attempt, step)...)...); err != nil {
				t.Fatal(err)
			}
		case *wire.Ack:
			rig.O.View(func(s *engine.State) {
				if committed := s.Agent(agent.ID).JournalSeq; m.Seq > committed {
					t.Errorf("acknowledged %d, committed %d", m.Seq, committed)
				}
			})
			last = m.Seq
		}
	}
	rig.UntilEnded(t, run)
	// A repeat after the acknowledgement changes nothing.
	if err := link.Send(agent.After(0)...); err != nil {
		t.Fatal(err)
	}
	link = agent.MustConnect(t)
	if link.Welcome.Acked != 4 || link.Welcome.Floor == 0 {
		t.Errorf("welcome says %d, floor %d", link.Welcome.Acked, link.Welcome.Floor)
	}
}
