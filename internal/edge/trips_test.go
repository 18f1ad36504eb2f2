package edge

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"quorate/internal/soak/lab"
)

// roundTrip is the link's in the tests of what takes how long.
const roundTrip = 300 * time.Millisecond

// withLossMost is the limit of what a command takes where packets are lost.
const withLossMost = 1500 * time.Millisecond

// TestRoundTrips prints how long commands take whose jobs run at the far end of 300
// ms, beside what as many spawns take on this machine in the same run: make edge is where
// the figures of docs/edge.md come from. Their medians may not be worse than a limit.
func TestRoundTrips(t *testing.T) {
	if !full() {
		t.Skip("what takes how long is printed by make edge")
	}
	const rounds = 10
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("load %s", load)
	fmt.Println("| what | loss each way | median s | best s | worst s | spawns s | above them s | round trips | CPU s of agent, orchestrator | link KB there, back | packets there, back |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|")
	for _, loss := range []float64{0, 0.02} {
		s := newSite(t, 1, 1, Conditions{Delay: roundTrip / 2, Loss: loss})
		const job = "echo hello world"
		for _, work := range []struct {
			name  string
			count int
			// most is the limit without loss, of what is above the spawns where that is so.
			most  time.Duration
			above bool
			args  []string
		}{
			{"100 jobs of one task", 100, 700 * time.Millisecond, false, s.writeJobs("jobs", 100, job)},
			{"100 independent tasks", 100, 700 * time.Millisecond, false, s.writeTasks("independent", s.Agents()[0].Name(), 100, false, func(int) string { return job })},
			{"a chain of 100 tasks", 100, 800 * time.Millisecond, false, s.writeTasks("chain", s.Agents()[0].Name(), 100, true, func(int) string { return job })},
			{"a chain of 1000 tasks", 1000, 2 * roundTrip, true, s.writeTasks("long", s.Agents()[0].Name(), 1000, true, func(int) string { return job })},
		} {
			var took, floors []time.Duration
			s.lap(work.args...) // the first one may find a connection that is new
			there, back := s.links[0].Counts()
			agent, server := s.spent(s.Agents()[0].Process), s.spent(s.Servers()[0].Process)
			for range rounds {
				floors = append(floors, spawnFloor(t, work.count, job))
				took = append(took, s.lap(work.args...))
			}
			there2, back2 := s.links[0].Counts()
			agent, server = (s.spent(s.Agents()[0].Process)-agent)/rounds, (s.spent(s.Servers()[0].Process)-server)/rounds
			slices.Sort(took)
			slices.Sort(floors)
			median, floor := took[rounds/2], floors[rounds/2]
			fmt.Printf("| %s | %.0f %% | %.2f | %.2f | %.2f | %.2f | %.2f | %.1f | %.2f, %.2f | %.1f, %.1f | %d, %d |\n",
				work.name, 100*loss, median.Seconds(), took[0].Seconds(), took[rounds-1].Seconds(), floor.Seconds(),
				(median - floor).Seconds(), float64(median-floor)/float64(roundTrip), agent.Seconds(), server.Seconds(),
				float64(there2.Bytes-there.Bytes)/rounds/1e3, float64(back2.Bytes-back.Bytes)/rounds/1e3,
				(there2.Packets-there.Packets)/rounds, (back2.Packets-back.Packets)/rounds)
			if work.above {
				median -= floor
			}
			if loss > 0 {
				work.most = max(work.most, withLossMost)
			}
			if median > work.most {
				t.Errorf("%s took %v with %.0f %% of loss, want %v at most (above its spawns: %t)", work.name, median, 100*loss, work.most, work.above)
			}
		}
		s.close()
	}
	fmt.Println(strings.TrimSpace(peers))
}

// spent is the time that a process has been on a processor.
func (s *site) spent(p *lab.Process) time.Duration {
	s.t.Helper()
	d, err := p.CPU()
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// peers is what the others take for 100 jobs on such a link, measured on a machine of
// the same size.
const peers = `
| Directord, all jobs sent at once | 0 %, 2 % | 2.1, 3.1 |
| Directord, one at a time | 0 %, 2 % | 49.9, 57.4 |
| Ansible, ssh, pipelining | 0 %, 2 % | 159, 209 |
`
