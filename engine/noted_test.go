package engine

import (
	"fmt"
	"slices"
	"testing"

	"quorate/eventlog"
)

// behindRoot is a task and so many that wait for it on the same host.
func behindRoot(n int) []eventlog.PlanTask {
	tasks := make([]eventlog.PlanTask, n+1)
	for i := range n {
		tasks[i+1].Requires = sameHost(0)
	}
	return tasks
}

func sendsAhead(e *eventlog.RunCreated) { e.AheadMax = 100 }

// TestNotedHaveAPlace: of the steps behind one that is under way only the one that takes
// its place is of interest, until that is given back.
func TestNotedHaveAPlace(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.agent("h0")
	r := l.run(plan(1, behindRoot(3)...), sendsAhead)
	wantDecided(t, l, "schedule 0@0 from 0; schedule 1@0 from 0")
	if n := len(r.queue.noted); n != 0 {
		t.Errorf("%d steps are noted that have no place to take", n)
	}
	l.end(r, 1, 0, eventlog.NotStarted)
	wantDecided(t, l, "schedule 2@0 from 0")
	if n := len(r.queue.noted); n != 0 {
		t.Errorf("%d steps are noted behind the one that took the place", n)
	}
}

// TestNotedOfASlowHost: what is over and done with on other hosts takes no room, however
// long one host keeps what waits there.
func TestNotedOfASlowHost(t *testing.T) {
	t.Parallel()
	const steps = 300
	l := newLab(t)
	l.agent("h0")
	l.agent("h1")
	tasks := behindRoot(steps)
	for i := 2; i <= steps; i++ {
		tasks[i].Requires = sameHost(uint32(i) - 1)
	}
	r := l.run(plan(2, tasks...), func(e *eventlog.RunCreated) { e.AheadMax = 4 })
	for l.decide(); r.Tasks[steps].tally[Done] == 0; l.decide() {
		before := r.Counts.Succeeded
		for i := range r.Tasks {
			if r.Step(uint32(i), 1).Status == Running {
				l.end(r, uint32(i), 1, eventlog.Succeeded)
			}
		}
		if r.Counts.Succeeded == before {
			t.Fatal("the run does not go on")
		}
		if err := recount(l.s); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.queue.ahead); n > notedSpare+len(r.queue.noted)*2 || n > steps/2 {
		t.Errorf("%d entries are left, %d steps are noted", n, len(r.queue.noted))
	}
}

// TestRemaining: once 64 steps of a task are left they are known without a search, and
// what comes behind them on the site is sent to wait for no more than these.
func TestRemaining(t *testing.T) {
	t.Parallel()
	const hosts = elsewhereMax + 6
	l, r := siteLab(t, hosts, plan(hosts, eventlog.PlanTask{}, eventlog.PlanTask{Requires: all(0)}))
	l.decide()
	for pos := range hosts - 1 {
		l.end(r, 0, pos, eventlog.Succeeded)
		if known := len(r.Tasks[0].rest) > 0; known != (r.left(0) <= elsewhereMax) {
			t.Fatalf("%d steps are left, known %v", r.left(0), known)
		}
		l.decide()
		want := []int{}
		for k := pos + 1; k < hosts; k++ {
			want = append(want, k)
		}
		if got := slices.Collect(r.remaining(0)); r.left(0) <= elsewhereMax && fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%v remain, should be %v", got, want)
		}
		if err := recount(l.s); err != nil {
			t.Fatal(err)
		}
	}
	ahead := 0
	for pos := range hosts {
		a := l.s.Attempts[r.Step(1, pos).Attempt]
		if a == nil {
			continue
		}
		ahead++
		if n := l.s.elsewhere(a.Agent, a.After); n > elsewhereMax {
			t.Errorf("the step on host %d waits for %d others", pos, n)
		}
	}
	if ahead != elsewhereMax {
		t.Errorf("%d steps were sent ahead behind %d", ahead, elsewhereMax)
	}
	if again := recoded(t, l.s); len(again.Decide()) != len(l.s.Decide()) {
		t.Error("a state that was read goes on in another way")
	}
}
