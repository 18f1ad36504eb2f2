package engine

import (
	"bytes"
	"fmt"
	"reflect"
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

// TestElsewhere: who waits for whom, and by which key its word is known, as gateways
// ask for it.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	l, r := siteLab(t, 2, plan(2, on(0), on(1, all(0)...), on(1, all(1)...)))
	l.decide()
	first, second, third := l.attempt(r, 0, 0), l.attempt(r, 1, 0), l.attempt(r, 2, 0)
	want := Elsewhere{
		Predecessor: Predecessor{Attempt: first.ID}, Agent: first.Agent, KeyDigest: l.s.Agents[first.Agent].KeyDigest,
		Run: r.ID, Task: "t0", Host: "h0",
	}
	check := func(released bool) {
		t.Helper()
		want.Released = released
		if got := l.s.ElsewhereOf(second); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("elsewhere are %+v, want %+v", got, want)
		}
	}
	check(false)
	if got := l.s.Command(second.ID).Elsewhere; len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("the command tells %+v", got)
	}
	if got := l.s.BehindElsewhere(first.ID); len(got) != 1 || got[0] != second.ID {
		t.Errorf("behind the first are %v", got)
	}
	if len(l.s.ElsewhereOf(third)) > 0 || len(l.s.BehindElsewhere(second.ID)) > 0 {
		t.Error("the third waits for another host")
	}
	if got := l.s.WaitsFor(second); got != "t0@h0" {
		t.Errorf("the second waits for %q", got)
	}
	l.end(r, 0, 0, eventlog.Succeeded)
	check(true)
	if got := l.s.Command(second.ID).Elsewhere; len(got) > 0 || l.s.WaitsFor(second) != "" {
		t.Errorf("the command tells %+v", got)
	}
}

// TestReleasedByResults: a step whose jobs are all done lets those go on that wait for it,
// though its end was never seen.
func TestReleasedByResults(t *testing.T) {
	t.Parallel()
	l, r := siteLab(t, 2, plan(2, on(0), on(1, all(0)...)))
	l.decide()
	first, second := l.attempt(r, 0, 0), l.attempt(r, 1, 0)
	l.ok(&eventlog.JobEnded{Attempt: first.ID, Outcome: eventlog.Succeeded})
	l.ok(&eventlog.AttemptEnded{Attempt: first.ID, Outcome: eventlog.Unknown, By: "operator"})
	if got := l.s.ElsewhereOf(second); !got[0].Released || second.Recall {
		t.Errorf("all of its jobs are known to be done, and %+v", got)
	}
}

