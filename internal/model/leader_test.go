package model

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"quorate/eventlog"
	"quorate/planner"
)

// A blow is what happens to the leader.
type blow string

const (
	spared      blow = "spared"
	killed      blow = "killed"
	pausedBlow  blow = "paused"
	partitioned blow = "partitioned"
)

// hundredSteps is a plan of 100 steps over six hosts and a controller: waves of
// tasks that wait for each other host by host or as a whole, some idempotent and
// some not, of one to three jobs.
func hundredSteps() *eventlog.PlanRecorded {
	p := &eventlog.PlanRecorded{PlanID: plainPlan, HostSets: [][]uint32{{0, 1, 2, 3, 4, 5}, {0, 2, 4}, {}}}
	for h := range 6 {
		p.Hosts = append(p.Hosts, fmt.Sprintf("h%d", h))
	}
	task := func(set uint32, driver planner.Driver, needs ...eventlog.PlanDep) {
		i := len(p.Tasks)
		p.Tasks = append(p.Tasks, eventlog.PlanTask{
			ID: fmt.Sprintf("t%d", i), Driver: string(driver), HostSet: set, Jobs: uint32(1 + i%3),
			Idempotent: i%2 == 0, KeepGoing: i%5 == 0, Requires: needs,
		})
	}
	scopes := []planner.Scope{planner.ScopeSameHost, planner.ScopeAll, planner.ScopeAfterSameHost}
	for i := range uint32(15) { // 90 steps
		var needs []eventlog.PlanDep
		if i >= 3 {
			needs = append(needs, eventlog.PlanDep{Task: i - 3, Scope: uint8(scopes[i%3])})
		}
		if i >= 5 && i%4 == 0 {
			needs = append(needs, eventlog.PlanDep{Task: i - 1, Scope: uint8(planner.ScopeSameHost)})
		}
		task(0, planner.DriverDirectord, needs...)
	}
	all := func(t uint32) eventlog.PlanDep {
		return eventlog.PlanDep{Task: t, Scope: uint8(planner.ScopeAll)}
	}
	task(1, planner.DriverDirectord, all(13))      // 93
	task(1, planner.DriverDirectord, all(14))      // 96
	task(2, planner.DriverLocal, all(12))          // 97
	task(2, planner.DriverLocal, all(15), all(17)) // 98
	task(2, planner.DriverPrint, all(16), all(18)) // 99
	task(2, planner.DriverNoop, all(11), all(19))  // 100
	return p
}

// An end is what a run amounts to, without the order of events, indexes and epochs.
type end struct {
	outcome eventlog.Outcome
	steps   string // every step's status
	jobs    string // every job's result
	effects string // how often each job took effect
}

// strike runs the hundred steps, with the blow when the leader has folded the
// record at the index, and returns how they end and how long the log is.
func strike(b blow, at uint64) (*sim, end) {
	w := newSim(1, 3, 6)
	w.faults, w.hashEvery, w.failing = false, 0, 0.03
	w.must(hundredSteps())
	w.must(&eventlog.RunCreated{PlanID: plainPlan, RequestID: "r", AheadMax: 8})
	w.elect()
	var victim *replica
	w.struck = func(r *replica, index uint64) {
		if b == spared || r != w.leader || index < at || victim != nil {
			return
		}
		switch victim = r; b {
		case killed:
			r.die()
		case pausedBlow:
			r.paused = true
		case partitioned:
			r.cut = true
		}
	}
	recovered := 0
	for n := 0; n < 4000 && w.failure == nil; n++ {
		if victim != nil && w.leader == victim || w.leader == nil {
			if w.rng.IntN(3) == 0 {
				w.elect()
			}
		}
		if victim != nil && recovered == 0 {
			recovered = n + 5 + w.rng.IntN(30)
		}
		if victim != nil && n == recovered {
			victim.cut, victim.paused = false, false
			if !victim.up {
				victim.start()
			}
		}
		w.tick()
		if r := w.truth.Runs[0]; r.Outcome != 0 && len(w.proposals) == 0 && n > recovered {
			break
		}
	}
	w.final()
	return w, w.end()
}

