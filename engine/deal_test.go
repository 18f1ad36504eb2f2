package engine

import (
	"slices"
	"testing"

	"quorate/eventlog"
)

// fourPlaces is a run of four places on hosts that may have two each.
func fourPlaces(e *eventlog.RunCreated) {
	e.Lines, e.AheadMax, e.StepsMax, e.StepsPerHostMax = true, 100, 4, 2
}

// dealtLab is a lab with connected agents, and a run of the plan.
func dealtLab(t *testing.T, hosts int, p *eventlog.PlanRecorded, with ...func(*eventlog.RunCreated)) (*lab, *Run) {
	t.Helper()
	l := newLab(t)
	for h := range hosts {
		l.agent(p.Hosts[h])
		l.connect(p.Hosts[h], 0)
	}
	return l, l.run(p, with...)
}

// wantPlaces compares what the hosts were dealt.
func wantPlaces(t *testing.T, r *Run, want ...uint32) {
	t.Helper()
	var got []uint32
	for i := range want {
		got = append(got, r.queue.slots[i].places)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the hosts were dealt %d, want %d", got, want)
	}
}

// TestDealt: where the run binds before its hosts do, each host has places of its own,
// and what has none is sent to wait for them, in the order of the hosts' turns.
func TestDealt(t *testing.T) {
	t.Parallel()
	tasks := func(n int) []eventlog.PlanTask { return make([]eventlog.PlanTask, n) }
	for _, c := range []struct {
		name   string
		hosts  int
		with   func(*eventlog.RunCreated)
		places []uint32
		open   []int // steps that each host was sent
	}{
		{"some for each", 3, func(*eventlog.RunCreated) {}, []uint32{2, 1, 1}, []int{3, 3, 3}},
		{"more hosts than places", 5, func(*eventlog.RunCreated) {}, []uint32{1, 1, 1, 1, 0}, []int{3, 3, 3, 3, 0}},
		{"it fails fast", 3, func(e *eventlog.RunCreated) { e.FailFast = true }, []uint32{2, 1, 1}, []int{3, 3, 3}},
		{"jobs ask other hosts", 3, func(e *eventlog.RunCreated) { e.Asks = true }, []uint32{0, 0, 0}, []int{2, 1, 1}},
		{"a run from before", 3, func(e *eventlog.RunCreated) { e.Lines = false }, []uint32{0, 0, 0}, []int{2, 1, 1}},
		{"nothing is sent ahead", 3, func(e *eventlog.RunCreated) { e.AheadMax = 0 }, []uint32{0, 0, 0}, []int{2, 1, 1}},
		{"room for all", 3, func(e *eventlog.RunCreated) { e.StepsMax = 6 }, []uint32{0, 0, 0}, []int{3, 3, 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l, r := dealtLab(t, c.hosts, plan(c.hosts, tasks(3)...), fourPlaces, c.with)
			l.decide()
			wantPlaces(t, r, c.places...)
			for h, want := range c.open {
				a := l.s.AgentByName(r.Graph.Hosts[h])
				if len(a.Open) != want {
					t.Errorf("%s was sent %d steps, want %d", a.Name, len(a.Open), want)
				}
				for _, id := range a.Open {
					if got, want := l.s.Command(id).Places, r.PlacesOn(uint32(h)); r.AheadMax > 0 && got != want {
						t.Errorf("%s is told of %d places, and has %d", a.Name, got, want)
					}
				}
			}
			if err := recount(l.s); err != nil {
				t.Error(err)
			}
			recoded(t, l.s)
		})
	}
}

// TestDealtAnew: a host keeps its places until nothing of the run is under way there, and
// then another one has them.
func TestDealtAnew(t *testing.T) {
	t.Parallel()
	l, r := dealtLab(t, 2, plan(2, eventlog.PlanTask{}, eventlog.PlanTask{}), fourPlaces,
		func(e *eventlog.RunCreated) { e.StepsMax = 1 })
	wantDecided(t, l, "schedule 0@0 from 0; schedule 1@0 from 0")
	if !r.Undealt(1) || r.Undealt(0) {
		t.Error("it is not the second host alone that waits for places")
	}
	l.end(r, 0, 0, eventlog.Succeeded)
	wantDecided(t, l, "")
	l.end(r, 1, 0, eventlog.Succeeded)
	wantPlaces(t, r, 0, 0)
	wantDecided(t, l, "schedule 0@1 from 0; schedule 1@1 from 0")
	wantPlaces(t, r, 0, 1)
}

