package bench

import (
	"fmt"
	"testing"
	"time"

	"quorate/engine/api"
	"quorate/internal/soak"
	"quorate/internal/soak/lab"
)

// What BenchmarkMemory measures with.
const (
	idleWindow = 30 * time.Second
	eventsMany = 1_000_000
	jobsOfRun  = 1000 // on each agent
)

// BenchmarkMemory reports what the orchestrators of a cluster of three with six
// agents take: resident memory and CPU of each in idleWindow without work, and
// again after a million events. The worst of the three counts.
func BenchmarkMemory(b *testing.B) {
	l := startLab(b, lab.Options{Orchestrators: 3, Agents: agents})
	settled(b, l)
	for b.Loop() {
		rss, cpu := idle(b, l)
		b.ReportMetric(rss, "idle-MiB")
		b.ReportMetric(cpu, "idle-CPU-%")
		began := time.Now()
		events := many(b, l)
		b.ReportMetric(float64(events)/time.Since(began).Seconds(), "events/s")
		rss, cpu = idle(b, l)
		b.ReportMetric(rss, "million-MiB")
		b.ReportMetric(cpu, "million-CPU-%")
		b.ReportMetric(restart(b, l).Seconds(), "restart-s")
		rss, _ = idle(b, l)
		b.ReportMetric(rss, "restarted-MiB")
	}
}

// idle waits and returns the most that an orchestrator takes: MiB, and percent of
// one processor.
func idle(b *testing.B, l *lab.Lab) (rss, cpu float64) {
	b.Helper()
	<-time.After(5 * time.Second) // what was under way is done
	before := map[string]time.Duration{}
	for _, s := range l.Servers() {
		used, err := s.CPU()
		if err != nil {
			b.Fatal(err)
		}
		before[s.Name()] = used
	}
	<-time.After(idleWindow)
	for _, s := range l.Servers() {
		used, err := s.CPU()
		if err != nil {
			b.Fatal(err)
		}
		bytes, err := s.Memory()
		if err != nil {
			b.Fatal(err)
		}
		rss = max(rss, float64(bytes)/(1<<20))
		cpu = max(cpu, 100*(used-before[s.Name()]).Seconds()/idleWindow.Seconds())
	}
	return rss, cpu
}

// many puts a million events on record: results of jobs, whose success the agents
// remember, so that they come as fast as the log takes them.
func many(b *testing.B, l *lab.Lab) uint64 {
	b.Helper()
	task := soak.Task{Name: "t"}
	for range jobsOfRun {
		task.Jobs = append(task.Jobs, "true")
	}
	d := record(b, l, "many", hosts(l), []soak.Task{task})
	client := local(b, l.Servers()[0])
	for n := 0; ; n++ {
		status, err := l.Servers()[0].Status(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if status.Seq >= eventsMany {
			return status.Seq
		}
		run, err := client.CreateRun(b.Context(), api.RunSubmit{PlanID: d.PlanID, RequestID: fmt.Sprintf("many-%d", n)})
		if err != nil {
			b.Fatal(err)
		}
		ended(b, client, run.ID)
	}
}

// restart stops all orchestrators and returns how long it takes from their start
// until one leads and all answer.
func restart(b *testing.B, l *lab.Lab) time.Duration {
	b.Helper()
	for _, s := range l.Servers() {
		if err := s.Stop(); err != nil {
			b.Fatal(err)
		}
	}
	began := time.Now()
	for _, s := range l.Servers() {
		if err := s.Start(); err != nil {
			b.Fatal(err)
		}
	}
	settled(b, l)
	return time.Since(began)
}
