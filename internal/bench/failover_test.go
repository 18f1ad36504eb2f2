package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"quorate/engine/api"
	"quorate/internal/soak"
	"quorate/internal/soak/lab"
)

// failovers is how often the leader is killed, and slowFailover from when on the
// orchestrators' logs are shown.
const (
	failovers    = 30
	slowFailover = 500 * time.Millisecond
)

// BenchmarkFailover kills the leader of three orchestrators at random moments
// while six agents work, and reports the time from the kill until a survivor shows
// the next step as scheduled by the new leader (dispatch), and until it shows the
// end of a job of such a step (worked). A leader that is killed never has all the
// agents, and those of survivors have to stay connected.
func BenchmarkFailover(b *testing.B) {
	l := startLab(b, lab.Options{Orchestrators: 3, Agents: agents})
	stop := work(b, l)
	defer stop()
	for b.Loop() {
		var dispatch, worked []time.Duration
		strayed := 0
		for range failovers {
			shared(b, l)
			<-time.After(time.Duration(rand.Int64N(int64(300 * time.Millisecond))))
			d, w, s := failover(b, l)
			dispatch, worked, strayed = append(dispatch, d), append(worked, w), strayed+s
		}
		spread(b, "dispatch", dispatch)
		spread(b, "worked", worked)
		b.ReportMetric(float64(strayed), "interrupted")
	}
}

