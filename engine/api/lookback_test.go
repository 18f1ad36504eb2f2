package api

import (
	"context"
	"fmt"
	"testing"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/planner"
)

// ran is a state behind a run of so many tasks on so many hosts, and the question for them.
func ran(t testing.TB, hosts, tasks int) (*engine.State, StepsQuery) {
	t.Helper()
	s := engine.NewState()
	add := func(e eventlog.Event) {
		index := s.Index + 1
		if void, err := s.Apply(eventlog.Record{Index: index, Time: int64(index)}, e); err != nil || void != "" {
			t.Fatal(err, void)
		}
	}
	add(&eventlog.ClusterCreated{ClusterID: "c"})
	add(&eventlog.LeaderEstablished{Replica: 1})
	plan := &eventlog.PlanRecorded{PlanID: "p", HostSets: [][]uint32{nil}}
	ask := StepsQuery{HostSets: [][]uint32{nil}}
	set := uint32(0)
	for h := range hosts {
		name := fmt.Sprintf("h%d", h)
		add(&eventlog.TokenCreated{TokenHash: name, Name: name, Role: "agent"})
		add(&eventlog.AgentEnrolled{TokenHash: name, Name: name, KeyDigest: name, JournalID: name})
		plan.Hosts, plan.HostSets[0] = append(plan.Hosts, name), append(plan.HostSets[0], uint32(h))
		ask.HostSets[0] = append(ask.HostSets[0], uint32(h))
	}
	ask.Hosts = plan.Hosts
	for i := range tasks {
		id := fmt.Sprintf("t%d", i)
		plan.Tasks = append(plan.Tasks, eventlog.PlanTask{ID: id, Driver: string(planner.DriverDirectord), Jobs: 1})
		ask.Tasks = append(ask.Tasks, TaskQuery{ID: id, HostSet: &set})
	}
	add(plan)
	add(&eventlog.RunCreated{PlanID: "p", StepsMax: 1 << 20})
	for s.Runs[0].Outcome == 0 {
		from := s.Index + 1
		for _, e := range s.Decide() {
			add(e)
		}
		for id, until := from, s.Index; id <= until; id++ {
			if s.Attempts[id] != nil {
				add(&eventlog.JobEnded{Attempt: id, Outcome: eventlog.Succeeded, Changed: true})
				add(&eventlog.AttemptEnded{Attempt: id, Outcome: eventlog.Succeeded})
			}
		}
	}
	return s, ask
}

// TestLookBackLetsTheLogGoOn: a large run is looked through in parts, and nothing of it is
// left out.
func TestLookBackLetsTheLogGoOn(t *testing.T) {
	const hosts, tasks = 900, 50
	s, ask := ran(t, hosts, tasks)
	l, err := newLookBack(&ask)
	if err != nil {
		t.Fatal(err)
	}
	views, before := 0, 0
	known := func() (n int) {
		for i := range l.left {
			n += hosts - l.left[i]
		}
		return n
	}
	counts := l.through(t.Context(), func(f func(*engine.State)) {
		views++
		f(s)
		if n := known(); n-before >= stepsAtOnceMax+hosts {
			t.Errorf("view %d looked at %d steps", views, n-before)
		}
		before = known()
	}, 1)
	if !counts || l.open != 0 || views < hosts*tasks/stepsAtOnceMax {
		t.Errorf("%d views, %d tasks with steps of which nothing is known", views, l.open)
	}
	for i, past := range l.answer() {
		if len(past) != 1 || past[0].Run != 1 || past[0].Status != "succeeded" || !past[0].Changed || past[0].Hosts != nil {
			t.Errorf("task %d: %+v", i, past)
		}
	}
	l, _ = newLookBack(&ask)
	ended, cancel := context.WithCancel(t.Context())
	l.through(ended, func(f func(*engine.State)) { f(s); cancel() }, 1)
	if n := known(); n == 0 || n == hosts*tasks {
		t.Errorf("%d steps were looked at for somebody who left after the first view", n)
	}
}

// BenchmarkLookBack is what is on record of 1,000 tasks on 1,000 hosts, in one run.
func BenchmarkLookBack(b *testing.B) {
	s, ask := ran(b, 1000, 1000)
	for b.Loop() {
		l, err := newLookBack(&ask)
		if err != nil {
			b.Fatal(err)
		}
		l.through(b.Context(), func(f func(*engine.State)) { f(s) }, 1)
		if l.open != 0 {
			b.Fatal("steps are not known")
		}
	}
}
