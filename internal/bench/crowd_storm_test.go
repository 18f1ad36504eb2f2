package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"quorate/engine/api"
	"quorate/internal/soak"
	"quorate/internal/soak/lab"
)

// storm kills an orchestrator, the leader or a follower, while a run is under way on
// all agents, so that those that it served connect to the others at once. The run has to
// succeed with each job done and recorded once. It reports how long the agents are
// without a gateway, what that takes of the survivors, and how long it takes until agents
// are spread evenly after the orchestrator has come back.
func (s *site) storm(who string, report reported) {
	s.Helper()
	dir := filepath.Join(s.effects, who)
	if err := os.Mkdir(dir, 0o700); err != nil {
		s.Fatal(err)
	}
	task := soak.Task{Name: "t"}
	for range crowdJobs {
		task.Jobs = append(task.Jobs, fmt.Sprintf(`echo "$QUORATE_ATTEMPT $QUORATE_JOB" >> %s/$QUORATE_HOST`, dir))
	}
	d := record(s, s.l, who, s.names, []soak.Task{task})
	victim := s.victim(who == "leader")
	var survivors []*lab.Server
	for _, server := range s.l.Servers() {
		if server != victim {
			survivors = append(survivors, server)
		}
	}
	elections := s.elections(survivors[0])
	run := s.start(d)
	err := lab.UntilWithin(s.Context(), crowdPatience, "work under way", func() bool {
		done, err := os.ReadDir(dir)
		return err == nil && len(done) >= len(s.names)/4
	})
	if err != nil {
		s.Fatal(err)
	}
	took := s.watch(survivors)
	orphans := map[string]bool{}
	for agent, server := range s.crowd.At() {
		if server == victim.AgentAddress() {
			orphans[agent] = true
		}
	}
	killed := time.Now()
	victim.Kill()
	times := s.back(killed, victim, orphans)
	taken := took()
	s.succeeded(d, run.ID)
	over := time.Since(killed)
	s.judge(who, run.ID, dir, report)
	for i, name := range []string{"median", "worst"} {
		report(times[i].Seconds(), who+"-back-"+name+"-s")
	}
	report(float64(len(orphans)), who+"-orphans")
	report(over.Seconds(), who+"-run-s")
	report(taken.cpu.Seconds(), who+"-survivor-CPU-s")
	report(taken.resident/(1<<20), who+"-survivor-peak-MiB")
	report(taken.goroutines, who+"-survivor-peak-goroutines")
	report(float64(s.elections(survivors[0])-elections), who+"-elections")
	report(float64(s.strayed(killed, orphans)), who+"-strayed")
	began := time.Now()
	if err := victim.Start(); err != nil {
		s.Fatal(err)
	}
	s.even()
	report(time.Since(began).Seconds(), who+"-even-s")
}

// victim is the leader, or an orchestrator that does not lead.
func (s *site) victim(leads bool) *lab.Server {
	s.Helper()
	var leader *lab.Server
	if err := s.l.Until(s.Context(), "a leader", func() bool { leader = s.l.Leader(s.Context()); return leader != nil }); err != nil {
		s.Fatal(err)
	}
	for _, server := range s.l.Servers() {
		if (server == leader) == leads {
			return server
		}
	}
	return nil
}

// elections counts the leaders that a running orchestrator's log knows of.
func (s *site) elections(server *lab.Server) (n int) {
	s.Helper()
	for _, err := range local(s, server).Log(s.Context(), api.LogQuery{Kind: "leader_established"}) {
		if err != nil {
			s.Fatal(err)
		}
		n++
	}
	return n
}

