// Package bench measures the whole product: the real binary, as processes,
// against the floor that the machine sets in the same run.
package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	agents       = 6
	jobsPerAgent = 1000
	floorWorkers = 8
)

// BenchmarkWorkload runs `RUN: echo hello world` 1000 times on each of six
// agents, every dispatch and result durable, through each log, and reports the
// wall time as a ratio to a plain Go loop of the same 6000 spawns, measured
// before and after it.
func BenchmarkWorkload(b *testing.B) {
	bin := filepath.Join(b.TempDir(), "quorate")
	build := exec.Command("go", "build", "-trimpath", "-o", bin, "./cli/quorate")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	for _, log := range []string{"embedded", "raft"} {
		b.Run(log, func(b *testing.B) {
			c := start(b, bin, log)
			file := c.orchestration(b)
			var floor, ours time.Duration
			for b.Loop() {
				floor += spawnFloor(b) / 2
				began := time.Now()
				c.run(b, "orchestrate", file, "--ignore-cache")
				ours += time.Since(began)
				floor += spawnFloor(b) / 2
			}
			b.ReportMetric(floor.Seconds()/float64(b.N), "floor-s")
			b.ReportMetric(ours.Seconds()/float64(b.N), "wall-s")
			b.ReportMetric(ours.Seconds()/floor.Seconds(), "ratio")
			b.ReportMetric(float64(agents*jobsPerAgent*b.N)/ours.Seconds(), "jobs/s")
		})
	}
}

// BenchmarkOneJob is the time that an operator waits for one job on one warm agent.
func BenchmarkOneJob(b *testing.B) {
	bin := filepath.Join(b.TempDir(), "quorate")
	build := exec.Command("go", "build", "-trimpath", "-o", bin, "./cli/quorate")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	c := start(b, bin, "raft")
	for b.Loop() {
		c.run(b, "exec", "RUN", "--skip-cache echo hello", "--target", "n1")
	}
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

// A cluster is one orchestrator and its agents, as processes.
type cluster struct{ bin, dir, server string }

func start(b *testing.B, bin, log string) *cluster {
	b.Helper()
	dir := b.TempDir()
	c := &cluster{bin: bin, dir: dir, server: "unix://" + filepath.Join(dir, "server", "quorate.sock")}
	address := freeUDP(b)
	c.spawn(b, "server", "server", "--data-dir", filepath.Join(dir, "server"), "--listen", address, "--log", log, "--bootstrap")
	c.until(b, "the orchestrator", func() bool { return c.try("agent", "ls") == nil })
	for i := range agents {
		name := fmt.Sprintf("n%d", i+1)
		var token struct{ Token string }
		if err := json.Unmarshal(c.run(b, "token", "create", "--name", name, "-o", "json"), &token); err != nil {
			b.Fatal(err)
		}
		home := filepath.Join(dir, name)
		c.spawn(b, name, "agent", "--server", address, "--token", token.Token, "--data-dir", home, "--work-dir", filepath.Join(home, "root"))
	}
	c.until(b, "the agents", func() bool {
		var list struct{ Agents []struct{ Status string } }
		out, err := c.command("agent", "ls", "-o", "json").Output()
		if err != nil || json.Unmarshal(out, &list) != nil {
			return false
		}
		connected := 0
		for _, a := range list.Agents {
			if a.Status == "connected" {
				connected++
			}
		}
		return connected == agents
	})
	return c
}

func (c *cluster) command(args ...string) *exec.Cmd {
	cmd := exec.Command(c.bin, args...)
	cmd.Env = append(os.Environ(), "QUORATE_SERVER="+c.server)
	return cmd
}

func (c *cluster) try(args ...string) error { return c.command(args...).Run() }

func (c *cluster) run(b *testing.B, args ...string) []byte {
	b.Helper()
	var stdout, stderr bytes.Buffer
	cmd := c.command(args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		b.Fatalf("quorate %s: %v\n%s%s", strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stdout.Bytes()
}

// spawn starts a process that lives as long as the benchmark.
func (c *cluster) spawn(b *testing.B, name string, args ...string) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, c.bin, args...)
	cmd.Env = append(os.Environ(), "QUORATE_SERVER="+c.server)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cancel()
		err := cmd.Wait()
		if b.Failed() {
			b.Logf("%s ended: %v\n%s", name, err, &stderr)
		}
	})
}

// until polls for a condition that a process reaches by itself.
func (c *cluster) until(b *testing.B, what string, ok func() bool) {
	b.Helper()
	deadline := time.After(30 * time.Second)
	for tick := time.NewTicker(20 * time.Millisecond); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			b.Fatalf("%s did not come up in 30 s", what)
		}
	}
}

func (c *cluster) orchestration(b *testing.B) string {
	b.Helper()
	var text strings.Builder
	text.WriteString("- name: workload\n  jobs:\n")
	for range jobsPerAgent {
		text.WriteString("    - RUN: echo hello world\n")
	}
	path := filepath.Join(c.dir, "workload.yaml")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

func freeUDP(b *testing.B) string {
	b.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().String()
}
