package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"quorate/engine/api"
	"quorate/internal/bench/crowd"
	"quorate/internal/soak"
	"quorate/internal/soak/lab"
)

// What BenchmarkCrowd and TestCrowd measure with.
const (
	crowdAgents        = 2000
	crowdProcesses     = 8
	crowdAgentsTest    = 200
	crowdProcessesTest = 2
	crowdJobs          = 5 // of each agent while a gateway is killed
	crowdRest          = 20 * time.Second
	crowdSample        = 250 * time.Millisecond
	crowdPatience      = 5 * time.Minute
	crowdVariable      = "QUORATE_CROWD"
	tokensAtOnce       = 16
)

// BenchmarkCrowd connects 2,000 agents, all of one address, to three orchestrators,
// and reports what a connection costs these in memory, goroutines and time; how long one
// job on all agents takes, beside the floor of as many spawns; and what becomes of a run
// when an orchestrator is killed in the middle of it and all its agents connect to the
// others at once: first one that does not lead, then the leader.
func BenchmarkCrowd(b *testing.B) {
	for b.Loop() {
		s := newSite(b, crowdAgents, crowdProcesses)
		report := func(v float64, unit string) {
			b.ReportMetric(v, unit)
			b.Logf("%.4g %s", v, unit) // also where something later fails
		}
		s.enrol(report)
		s.idle(report)
		s.oneJob(report)
		s.storm("follower", report)
		<-time.After(fleetRest)
		s.storm("leader", report)
	}
}

// TestCrowd kills gateways of 200 agents while these work, and wants no job and no
// report lost or repeated. What it measures it only tells.
func TestCrowd(t *testing.T) {
	if os.Getenv(crowdVariable) == "" {
		t.Skipf("it takes half a minute: run it with %s=1", crowdVariable)
	}
	s := newSite(t, crowdAgentsTest, crowdProcessesTest)
	tell := func(v float64, what string) { t.Logf("%s: %.4g", what, v) }
	s.enrol(tell)
	s.storm("follower", tell)
	s.storm("leader", tell)
}

// reported takes a figure, as [testing.B.ReportMetric] does.
type reported func(value float64, unit string)

// A site is a cluster of three and a crowd of agents behind one address.
type site struct {
	testing.TB
	l       *lab.Lab
	crowd   *agentProcesses
	client  *api.Client // of all orchestrators
	names   []string
	effects string // the directory where jobs leave their traces
	runs    int
}

func newSite(tb testing.TB, agents, processes int) *site {
	tb.Helper()
	s := &site{TB: tb, l: startLab(tb, lab.Options{Orchestrators: 3})}
	s.client = anyone(tb, s.l)
	s.effects = filepath.Join(s.l.Dir, "effects")
	if err := os.Mkdir(s.effects, 0o700); err != nil {
		tb.Fatal(err)
	}
	spec := crowd.Spec{Agents: s.tokens(agents)}
	for _, m := range spec.Agents {
		s.names = append(s.names, m.Name)
	}
	for _, server := range s.l.Servers() {
		spec.Servers = append(spec.Servers, server.AgentAddress())
	}
	if text, err := os.ReadFile("/proc/sys/kernel/sched_autogroup_enabled"); err == nil && string(text) == "1\n" {
		tb.Log("sched_autogroup_enabled is 1: jobs do not stand back behind orchestrators")
	}
	dir := crowdDir(tb)
	c, err := newProcesses(dir, spec, processes)
	if err != nil {
		tb.Fatal(err)
	}
	s.crowd = c
	tb.Cleanup(func() {
		if tb.Failed() {
			s.complain()
		}
		c.Kill()
	})
	return s
}

// crowdDir is where the agents keep their data: in memory where that is possible, since
// agents elsewhere do not share a disk.
func crowdDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "quorate-crowd-")
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return dir
}

