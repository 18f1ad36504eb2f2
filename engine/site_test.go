package engine

import (
	"fmt"
	"strings"
	"testing"

	"quorate/eventlog"
)

// siteLab is a lab with hosts of one site, and a run of the plan that sends ahead.
func siteLab(t *testing.T, hosts int, p *eventlog.PlanRecorded, with ...func(*eventlog.RunCreated)) (*lab, *Run) {
	l := newLab(t)
	var names []string
	for h := range hosts {
		names = append(names, fmt.Sprintf("h%d", h))
		l.agent(names[h])
	}
	l.relay("relay", names...)
	return l, l.run(p, append([]func(*eventlog.RunCreated){func(e *eventlog.RunCreated) { e.AheadMax = 100 }}, with...)...)
}

// on is a task of one host, of plan's host sets.
func on(host uint32, requires ...eventlog.PlanDep) eventlog.PlanTask {
	return eventlog.PlanTask{HostSet: 2 + host, Requires: requires}
}

// essence is what a run has come to, but for times and the numbers of records.
func essence(l *lab, r *Run) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%+v, under way %d\n", r.Counts, r.queue.running)
	for i := range r.queue.slots {
		fmt.Fprintf(&b, "slot %d: %d under way, %v ready\n", i, r.queue.slots[i].running, r.queue.slots[i].refs)
	}
	for i := range r.Tasks {
		t := &r.Tasks[i]
		fmt.Fprintf(&b, "task %d: %s, waits for %d, doomed by %d\n", i, t.Status, t.unmet, t.doom)
		for pos := range r.Graph.StepCount(uint32(i)) {
			st := r.Step(uint32(i), pos)
			fmt.Fprintf(&b, "  %d: %s, attempt %d, waits for %d, parked %v\n", pos, st.Status, st.Attempt, st.unmet, st.parked)
			if a := l.s.Attempts[st.Attempt]; a != nil {
				fmt.Fprintf(&b, "  outcome %d, late %d, place %d, heir %d, recalled %v\n", a.Outcome, a.Late, a.place, a.heir, a.Recall && a.Outcome == 0)
			}
		}
	}
	return b.String()
}

// TestSiteChain: a chain of steps on hosts of one site is scheduled at once; of two
// sites, or without one, a step at a time.
func TestSiteChain(t *testing.T) {
	t.Parallel()
	chain := func() *eventlog.PlanRecorded {
		return plan(2, on(0), on(1, all(0)...), on(0, all(1)...), on(1, all(2)...))
	}
	cases := []struct {
		name string
		with func(l *lab)
		want string
	}{
		{"one site", func(l *lab) {}, "schedule 0@0 from 0; schedule 1@1 from 0; schedule 2@0 from 0; schedule 3@1 from 0"},
		{"two sites", func(l *lab) { l.relay("other", "h1") }, "schedule 0@0 from 0"},
		{"one without a relay", func(l *lab) { l.connect("h0", 0) }, "schedule 0@0 from 0"},
		{"the relay is revoked", func(l *lab) { l.ok(&eventlog.AgentRevoked{Agent: l.s.AgentByName("relay").ID}) }, "schedule 0@0 from 0"},
		{"one is revoked", func(l *lab) { l.ok(&eventlog.AgentRevoked{Agent: l.s.AgentByName("h1").ID}) }, "schedule 0@0 from 0"},
		{"the link is down", func(l *lab) {
			for _, name := range []string{"h0", "h1"} {
				a := l.s.AgentByName(name)
				l.ok(&eventlog.AgentDisconnected{Agent: a.ID, Session: a.Session})
			}
		}, "schedule 0@0 from 0; schedule 1@1 from 0; schedule 2@0 from 0; schedule 3@1 from 0"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l, _ := siteLab(t, 2, chain())
			c.with(l)
			wantDecided(t, l, c.want)
			if err := recount(l.s); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("not sent ahead", func(t *testing.T) {
		t.Parallel()
		l, _ := siteLab(t, 2, chain(), func(e *eventlog.RunCreated) { e.AheadMax = 0 })
		wantDecided(t, l, "schedule 0@0 from 0")
	})
}

// TestEvidenceOrder: whatever the order in which the ends of a step and of the one
// that it waited for on another host come to the log, they lead to the same.
func TestEvidenceOrder(t *testing.T) {
	t.Parallel()
	type end struct {
		task    uint32
		outcome eventlog.Outcome
	}
	run := func(t *testing.T, ends ...end) string {
		l, r := siteLab(t, 3, plan(3, on(0), on(1, all(0)...), on(2, all(1)...), on(0, all(2)...)), func(e *eventlog.RunCreated) { e.StepsMax = 2 })
		l.decide()
		for _, e := range ends {
			at := l.attempt(r, e.task, 0)
			if e.outcome != eventlog.NotStarted {
				l.ok(&eventlog.JobEnded{Attempt: at.ID, Outcome: e.outcome})
			}
			l.end(r, e.task, 0, e.outcome)
			if err := recount(l.s); err != nil {
				t.Fatalf("behind %+v: %v", e, err)
			}
		}
		l.decide()
		return essence(l, r)
	}
	ok, failed, back := eventlog.Succeeded, eventlog.Failed, eventlog.NotStarted
	for name, orders := range map[string][][]end{
		"all succeed": {
			{{0, ok}, {1, ok}, {2, ok}}, {{1, ok}, {0, ok}, {2, ok}}, {{2, ok}, {1, ok}, {0, ok}}, {{1, ok}, {2, ok}, {0, ok}}, {{2, ok}, {0, ok}, {1, ok}},
		},
		"the second fails":        {{{0, ok}, {1, failed}}, {{1, failed}, {0, ok}}},
		"and what is behind it":   {{{0, ok}, {1, failed}, {2, back}}, {{2, back}, {1, failed}, {0, ok}}, {{1, failed}, {2, back}, {0, ok}}},
		"the first fails":         {{{0, failed}, {1, back}, {2, back}, {3, back}}, {{3, back}, {2, back}, {1, back}, {0, failed}}},
		"the first is given back": {{{0, back}, {1, back}, {2, back}, {3, back}}, {{3, back}, {1, back}, {2, back}, {0, back}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := run(t, orders[0]...)
			for _, o := range orders[1:] {
				if got := run(t, o...); got != want {
					t.Errorf("%v led to\n%sand %v to\n%s", orders[0], want, o, got)
				}
			}
		})
	}
}
