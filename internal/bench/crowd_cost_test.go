package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"quorate/internal/soak/lab"
)

// A footprint is what a process holds.
type footprint struct {
	resident, heap, stacks float64 // bytes
	goroutines             float64
	cpu                    time.Duration
}

// idle reports what a connection costs that nothing goes over. The orchestrators start
// anew with all agents on record, and are compared without any of them connected and
// with all; it also reports how many agents connect in a second when all start at once.
func (s *site) idle(report reported) {
	s.Helper()
	if err := s.crowd.Stop(); err != nil {
		s.Fatal(err)
	}
	for _, server := range s.l.Servers() {
		if err := server.Stop(); err != nil {
			s.Fatal(err)
		}
	}
	for _, server := range s.l.Servers() {
		if err := server.Start(); err != nil {
			s.Fatal(err)
		}
	}
	for _, server := range s.l.Servers() {
		if err := s.l.Serving(s.Context(), server); err != nil {
			s.Fatal(err)
		}
	}
	<-time.After(crowdRest)
	without := s.footprints()
	began := time.Now()
	if err := s.crowd.Start(); err != nil {
		s.Fatal(err)
	}
	s.connected()
	agents := float64(len(s.names))
	report(agents/s.last(began, "connected").Sub(began).Seconds(), "connects/s")
	spent, err := s.crowd.CPU()
	if err != nil {
		s.Fatal(err)
	}
	after := s.footprints()
	report(1000*spent.Seconds()/agents, "start-agent-CPU-ms")
	report(1000*(after.cpu-without.cpu).Seconds()/agents, "connect-CPU-ms")
	s.even()
	<-time.After(crowdRest)
	before, crowdBefore := s.footprints(), s.crowdCPU()
	window := time.Now()
	<-time.After(crowdRest)
	with := s.footprints()
	elapsed := time.Since(window).Seconds()
	report(100*(with.cpu-before.cpu).Seconds()/elapsed, "idle-CPU-%")
	report(100*(s.crowdCPU()-crowdBefore).Seconds()/elapsed, "idle-agents-CPU-%")
	report((with.resident-without.resident)/agents/1024, "connection-KiB")
	report((with.heap-without.heap)/agents/1024, "connection-heap-KiB")
	report((with.stacks-without.stacks)/agents/1024, "connection-stack-KiB")
	report((with.goroutines-without.goroutines)/agents, "connection-goroutines")
	held, err := s.crowd.Memory()
	if err != nil {
		s.Fatal(err)
	}
	report(float64(held)/agents/1024, "agent-KiB")
}

func (s *site) crowdCPU() time.Duration {
	s.Helper()
	used, err := s.crowd.CPU()
	if err != nil {
		s.Fatal(err)
	}
	return used
}

// footprints adds up what all orchestrators hold.
func (s *site) footprints() (sum footprint) {
	s.Helper()
	for _, server := range s.l.Servers() {
		f, err := footprintOf(s.Context(), server)
		if err != nil {
			s.Fatal(err)
		}
		sum.resident, sum.heap, sum.stacks = sum.resident+f.resident, sum.heap+f.heap, sum.stacks+f.stacks
		sum.goroutines, sum.cpu = sum.goroutines+f.goroutines, sum.cpu+f.cpu
	}
	return sum
}

// footprintOf asks the process and its metrics.
func footprintOf(ctx context.Context, server *lab.Server) (f footprint, err error) {
	resident, err := server.Memory()
	if err != nil {
		return f, err
	}
	if f.cpu, err = server.CPU(); err != nil {
		return f, err
	}
	f.resident = float64(resident)
	text, err := metrics(ctx, server)
	if err != nil {
		return f, err
	}
	for name, to := range map[string]*float64{
		"go_memstats_heap_inuse_bytes": &f.heap, "go_memstats_stack_inuse_bytes": &f.stacks, "go_goroutines": &f.goroutines,
	} {
		_, rest, found := strings.Cut(text, "\n"+name+" ")
		if _, err := fmt.Sscan(rest, to); err != nil || !found {
			return f, fmt.Errorf("metrics of %s have no %s: %w", server.Name(), name, err)
		}
	}
	return f, nil
}

// metrics reads /metrics over the socket for local administrators.
func metrics(ctx context.Context, server *lab.Server) (string, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(server.Dir, "quorate.sock"))
	}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://local/metrics", nil)
	if err != nil {
		return "", err
	}
	answer, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("metrics of %s: %s", server.Name(), answer.Status)
	}
	return string(text), err
}

// spawnTimes is how long a plain Go loop takes to spawn a script so often, its output
// captured, floorWorkers at a time.
func spawnTimes(tb testing.TB, spawns int, script string) time.Duration {
	tb.Helper()
	began := time.Now()
	work := make(chan struct{})
	var workers sync.WaitGroup
	for range floorWorkers {
		workers.Go(func() {
			for range work {
				var out bytes.Buffer
				cmd := exec.Command("/bin/sh", "-c", script)
				cmd.Stdout, cmd.Stderr = &out, &out
				if err := cmd.Run(); err != nil {
					tb.Errorf("floor: %v", err)
				}
			}
		})
	}
	for range spawns {
		work <- struct{}{}
	}
	close(work)
	workers.Wait()
	return time.Since(began)
}

// sorted returns the times in order.
func sorted(times map[string]time.Duration) []time.Duration {
	return slices.Sorted(maps.Values(times))
}