// TestDealtMore: a host that has more to do than its places take, and not all that it may
// have, is dealt more with the next step when others give theirs back.
func TestDealtMore(t *testing.T) {
	t.Parallel()
	tasks := []eventlog.PlanTask{{}, {}}
	for range 3 * linePerPlaceMax {
		tasks = append(tasks, on(0))
	}
	l, r := dealtLab(t, 2, plan(2, tasks...), fourPlaces, func(e *eventlog.RunCreated) { e.StepsPerHostMax = 3 })
	l.decide()
	wantPlaces(t, r, 2, 2)
	if got, want := len(l.s.AgentByName("h0").Open), 2+2*linePerPlaceMax; got != want {
		t.Errorf("the host with two places was sent %d steps, want %d", got, want)
	}
	l.end(r, 0, 1, eventlog.Succeeded)
	l.end(r, 1, 1, eventlog.Succeeded)
	wantPlaces(t, r, 2, 0)
	l.end(r, 0, 0, eventlog.Succeeded)
	l.decide()
	wantPlaces(t, r, 3, 0)
	if err := recount(l.s); err != nil {
		t.Error(err)
	}
}

// TestDealtToHostsToCome: some places are kept for hosts that have nothing to give yet.
func TestDealtToHostsToCome(t *testing.T) {
	t.Parallel()
	l, r := dealtLab(t, 3, plan(3, on(0), on(0), on(0), on(1), eventlog.PlanTask{Requires: all(0)}), fourPlaces,
		func(e *eventlog.RunCreated) { e.StepsMax, e.StepsPerHostMax = 4, 4 })
	l.decide()
	wantPlaces(t, r, 2, 1, 0)
	l.end(r, 0, 0, eventlog.Succeeded)
	l.decide()
	if got := r.queue.slots[2].places; got != 1 {
		t.Errorf("the host that came last was dealt %d places", got)
	}
}

// TestDealtBeyond: what deals more than there is, or to nobody's use, is void.
func TestDealtBeyond(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		e    eventlog.StepScheduled
		want string
	}{
		{"none", eventlog.StepScheduled{Host: 1}, "the host was dealt no places"},
		{"more than a host may have", eventlog.StepScheduled{Host: 1, Places: 3}, "the host may not be dealt so many places"},
		{"more than are left", eventlog.StepScheduled{Host: 1, Places: 2}, "the run has not so many places left"},
		{"what it has", eventlog.StepScheduled{Task: 1, Places: 2, Queues: true}, "the host may not be dealt so many places"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l, r := dealtLab(t, 2, plan(2, eventlog.PlanTask{}, eventlog.PlanTask{}), fourPlaces, func(e *eventlog.RunCreated) { e.StepsMax = 3 })
			first := l.s.Decide()[0].(*eventlog.StepScheduled)
			l.ok(first)
			c.e.Run, c.e.Epoch, c.e.Agent = r.ID, l.s.Epoch, l.s.AgentByName(r.Graph.Hosts[c.e.Host]).ID
			if why := l.void(&c.e); why != c.want {
				t.Errorf("it is void since %q, want %q", why, c.want)
			}
		})
	}
}

// TestFailFastCallsBack: at the first failure all that has not begun is called back, what
// waits for a place and what was sent to start at once.
func TestFailFastCallsBack(t *testing.T) {
	t.Parallel()
	l, r := dealtLab(t, 2, plan(2, make([]eventlog.PlanTask, 4)...), fourPlaces, func(e *eventlog.RunCreated) { e.FailFast, e.StepsMax = true, 3 })
	l.decide()
	if r.Counts.Running != 8 {
		t.Fatalf("%d steps are under way", r.Counts.Running)
	}
	l.end(r, 0, 0, eventlog.Failed)
	for _, a := range l.s.Attempts {
		if c := l.s.Command(a.ID); a.Outcome == 0 && (!c.Cancel || !c.Unstarted) {
			t.Errorf("attempt %d is told %+v", a.ID, c)
		}
	}
	wantDecided(t, l, "")
	l.end(r, 1, 1, eventlog.NotStarted)
	l.end(r, 2, 1, eventlog.Succeeded)
	if st := r.Step(1, 1); st.Status != TaskSkipped {
		t.Errorf("what was given back is %s", st.Status)
	}
	if err := recount(l.s); err != nil {
		t.Error(err)
	}
}
