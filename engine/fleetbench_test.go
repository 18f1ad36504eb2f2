package engine

import (
	"fmt"
	"testing"
	"time"

	"quorate/eventlog"
)

// fleet is a lab with hosts that are connected, each perRelay of them through a relay of
// their own where that is not 0.
func fleet(b *testing.B, hosts, perRelay int) *lab {
	l := newLab(b)
	relay := uint64(0)
	for h := range hosts {
		if perRelay > 0 && h%perRelay == 0 {
			hash := fmt.Sprintf("relay-%d", h)
			l.ok(&eventlog.TokenCreated{TokenHash: hash, Name: hash, Role: RelayRole})
			relay = l.ok(&eventlog.AgentEnrolled{TokenHash: hash, Name: hash, KeyDigest: hash, JournalID: hash})
		}
		name := fmt.Sprintf("h%d", h)
		id := l.agent(name)
		l.ok(&eventlog.AgentConnected{Agent: id, Session: name, JournalID: l.s.Agent(id).JournalID, Relay: relay})
	}
	return l
}

// trickle runs the lab's runs to their end as a fleet does: a few steps end between one
// decision and the next. It returns how many events that took, and how long the
// decisions alone.
func trickle(b *testing.B, l *lab, ends int) (events int, deciding time.Duration) {
	index := l.s.Index
	fold := func(e eventlog.Event) {
		index++
		void, err := l.s.Apply(eventlog.Record{Index: index, Time: int64(index)}, e)
		if void != "" || err != nil {
			b.Fatal(void, err)
		}
		events++
	}
	var open []uint64
	for len(l.s.active) > 0 {
		began := time.Now()
		decided := l.s.Decide()
		deciding += time.Since(began)
		for _, e := range decided {
			if fold(e); l.s.Attempts[index] != nil {
				open = append(open, index)
			}
		}
		if len(decided) == 0 && len(open) == 0 {
			b.Fatal("the run does not go on")
		}
		for range min(ends, len(open)) {
			fold(&eventlog.JobEnded{Attempt: open[0], Outcome: eventlog.Succeeded})
			fold(&eventlog.AttemptEnded{Attempt: open[0], Outcome: eventlog.Succeeded})
			open = open[1:]
		}
	}
	return events, deciding
}

// BenchmarkFleet is runs of the shapes in which a decision has most to pass over, with
// agents by themselves and behind relays.
func BenchmarkFleet(b *testing.B) {
	independent := func(n int) []eventlog.PlanTask { return make([]eventlog.PlanTask, n) }
	behindOne := func(n int) []eventlog.PlanTask {
		tasks := independent(n + 1)
		for i := range n {
			tasks[i+1].Requires = sameHost(0)
		}
		return tasks
	}
	chain := func(n int) []eventlog.PlanTask {
		tasks := independent(n)
		for i := 1; i < n; i++ {
			tasks[i].Requires = all(uint32(i) - 1)
		}
		return tasks
	}
	cases := []struct {
		name            string
		hosts           int
		tasks           []eventlog.PlanTask
		stepsMax, ahead uint32
	}{
		{"one task", 10_000, independent(1), 0, 1024},
		{"independent", 1000, independent(100), 0, 1024},
		{"independent, in line", 1000, independent(100), 8000, 1024},
		{"independent, few in line", 1000, independent(100), 8000, 16},
		{"behind one", 1000, behindOne(100), 0, 1024},
		{"chain of whole tasks", 100, chain(20), 0, 1024},
	}
	for _, c := range cases {
		for _, perRelay := range []int{0, 100} {
			b.Run(fmt.Sprintf("%s, %d each relay", c.name, perRelay), func(b *testing.B) {
				var events int
				var deciding time.Duration
				for b.Loop() {
					b.StopTimer()
					l := fleet(b, c.hosts, perRelay)
					l.run(plan(c.hosts, c.tasks...), func(e *eventlog.RunCreated) { e.AheadMax, e.StepsMax = c.ahead, c.stepsMax })
					b.StartTimer()
					n, d := trickle(b, l, 16)
					events, deciding = events+n, deciding+d
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/event")
				b.ReportMetric(float64(deciding.Nanoseconds())/float64(events), "ns-deciding/event")
			})
		}
	}
}