// tokens makes a token for each agent.
func (s *site) tokens(agents int) []crowd.Member {
	s.Helper()
	all := make([]crowd.Member, agents)
	failed := make(chan error, tokensAtOnce)
	var makers sync.WaitGroup
	for maker := range tokensAtOnce {
		makers.Go(func() {
			for i := maker; i < agents; i += tokensAtOnce {
				name := fmt.Sprintf("c%04d", i)
				token, err := s.client.CreateToken(s.Context(), api.TokenCreate{Name: name, Role: "agent", TTLSeconds: 3600})
				if err != nil {
					failed <- err
					return
				}
				all[i] = crowd.Member{Name: name, Token: token.Token}
			}
		})
	}
	makers.Wait()
	if len(failed) > 0 {
		s.Fatal(<-failed)
	}
	return all
}

// enrol starts all agents at once and reports how many of them join and connect in a
// second; each makes two handshakes.
func (s *site) enrol(report reported) {
	s.Helper()
	began := time.Now()
	if err := s.crowd.Start(); err != nil {
		s.Fatal(err)
	}
	s.connected()
	report(float64(len(s.names))/s.last(began, "connected").Sub(began).Seconds(), "enrolments/s")
}

// connected waits until all agents are connected, by their own word.
func (s *site) connected() {
	s.Helper()
	err := lab.UntilWithin(s.Context(), crowdPatience, "a connection of each agent", func() bool {
		return len(s.crowd.At()) == len(s.names)
	})
	if err != nil {
		s.Fatal(err)
	}
}

// last is when an agent said a word for the last time.
func (s *site) last(since time.Time, text string) time.Time {
	last := since
	for _, w := range s.crowd.Since(since) {
		if w.Text == text && w.Time.After(last) {
			last = w.Time
		}
	}
	return last
}

// oneJob reports how long a run of one job on each agent takes, from the request to
// the end on record, and the floor: as many spawns by a plain Go loop.
func (s *site) oneJob(report reported) {
	s.Helper()
	plans := []struct {
		name string
		task soak.Task
	}{{"spawn", soak.Task{Name: "t", Jobs: []string{"true"}}}, {"echo", soak.Task{Name: "t", Verb: "ECHO", Jobs: []string{"hello"}}}}
	for _, p := range plans {
		d := record(s, s.l, p.name, s.names, []soak.Task{p.task})
		s.run(d) // gateways and agents have the plan
		var times []time.Duration
		for range 3 {
			began := time.Now()
			s.run(d)
			times = append(times, time.Since(began))
		}
		slices.Sort(times)
		report(times[1].Seconds(), p.name+"-s")
	}
	report(spawnTimes(s, len(s.names), "true").Seconds(), "spawn-floor-s")
}

// run runs a deployment to its end, which has to be success on every agent.
func (s *site) run(d *soak.Deployment) {
	s.Helper()
	s.succeeded(d, s.start(d).ID)
}

func (s *site) start(d *soak.Deployment) *api.Run {
	s.Helper()
	s.runs++
	return startRun(s, s.client, d, fmt.Sprintf("%s-%d", d.Name, s.runs))
}

func (s *site) succeeded(d *soak.Deployment, id uint64) {
	s.Helper()
	run := ended(s, s.client, id)
	if run.Status != "succeeded" || run.Summary.Succeeded != len(s.names) {
		s.Fatalf("%s: run %d is %s with %d of %d steps succeeded, %d unknown",
			d.Name, id, run.Status, run.Summary.Succeeded, len(s.names), run.Summary.Unknown)
	}
}

// complain shows what agents said most when something went wrong.
func (s *site) complain() {
	count, sample := map[string]int{}, map[string]string{}
	for _, w := range s.crowd.Since(time.Time{}) {
		count[w.Text]++
		sample[w.Text] = w.Agent + ": " + w.Error
	}
	for text, n := range count {
		s.Logf("agents said %d times: %s (%s)", n, text, sample[text])
	}
	if missing := len(s.names) - len(s.crowd.At()); missing > 0 {
		s.Logf("%d agents are not connected", missing)
	}
}