// work keeps every agent busy with runs of its own until stop is called. Nothing is
// sent ahead, so that each step of them has to be dispatched in its turn.
func work(b *testing.B, l *lab.Lab) (stop func()) {
	b.Helper()
	const chain = 50
	var tasks []soak.Task
	for i := range chain {
		t := soak.Task{Name: fmt.Sprintf("t%d", i), Idempotent: true, Jobs: []string{"sleep 0.02"}}
		if i > 0 {
			t.After = fmt.Sprintf("t%d", i-1)
		}
		tasks = append(tasks, t)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	for i, host := range hosts(l) {
		d := record(b, l, fmt.Sprintf("chain%d", i), []string{host}, tasks)
		client := anyone(b, l)
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				keep(ctx, client, d.PlanID, fmt.Sprintf("work-%d-%d", i, n))
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// keep starts a run and waits for its end, whatever happens to orchestrators.
func keep(ctx context.Context, client *api.Client, plan, id string) {
	var run *api.Run
	var nothing uint32
	for tick := time.NewTicker(20 * time.Millisecond); ctx.Err() == nil; {
		trying, cancel := context.WithTimeout(ctx, 5*time.Second)
		var err error
		if run == nil {
			run, err = client.CreateRun(trying, api.RunSubmit{PlanID: plan, RequestID: id, IgnoreCache: true, Ahead: &nothing})
		} else if now, failed := client.Run(trying, fmt.Sprint(run.ID)); failed == nil {
			run = now
		}
		cancel()
		if err == nil && run != nil && run.Done() {
			tick.Stop()
			return
		}
		<-tick.C
	}
}

// failover kills the leader once, restarts it, and waits until all is as before.
func failover(b *testing.B, l *lab.Lab) (dispatch, worked time.Duration, strayed int) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	leader := l.Leader(ctx)
	if leader == nil {
		b.Fatal("nobody leads")
	}
	var survivor *lab.Server
	for _, s := range l.Servers() {
		if s != leader {
			survivor = s
		}
	}
	status, err := leader.Status(ctx)
	if err != nil {
		b.Fatal(err)
	}
	orphans, epoch := agentsOf(b, survivor, status.Replica), status.Epoch
	f := follow(ctx, b, survivor)
	f.first(b, "work before the kill", func(r seen) bool { return r.Kind == "step_scheduled" })
	said := map[string]int64{}
	for _, a := range l.Agents() {
		said[a.Name()] = a.LogSize()
	}
	for _, s := range l.Servers() {
		said[s.Name()] = s.LogSize()
	}
	killed := time.Now()
	leader.Kill()
	established := f.first(b, "a new leader", func(r seen) bool { return r.Kind == "leader_established" && r.Seq > epoch })
	ours := map[uint64]bool{}
	scheduled := f.first(b, "a dispatch", func(r seen) bool {
		return r.Kind == "step_scheduled" && r.Seq > established.Seq && !r.Void
	})
	ended := f.first(b, "the end of a job", func(r seen) bool {
		if r.Kind == "step_scheduled" && r.Seq > established.Seq && !r.Void {
			ours[r.Seq] = true
		}
		return r.Kind == "job_ended" && ours[field(r, "attempt")]
	})
	if took := scheduled.at.Sub(killed); took > slowFailover {
		fmt.Printf("%s killed at %s: a leader after %s, a dispatch after %s\n", leader.Name(), killed.UTC().Format(time.StampMilli), established.at.Sub(killed), took)
		for _, s := range l.Servers() {
			fmt.Printf("%s:\n%s", s.Name(), s.LogFrom(said[s.Name()]))
		}
		f.print(killed.Add(-slowFailover), scheduled.at)
	}
	if err := leader.Start(); err != nil {
		b.Fatal(err)
	}
	settled(b, l)
	err = l.Until(b.Context(), "agents of the killed gateway elsewhere", func() bool {
		for _, a := range l.Agents() {
			if orphans[a.Name()] && !strings.Contains(a.LogFrom(said[a.Name()]), "msg=connected") {
				return false
			}
		}
		return true
	})
	if err != nil {
		b.Fatal(err)
	}
	for _, a := range l.Agents() {
		if said := a.LogFrom(said[a.Name()]); lostAnother(said, leader.AgentAddress()) {
			strayed++
			b.Logf("%s lost its gateway, which lived, when %s was killed:\n%s", a.Name(), leader.AgentAddress(), said)
		}
	}
	return scheduled.at.Sub(killed), ended.at.Sub(killed), strayed
}

// lostAnother reports whether an agent says that it lost a gateway other than the
// one at the address.
func lostAnother(said, address string) bool {
	for line := range strings.Lines(said) {
		lost := strings.Contains(line, "silent") || strings.Contains(line, "connection lost")
		if lost && !strings.Contains(strings.TrimSpace(line)+" ", "server="+address+" ") {
			return true
		}
	}
	return false
}

// shared waits until the leader has not all the agents: without any at work there
// is nothing to dispatch.
func shared(b *testing.B, l *lab.Lab) {
	b.Helper()
	err := l.Until(b.Context(), "agents of survivors", func() bool {
		leader := l.Leader(b.Context())
		if leader == nil {
			return false
		}
		return len(agentsOf(b, leader, leader.Replica(b.Context()))) < len(l.Agents())
	})
	if err != nil {
		b.Fatal(err)
	}
}

// agentsOf returns the names of the agents whose gateway is a replica.
func agentsOf(b *testing.B, s *lab.Server, replica uint64) map[string]bool {
	b.Helper()
	gateways := map[uint64]uint64{}
	for e, err := range local(b, s).Log(b.Context(), api.LogQuery{Kind: "agent_connected"}) {
		if err != nil {
			b.Fatal(err)
		}
		if r := (seen{LogEvent: e}); !e.Void {
			gateways[field(r, "agent")] = field(r, "gateway")
		}
	}
	list, err := local(b, s).Agents(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	of := map[string]bool{}
	for _, a := range list {
		if gateways[a.ID] == replica {
			of[a.Name] = true
		}
	}
	return of
}

// settled waits until all orchestrators serve and all agents are connected.
func settled(b testing.TB, l *lab.Lab) {
	b.Helper()
	err := l.Until(b.Context(), "a whole cluster", func() bool {
		for _, s := range l.Servers() {
			status, err := s.Status(b.Context())
			if err != nil || status.Connected < len(l.Agents()) {
				return false
			}
		}
		return l.Leader(b.Context()) != nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
