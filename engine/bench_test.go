package engine

import (
	"fmt"
	"testing"

	"quorate/eventlog"
)

// wide returns a log in which a run of the plan has just begun.
func wide(b *testing.B, hosts, tasks int) *lab {
	l := newLab(b)
	for h := range hosts {
		l.agent(fmt.Sprintf("h%d", h))
	}
	list := make([]eventlog.PlanTask, tasks)
	for i := range list {
		if i > 0 {
			list[i].Requires = sameHost(uint32(i) - 1)
		}
		if i > 10 && i%10 == 0 {
			list[i].Requires = all(uint32(i-10), uint32(i-1))
		}
	}
	l.run(plan(hosts, list...))
	return l
}

// drive runs the lab's runs to their end, every step succeeding, and returns how
// many events that took.
func drive(b *testing.B, l *lab) (events int) {
	index := l.s.Index
	fold := func(e eventlog.Event) {
		index++
		void, err := l.s.Apply(eventlog.Record{Index: index, Time: int64(index)}, e)
		if void != "" || err != nil {
			b.Fatal(void, err)
		}
		events++
	}
	for len(l.s.active) > 0 {
		from := index
		for _, e := range l.s.Decide() {
			fold(e)
		}
		for id := from + 1; id <= from+decideEventsMax; id++ {
			if a := l.s.Attempts[id]; a != nil {
				fold(&eventlog.JobEnded{Attempt: id, Outcome: eventlog.Succeeded})
				fold(&eventlog.AttemptEnded{Attempt: id, Outcome: eventlog.Succeeded})
			}
		}
	}
	return events
}

func BenchmarkRun(b *testing.B) {
	for _, size := range [][2]int{{6, 1000}, {1000, 1500}} {
		b.Run(fmt.Sprintf("%dhosts/%dtasks", size[0], size[1]), func(b *testing.B) {
			events := 0
			for b.Loop() {
				b.StopTimer()
				l := wide(b, size[0], size[1])
				b.StartTimer()
				events += drive(b, l)
			}
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkDecide is one decision of a full batch; nothing of the rest of the
// run may count.
func BenchmarkDecide(b *testing.B) {
	for _, size := range [][2]int{{6, 1000}, {1000, 1500}} {
		b.Run(fmt.Sprintf("%dhosts/%dtasks", size[0], size[1]), func(b *testing.B) {
			l := wide(b, size[0], size[1])
			n := len(l.s.Decide())
			for b.Loop() {
				l.s.Decide()
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N*n), "ns/event")
		})
	}
}

// BenchmarkFold folds encoded records, as a replica does that starts.
func BenchmarkFold(b *testing.B) {
	l := wide(b, 6, 1000)
	for len(l.s.active) > 0 {
		from := l.s.Index
		l.decide()
		for id := from + 1; id <= l.s.Index; id++ {
			if a := l.s.Attempts[id]; a != nil && a.Outcome == 0 {
				l.ok(&eventlog.JobEnded{Attempt: id, Outcome: eventlog.Succeeded})
				l.ok(&eventlog.AttemptEnded{Attempt: id, Outcome: eventlog.Succeeded})
			}
		}
	}
	for b.Loop() {
		s := NewState()
		for _, rec := range l.recs {
			if _, err := s.Fold(rec); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N*len(l.recs))/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkHash(b *testing.B) {
	l := wide(b, 6, 1000)
	drive(b, l)
	for b.Loop() {
		l.s.Hash()
	}
}
