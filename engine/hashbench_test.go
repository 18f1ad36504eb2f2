package engine

import (
	"testing"

	"quorate/eventlog"
)

// BenchmarkHashOfMillion is the hash of a state that a million events led to.
func BenchmarkHashOfMillion(b *testing.B) {
	l := wide(b, 100, 1000)
	events := drive(b, l)
	for events < 1_000_000 {
		again := &eventlog.RunCreated{PlanID: l.s.Runs[0].PlanID}
		if void, err := l.s.Apply(eventlog.Record{Index: l.s.Index + 1}, again); void != "" || err != nil {
			b.Fatal(void, err)
		}
		events += drive(b, l)
	}
	for b.Loop() {
		l.s.Hash()
	}
	b.ReportMetric(float64(events), "events")
}
