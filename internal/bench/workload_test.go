// Package bench measures the whole product: the real binary, as processes,
// against the floor that the machine sets in the same run.
package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"quorate/engine/api"
	"quorate/internal/soak/lab"
)

const (
	agents       = 6
	jobsPerAgent = 1000
	floorWorkers = 8
)

// BenchmarkWorkload runs `RUN: echo hello world` 1000 times on each of six
// agents, every dispatch and result durable on a majority of the orchestrators,
// and reports the wall time as a ratio to a plain Go loop of the same 6000 spawns,
// measured before and after it. With several orchestrators it reports how often
// the leader changed: nothing dies, so that every change is a false alarm.
func BenchmarkWorkload(b *testing.B) {
	for _, orchestrators := range []int{1, 3, 5} {
		b.Run(fmt.Sprintf("orchestrators=%d", orchestrators), func(b *testing.B) {
			l := startLab(b, lab.Options{Orchestrators: orchestrators, Agents: agents})
			file := orchestration(b, l)
			before := leaders(b, l)
			var floor, ours time.Duration
			for b.Loop() {
				floor += spawnFloor(b) / 2
				began := time.Now()
				if _, err := l.Run(b.Context(), l.Servers()[0], "orchestrate", file, "--ignore-cache"); err != nil {
					b.Fatal(err)
				}
				ours += time.Since(began)
				floor += spawnFloor(b) / 2
			}
			b.ReportMetric(floor.Seconds()/float64(b.N), "floor-s")
			b.ReportMetric(ours.Seconds()/float64(b.N), "wall-s")
			b.ReportMetric(ours.Seconds()/floor.Seconds(), "ratio")
			b.ReportMetric(float64(agents*jobsPerAgent*b.N)/ours.Seconds(), "jobs/s")
			b.ReportMetric(float64(leaders(b, l)-before), "elections")
		})
	}
}

// leaders counts the leaders that the log knows of.
func leaders(b testing.TB, l *lab.Lab) int {
	b.Helper()
	n := 0
	for _, err := range local(b, l.Servers()[0]).Log(b.Context(), api.LogQuery{Kind: "leader_established"}) {
		if err != nil {
			b.Fatal(err)
		}
		n++
	}
	return n
}

// BenchmarkOneJob is the time that an operator waits for one job on one warm agent.
func BenchmarkOneJob(b *testing.B) {
	for _, orchestrators := range []int{1, 3} {
		b.Run(fmt.Sprintf("orchestrators=%d", orchestrators), func(b *testing.B) {
			l := startLab(b, lab.Options{Orchestrators: orchestrators, Agents: 1})
			for b.Loop() {
				if _, err := l.Run(b.Context(), l.Servers()[0], "exec", "RUN", "--skip-cache echo hello", "--target", "a1"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func orchestration(b *testing.B, l *lab.Lab) string {
	b.Helper()
	var text strings.Builder
	text.WriteString("- name: workload\n  jobs:\n")
	for range jobsPerAgent {
		text.WriteString("    - RUN: echo hello world\n")
	}
	path := filepath.Join(l.Dir, "workload.yaml")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// spawnFloor spawns as often as the workload does, output captured, and nothing else.
func spawnFloor(b *testing.B) time.Duration {
	b.Helper()
	began := time.Now()
	work := make(chan struct{})
	var wg sync.WaitGroup
	for range floorWorkers {
		wg.Go(func() {
			for range work {
				var stdout, stderr bytes.Buffer
				cmd := exec.Command("/bin/sh", "-c", "echo hello world")
				cmd.Stdout, cmd.Stderr = &stdout, &stderr
				if err := cmd.Run(); err != nil || stdout.String() != "hello world\n" {
					b.Errorf("floor: %v, printed %q", err, &stdout)
				}
			}
		})
	}
	for range agents * jobsPerAgent {
		work <- struct{}{}
	}
	close(work)
	wg.Wait()
	return time.Since(began)
}
