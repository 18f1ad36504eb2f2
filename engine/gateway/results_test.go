package gateway_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/gateway/gatewaytest"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
	"quorate/nodeagent/wire"
)

// BenchmarkResults is six agents with a thousand steps of one job each, over
// loopback QUIC and an embedded log with real syncs: with reports of what ended
// only, with those of what has begun before them, and with pings as well.
func BenchmarkResults(b *testing.B) {
	for _, v := range []struct {
		name         string
		began, pings bool
	}{{"ends", false, false}, {"began", true, false}, {"began+pings", true, true}} {
		b.Run(v.name, func(b *testing.B) { benchmarkResults(b, v.began, v.pings) })
	}
}

func benchmarkResults(b *testing.B, began, pings bool) {
	dir := b.TempDir()
	log := gatewaytest.Must(eventlog.OpenEmbedded(dir))
	b.Cleanup(func() { log.Close() })
	rig := gatewaytest.Start(b, gatewaytest.Options{Log: log})
	var names []string
	ctx, cancel := context.WithCancelCause(b.Context())
	defer cancel(errStop)
	for i := range 6 {
		names = append(names, fmt.Sprintf("n%d", i))
		link, err := rig.Enrol(b, names[i]).Connect(ctx, &wire.Hello{Version: "test", JournalID: "journal of " + names[i], BootID: "b"})
		if err != nil {
			b.Fatal(err)
		}
		defer link.Close()
		asked := time.Now()
		link.ServeOn(b, func(d *wire.Dispatch, step *wire.Step) (reports []wire.Report) {
			if pings && time.Since(asked) >= 100*time.Millisecond { // five times as often as agents do
				asked = time.Now()
				_ = wire.WriteMessage(link.Control, &wire.Ping{})
			}
			if began {
				reports = append(reports, wire.Report{Attempt: d.Attempt, Began: true})
			}
			return append(reports, gatewaytest.Succeed(d.Attempt, step)...)
		})
	}
	var tasks []gatewaytest.Task
	for i := range 1000 {
		tasks = append(tasks, gatewaytest.Task{ID: fmt.Sprintf("svc-%04d", i), Jobs: 1})
	}
	plan := rig.Plan(b, names, tasks...)
	rig.Record(b, plan)
	for b.Loop() {
		id, err := rig.O.CreateRun(b.Context(), orchestrator.RunRequest{PlanID: plan.ID(), RequestID: rig.RequestID()})
		if err != nil {
			b.Fatal(err)
		}
		if status := rig.UntilEnded(b, id); status != "succeeded" {
			b.Fatal(status)
		}
	}
	b.ReportMetric(6000*float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
}

// BenchmarkConnect is what a second connection, kept warm, would save an agent: the
// handshake, the Hello and the record of the new connection.
func BenchmarkConnect(b *testing.B) {
	dir := b.TempDir()
	log := gatewaytest.Must(eventlog.OpenEmbedded(dir))
	b.Cleanup(func() { log.Close() })
	rig := gatewaytest.Start(b, gatewaytest.Options{Log: log})
	agent := rig.Enrol(b, "n1")
	often := engine.Damping{HalfLife: engine.HalfLifeMin, Threshold: engine.FlapThresholdMax}
	if err := rig.O.SetDamping(b.Context(), often, orchestrator.Change{RequestID: rig.RequestID(), By: "bench"}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		link, err := agent.Connect(b.Context(), agent.Hello())
		if err != nil {
			b.Fatal(err)
		}
		link.Close()
	}
}
