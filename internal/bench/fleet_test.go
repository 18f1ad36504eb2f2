package bench

import (
	"fmt"
	"testing"
	"time"

	"quorate/internal/soak"
	"quorate/internal/soak/lab"
)

// The fleet of BenchmarkFleet, and how often a gateway of it is killed.
const (
	fleet      = 100
	fleetKills = 6
	// fleetRest is the time between two kills: an agent that has left one gateway
	// is slower to leave the next for a minute.
	fleetRest = 65 * time.Second
	// slow is from when on an agent's log is shown.
	slow = 2 * time.Second
)

// BenchmarkFleet kills one of three orchestrators that serve a hundred agents, in
// turn the leader and another one, and starts a run with a job for every agent in
// the same moment. It reports the time from the kill until each agent of the killed
// one has executed its job (orphans), and each other agent (others).
func BenchmarkFleet(b *testing.B) {
	l := startLab(b, lab.Options{Orchestrators: 3, Agents: fleet})
	settled(b, l)
	d := record(b, l, "fleet", hosts(l), []soak.Task{{Name: "t", Idempotent: true, Jobs: []string{"true"}}})
	client := anyone(b, l)
	warm := startRun(b, client, d, "warm") // gateways and agents have the plan
	ended(b, client, warm.ID)
	for b.Loop() {
		var orphans, others []time.Duration
		for n := range fleetKills {
			if n > 0 {
				<-time.After(fleetRest)
			}
			o, r := killGateway(b, l, d, n)
			orphans, others = append(orphans, o...), append(others, r...)
		}
		spread(b, "orphans", orphans)
		spread(b, "others", others)
		b.ReportMetric(float64(len(orphans)), "orphans")
	}
}

func killGateway(b *testing.B, l *lab.Lab, d *soak.Deployment, n int) (orphans, others []time.Duration) {
	b.Helper()
	victim := l.Leader(b.Context())
	if victim == nil {
		b.Fatal("nobody leads")
	}
	if n%2 == 1 {
		for _, s := range l.Servers() {
			if s != victim {
				victim = s
				break
			}
		}
	}
	var survivor *lab.Server
	for _, s := range l.Servers() {
		if s != victim {
			survivor = s
		}
	}
	of := agentsOf(b, survivor, victim.Replica(b.Context()))
	names := map[uint64]string{}
	list, err := local(b, survivor).Agents(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for _, a := range list {
		names[a.ID] = a.Name
	}
	f := follow(b.Context(), b, survivor)
	killed := time.Now()
	victim.Kill()
	run := startRun(b, local(b, survivor), d, fmt.Sprintf("fleet-%d-%d", n, killed.UnixNano()))
	by := map[uint64]string{} // who executes an attempt
	worked, late := map[string]bool{}, map[string]time.Duration{}
	f.first(b, "a job of every agent", func(r seen) bool {
		switch {
		case r.Kind == "step_scheduled" && field(r, "run") == run.ID && !r.Void:
			by[r.Seq] = names[field(r, "agent")]
		case r.Kind == "job_ended" && by[field(r, "attempt")] != "" && !worked[by[field(r, "attempt")]]:
			name := by[field(r, "attempt")]
			worked[name] = true
			if of[name] {
				orphans = append(orphans, r.at.Sub(killed))
				if took := r.at.Sub(killed); took > slow {
					late[name] = took
				}
			} else {
				others = append(others, r.at.Sub(killed))
			}
		}
		return len(worked) == len(l.Agents())
	})
	for _, a := range l.Agents() {
		if took := late[a.Name()]; took > 0 {
			fmt.Printf("kill %d: %s took %s; killed at %s:\n%s\n", n, a.Name(), took, killed.UTC().Format(time.StampMilli), a.LogTail(5))
		}
	}
	if err := victim.Start(); err != nil {
		b.Fatal(err)
	}
	settled(b, l)
	balanced(b, l)
	return orphans, others
}

// balanced waits until every orchestrator serves about its share of the agents, so
// that the next kill is one of a gateway.
func balanced(b *testing.B, l *lab.Lab) {
	b.Helper()
	err := l.Until(b.Context(), "agents spread over all orchestrators", func() bool {
		cluster, err := l.Servers()[0].Cluster(b.Context())
		if err != nil {
			return false
		}
		for _, m := range cluster.Members {
			if m.Role == "voter" && m.Agents < len(l.Agents())/len(l.Servers())/2 {
				return false
			}
		}
		return true
	})
	if err != nil {
		b.Fatal(err)
	}
}