// watch begins to watch what orchestrators take; the function that it returns tells the
// most that one of them took since. Goroutines are counted from time to time.
func (s *site) watch(servers []*lab.Server) (took func() footprint) {
	s.Helper()
	used := make([]time.Duration, len(servers))
	for i, server := range servers {
		var err error
		if used[i], err = server.CPU(); err != nil {
			s.Fatal(err)
		}
		if err := server.ForgetPeak(); err != nil {
			s.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(s.Context())
	most := make(chan float64, 1)
	go func() { most <- goroutines(ctx, servers) }()
	s.Cleanup(cancel)
	return func() (all footprint) {
		for i, server := range servers {
			now, err := server.CPU()
			if err != nil {
				s.Fatal(err)
			}
			peak, err := server.MemoryPeak()
			if err != nil {
				s.Fatal(err)
			}
			all.cpu, all.resident = max(all.cpu, now-used[i]), max(all.resident, float64(peak))
		}
		cancel()
		all.goroutines = <-most
		return all
	}
}

// goroutines is the most that one of the orchestrators had until the context ended, as
// far as they have answered.
func goroutines(ctx context.Context, servers []*lab.Server) (most float64) {
	for {
		for _, server := range servers {
			if f, err := footprintOf(ctx, server); err == nil {
				most = max(most, f.goroutines)
			}
		}
		select {
		case <-time.After(crowdSample):
		case <-ctx.Done():
			return most
		}
	}
}

// back waits until all orphans are connected to survivors, and returns how long after
// the kill half of them were, and all. Nobody may have listened since they were counted.
func (s *site) back(killed time.Time, victim *lab.Server, orphans map[string]bool) [2]time.Duration {
	s.Helper()
	home := map[string]time.Duration{}
	err := lab.UntilWithin(s.Context(), crowdPatience, "a new gateway for all orphans", func() bool {
		for _, w := range s.crowd.Listen() {
			if _, known := home[w.Agent]; !known && w.Text == "connected" && orphans[w.Agent] && w.Server != victim.AgentAddress() {
				home[w.Agent] = w.Time.Sub(killed)
			}
		}
		return len(home) == len(orphans)
	})
	if err != nil {
		s.Fatalf("%v: %d of %d are back", err, len(home), len(orphans))
	}
	times := sorted(home)
	if len(times) == 0 {
		return [2]time.Duration{}
	}
	return [2]time.Duration{times[len(times)/2], times[len(times)-1]}
}

// strayed counts the agents that left a gateway which lived.
func (s *site) strayed(killed time.Time, orphans map[string]bool) int {
	left := map[string]bool{}
	for _, w := range s.crowd.Since(killed) {
		if (w.Text == "connection lost" || w.Text == "the orchestrator is silent") && !orphans[w.Agent] {
			left[w.Agent] = true
		}
	}
	return len(left)
}

// judge compares what jobs did with what is on record of the run: each of them is to be
// there once. It reports the reports that came twice, and so were recorded as void.
func (s *site) judge(who string, run uint64, dir string, report reported) {
	s.Helper()
	effects := s.traces(dir)
	jobs, attempts := map[soak.Place]int{}, map[uint64]int{}
	scheduled, void := 0, 0
	for e, err := range s.client.Log(s.Context(), api.LogQuery{Run: run}) {
		if err != nil {
			s.Fatal(err)
		}
		r := seen{LogEvent: e}
		switch {
		case e.Void && (e.Kind == "job_ended" || e.Kind == "attempt_ended"):
			void++
		case e.Void:
		case e.Kind == "step_scheduled":
			scheduled++
		case e.Kind == "job_ended":
			jobs[soak.Place{Attempt: field(r, "attempt"), Job: uint32(field(r, "job"))}]++
		case e.Kind == "attempt_ended":
			attempts[field(r, "attempt")]++
		}
	}
	want := len(s.names) * crowdJobs
	if len(effects) != want || len(jobs) != want || len(attempts) != len(s.names) || scheduled != len(s.names) {
		s.Errorf("%s: %d effects and %d recorded jobs of %d; %d attempts scheduled and %d ended of %d",
			who, len(effects), len(jobs), want, scheduled, len(attempts), len(s.names))
	}
	for place, n := range effects {
		if n != 1 || jobs[place] != 1 {
			s.Errorf("%s: job %d of attempt %d took effect %d times and is on record %d times", who, place.Job, place.Attempt, n, jobs[place])
		}
	}
	for attempt, n := range attempts {
		if n != 1 {
			s.Errorf("%s: the end of attempt %d is on record %d times", who, attempt, n)
		}
	}
	report(float64(void), who+"-void-reports")
}

// traces reads what the jobs of all agents have left.
func (s *site) traces(dir string) map[soak.Place]int {
	s.Helper()
	count := map[soak.Place]int{}
	for _, name := range s.names {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			s.Error(err)
			continue
		}
		for line := range strings.Lines(string(text)) {
			var p soak.Place
			if _, err := fmt.Sscanf(line, "%d %d\n", &p.Attempt, &p.Job); err != nil {
				s.Errorf("%s left %q: %v", name, line, err)
			}
			count[p]++
		}
	}
	return count
}

// even waits until all agents are connected and no orchestrator serves more than a
// tenth above its share, which is when they stop sending agents to each other.
func (s *site) even() {
	s.Helper()
	fair := (len(s.names) + 2) / 3
	var last string
	err := lab.UntilWithin(s.Context(), crowdPatience, "agents spread evenly", func() bool {
		cluster, err := s.l.Servers()[0].Cluster(s.Context())
		if err != nil {
			last = err.Error()
			return false
		}
		total, most := 0, 0
		for _, m := range cluster.Members {
			total, most = total+m.Agents, max(most, m.Agents)
		}
		last = fmt.Sprintf("%d agents, %d with one", total, most)
		return total == len(s.names) && most <= fair+fair/10
	})
	if err != nil {
		s.Fatal(err, last)
	}
	s.connected()
}
