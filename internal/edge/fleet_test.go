package edge

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fleetHosts are more than --parallel is enough for with --parallel-per-host, as both are.
const fleetHosts = 40

// TestFleetRoundTrips prints how long independent tasks take on 40 hosts at the far end
// of 300 ms, where hosts together may have more under way than the run: sent ahead, also
// of a run that fails fast, and a round trip for as many as may be under way. What is
// sent ahead may not take half as long.
func TestFleetRoundTrips(t *testing.T) {
	if !full() {
		t.Skip("what takes how long is printed by make edge")
	}
	const tasks, rounds = 20, 3
	s := newSite(t, 1, fleetHosts, Conditions{Delay: roundTrip / 2})
	var hosts []string
	for _, a := range s.Agents() {
		hosts = append(hosts, a.Name())
	}
	job := func(int) string { return "echo hello world" }
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("load %s", load)
	fmt.Printf("%d hosts, %d independent tasks on each, median, best and worst of %d\n", fleetHosts, tasks, rounds)
	var medians []time.Duration
	for _, flags := range []string{"", "--fail-fast", "--parallel 40", "--ahead 0", "--parallel 40 --ahead 0"} {
		args := s.writeFleet("fleet", hosts, tasks, false, job)
		args = append(args, strings.Fields(flags)...)
		var took []time.Duration
		s.lap(args...)
		for range rounds {
			took = append(took, s.lap(args...))
		}
		slices.Sort(took)
		fmt.Printf("| %s | %.2f | %.2f | %.2f |\n", flags, took[rounds/2].Seconds(), took[0].Seconds(), took[rounds-1].Seconds())
		medians = append(medians, took[rounds/2])
	}
	if medians[2] > medians[4]/2 {
		t.Errorf("sent ahead they took %v, and %v otherwise", medians[2], medians[4])
	}
}

// TestFailFastFar lets one of many tasks fail on one of two hosts at the far end of 300
// ms: there nothing starts behind it, and on the other one nothing once the word of it
// has come, which is on the way for no longer than a round trip.
func TestFailFastFar(t *testing.T) {
	beside(t)
	const tasks = 200
	s := newSite(t, 1, 2, Conditions{Delay: roundTrip / 2})
	hosts := []string{s.Agents()[0].Name(), s.Agents()[1].Name()}
	dir := t.TempDir()
	args := s.writeFleet("hurry", hosts, tasks, false, func(task int) string {
		return fmt.Sprintf("touch %s/$QUORATE_HOST-%d; sleep 0.05; test %d -gt 0 -o $QUORATE_HOST = %s", dir, task, task, hosts[0])
	})
	out, err := s.Run(t.Context(), s.Servers()[0], append(args, "--fail-fast", "--parallel-per-host", "1")...)
	if err == nil {
		t.Fatalf("the run succeeded: %s", out)
	}
	began, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d steps began", len(began), 2*tasks)
	if len(began) >= tasks {
		t.Errorf("%d steps began", len(began))
	}
}