// tick lets everyone do a little.
func (w *sim) tick() {
	for _, r := range w.replicas {
		r.follow(1 + w.rng.IntN(12))
		r.lead()
	}
	for range 1 + w.rng.IntN(4) {
		w.commit()
	}
	for _, a := range w.agents {
		if s := a.session; s != nil && (!s.r.up || s.r.paused || s.r.cut) && w.rng.IntN(4) == 0 {
			a.session = nil // no answer: it goes elsewhere
		}
		if a.session == nil {
			if r := w.replicas[w.rng.IntN(len(w.replicas))]; r.up && !r.paused && !r.cut {
				w.dial(a, r)
			}
			continue
		}
		for range w.rng.IntN(6) {
			a.take()
			a.work()
		}
		a.report()
	}
	for _, r := range w.replicas {
		for _, s := range r.sessionsInOrder() {
			s.serve()
		}
	}
}

func (w *sim) end() end {
	r := w.truth.Runs[0]
	e := end{outcome: r.Outcome}
	var steps, jobs, effects strings.Builder
	for i := range r.Tasks {
		for pos, host := range hostsOf(r.Graph, uint32(i)) {
			st := r.Step(uint32(i), pos)
			fmt.Fprintf(&steps, "%d@%d %s %q\n", i, host, st.Status, st.Reason)
			var results []string
			for id := st.Attempt; id != 0; id = w.truth.Attempts[id].Supersedes {
				for j := range w.truth.Attempts[id].Jobs.All() {
					results = append(results, fmt.Sprintf("%d@%d job %d outcome %d changed %v\n", i, host, j.Job, j.Outcome, j.Changed))
				}
			}
			slices.Sort(results)
			jobs.WriteString(strings.Join(results, ""))
			for job := range r.Graph.Tasks[i].Jobs {
				fmt.Fprintf(&effects, "%d@%d job %d: %d\n", i, host, job, w.effects[jobRef{stepRef{1, uint32(i), host}, job}])
			}
		}
	}
	e.steps, e.jobs, e.effects = steps.String(), jobs.String(), effects.String()
	return e
}

// TestLeaderStruckAtEveryIndex strikes the leader of a run of 100 steps once it has
// folded a record, for every record of the undisturbed run. The run has to end the
// same: its outcome, every step's status and reason, every job's result; and every
// job took effect as often, which is once or, behind a failure, never. Indexes,
// epochs, times, and which attempt did what may differ.
func TestLeaderStruckAtEveryIndex(t *testing.T) {
	w, want := strike(spared, 0)
	if w.failure != nil {
		t.Fatal(w.failure)
	}
	if n := w.truth.Runs[0].Counts.Steps; n != 100 {
		t.Fatalf("the plan has %d steps", n)
	}
	if want.outcome == 0 || strings.Contains(want.effects, ": 2\n") || strings.Count(want.effects, ": 1\n") < 100 {
		t.Fatalf("the undisturbed run does not do what it is to show: %+v", want)
	}
	first, last := w.truth.Runs[0].Index, w.head.Index
	every := uint64(1)
	if testing.Short() {
		every = 29
	}
	for _, b := range []blow{killed, pausedBlow, partitioned} {
		t.Run(string(b), func(t *testing.T) {
			runs, changes := 0, 0
			for at := first; at <= last; at += every {
				w, got := strike(b, at)
				if w.failure != nil {
					t.Fatalf("index %d: %v", at, w.failure)
				}
				if got != want {
					t.Fatalf("index %d: the run ends otherwise: %s", at, difference(want, got))
				}
				runs++
				if w.epochs > 1 {
					changes++
				}
			}
			if changes < runs*9/10 {
				t.Errorf("only %d of %d runs had another leader", changes, runs)
			}
			t.Logf("%d indexes, %d to %d: the same end each time; another leader in %d of the runs", runs, first, last, changes)
		})
	}
}

func difference(a, b end) string {
	if a.outcome != b.outcome {
		return fmt.Sprintf("outcome %d, want %d", b.outcome, a.outcome)
	}
	want := strings.Split(a.steps+a.jobs+a.effects, "\n")
	for i, line := range strings.Split(b.steps+b.jobs+b.effects, "\n") {
		if i >= len(want) || line != want[i] {
			return fmt.Sprintf("%q, want %q", line, want[min(i, len(want)-1)])
		}
	}
	return "less happened"
}