// TestRecalledElsewhere: what waits for a step on another host is called back when that
// does not end as it has to, and is sent again behind what comes then.
func TestRecalledElsewhere(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		strike func(l *lab, r *Run)
		want   string // once it is given back
	}{
		{"given back", func(l *lab, r *Run) { l.end(r, 0, 0, eventlog.NotStarted) }, "schedule 0@0 from 0; schedule 1@1 from 0"},
		{"failed", func(l *lab, r *Run) { l.end(r, 0, 0, eventlog.Failed) }, "end 2"},
		{"given up", func(l *lab, r *Run) {
			l.ok(&eventlog.AttemptEnded{Attempt: l.attempt(r, 0, 0).ID, Outcome: eventlog.Unknown, By: "operator"})
		}, ""},
		{"revoked", func(l *lab, r *Run) { l.ok(&eventlog.AgentRevoked{Agent: l.attempt(r, 0, 0).Agent}) }, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l, r := siteLab(t, 2, plan(2, on(0), on(1, all(0)...)))
			l.decide()
			second := l.attempt(r, 1, 0)
			c.strike(l, r)
			if cmd := l.s.Command(second.ID); !cmd.Cancel || !cmd.Unstarted {
				t.Errorf("its agent is told %+v", cmd)
			}
			l.ok(&eventlog.AttemptEnded{Attempt: second.ID, Outcome: eventlog.NotStarted})
			wantDecided(t, l, c.want)
			if err := recount(l.s); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestGivenBackEarly: an agent that gives a step back since it knows more of another
// one's end than the log is not sent it again before the log knows, too.
func TestGivenBackEarly(t *testing.T) {
	t.Parallel()
	l, r := siteLab(t, 2, plan(2, on(0), on(1, all(0)...)))
	l.decide()
	l.end(r, 1, 0, eventlog.NotStarted)
	wantDecided(t, l, "")
	l.end(r, 0, 0, eventlog.Succeeded)
	wantDecided(t, l, "schedule 1@1 from 0")
}

// TestBegunBehindGivenUp: a step that had begun, as it was allowed to, counts, though
// what it waited for was given up meanwhile; nothing of it is counted twice.
func TestBegunBehindGivenUp(t *testing.T) {
	t.Parallel()
	for _, as := range []string{"succeeded", "failed", "retry", "late"} {
		t.Run(as, func(t *testing.T) {
			t.Parallel()
			l, r := siteLab(t, 2, plan(2, on(0), on(1, all(0)...), on(0, all(1)...)))
			l.decide()
			first := l.attempt(r, 0, 0).ID
			l.ok(&eventlog.AttemptEnded{Attempt: first, Outcome: eventlog.Unknown, By: "operator"})
			l.ok(&eventlog.JobEnded{Attempt: l.attempt(r, 1, 0).ID, Outcome: eventlog.Succeeded})
			l.end(r, 1, 0, eventlog.Succeeded)
			wantStatuses(t, l, r, "waiting", "succeeded", "running")
			if as == "late" {
				l.ok(&eventlog.JobEnded{Attempt: first, Outcome: eventlog.Succeeded})
				l.end(r, 0, 0, eventlog.Succeeded)
			} else {
				l.ok(&eventlog.StepResolved{Attempt: first, As: as})
			}
			l.decide()
			if as == "retry" {
				l.end(r, 0, 0, eventlog.Succeeded)
			}
			l.end(r, 2, 0, eventlog.Succeeded)
			l.decide()
			if err := recount(l.s); err != nil {
				t.Error(err)
			}
			want := map[string]eventlog.Outcome{"failed": eventlog.Failed}[as]
			if want == 0 {
				want = eventlog.Succeeded
			}
			if r.Outcome != want || r.Counts.Succeeded+r.Counts.Failed != 3 {
				t.Errorf("the run ended %v with %+v", r.Outcome, r.Counts)
			}
		})
	}
}

// TestBarrier: all hosts of a site wait for all of them, as far as that is little
// enough, and each takes the place of its own host's step.
func TestBarrier(t *testing.T) {
	t.Parallel()
	for _, hosts := range []int{elsewhereMax, elsewhereMax + 1} {
		t.Run(fmt.Sprint(hosts), func(t *testing.T) {
			t.Parallel()
			l, r := siteLab(t, hosts, plan(hosts, eventlog.PlanTask{}, eventlog.PlanTask{Requires: all(0)}))
			l.decide()
			if got, want := r.Tasks[1].tally[Running], uint32(hosts)*b2u(hosts <= elsewhereMax); got != want {
				t.Errorf("%d steps wait at their agents, want %d", got, want)
			}
			l.end(r, 0, 0, eventlog.Succeeded)
			l.decide()
			// Each waits for the 63 or 64 that are left, which have a place for one each.
			if got := r.Tasks[1].tally[Running]; got != elsewhereMax {
				t.Errorf("%d steps wait at their agents when %d are left to wait for", got, hosts-1)
			}
			for pos := range hosts {
				if a := l.s.Attempts[r.Step(1, pos).Attempt]; hosts == elsewhereMax && pos > 0 && l.s.Attempts[a.place].Host != a.Host {
					t.Errorf("the step on %d takes the place of one on %d", a.Host, l.s.Attempts[a.place].Host)
				}
			}
			if err := recount(l.s); err != nil {
				t.Error(err)
			}
		})
	}
}

func b2u(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// TestHeldElsewhere: what an agent waits for on other hosts is bounded over all that it
// holds, also in a state that was read back.
func TestHeldElsewhere(t *testing.T) {
	t.Parallel()
	l, r := siteLab(t, 2, plan(2, on(0), on(1, all(0)...)))
	a := l.s.AgentByName("h1")
	a.elsewhere = elsewhereHeldMax
	wantDecided(t, l, "schedule 0@0 from 0")
	if void := l.add(&eventlog.StepScheduled{Run: r.ID, Task: 1, Host: 1, Agent: a.ID, Epoch: l.s.Epoch, Ahead: true}); void == "" {
		t.Error("it waits for more than it may")
	}
	a.elsewhere--
	l.ok(&eventlog.StepScheduled{Run: r.ID, Task: 1, Host: 1, Agent: a.ID, Epoch: l.s.Epoch, Ahead: true})
	a.elsewhere -= elsewhereHeldMax - 1
	var encoded bytes.Buffer
	if err := l.s.Encode(&encoded); err != nil {
		t.Fatal(err)
	}
	again, err := DecodeState(&encoded)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.AgentByName("h1").elsewhere; got != 1 || again.relays != 1 {
		t.Errorf("read back, it waits for %d, and there are %d relays", got, again.relays)
	}
}

// TestAskedEarly: a step that waits for other hosts takes no place when that of the one
// comes free which it waited for before.
func TestAskedEarly(t *testing.T) {
	t.Parallel()
	run := func(asksFirst bool) string {
		l, r := siteLab(t, 2, plan(2, on(0), on(1, all(0)...), on(1, all(1)...)))
		l.decide()
		ask := func() {
			l.ok(&eventlog.ValuesPublished{Attempt: l.attempt(r, 1, 0).ID, Waits: true, Values: []eventlog.PublishedValue{{Key: "k"}}})
		}
		if asksFirst {
			ask()
		}
		l.end(r, 0, 0, eventlog.Succeeded)
		if !asksFirst {
			ask()
		}
		if err := recount(l.s); err != nil {
			t.Error(err)
		}
		return essence(l, r)
	}
	if early, late := run(true), run(false); early != late {
		t.Errorf("asked before the end:\n%sand behind it:\n%s", early, late)
	}
}

// TestHeldAcross: an agent that is held as it flaps is sent nothing behind others' steps.
func TestHeldAcross(t *testing.T) {
	t.Parallel()
	l, _ := siteLab(t, 3, plan(3, on(0), on(1, all(0)...), on(2, all(1)...)))
	l.ok(&eventlog.DampingSet{Work: WorkHeld, By: "op"})
	l.s.AgentByName("h1").Flapping = true
	wantDecided(t, l, "schedule 0@0 from 0")
	l.s.AgentByName("h1").Flapping = false
	wantDecided(t, l, "schedule 1@1 from 0; schedule 2@2 from 0")
}
