package engine

import (
	"cmp"
	"testing"
	"time"

	"pgregory.net/rapid"

	"quorate/eventlog"
)

// dampingStory is a log of an agent that flaps, and of what is done about it.
func dampingStory(t *testing.T) *lab {
	t.Helper()
	l := newLab(t)
	f := newFlapper(l, "h0")
	l.agent("h1")
	r := l.run(plan(2, eventlog.PlanTask{}))
	for range 6 {
		f.connect(1)
		f.lose()
	}
	l.decide()
	l.ok(&eventlog.DampingSet{Work: WorkLast, HalfLife: int64(time.Minute), Threshold: 3, By: "ann", RequestID: "set"})
	l.decide()
	l.end(r, 0, 0, eventlog.Succeeded)
	l.pass(time.Hour)
	l.ok(&eventlog.AgentCalmed{Agent: f.id})
	for range 4 {
		f.connect(2)
	}
	l.ok(&eventlog.AgentCalmed{Agent: f.id, By: "ann", Reason: "the switch was replaced", RequestID: "calm"})
	return l
}

// A flapper is an agent that connects, and connects again.
type flapper struct {
	*lab
	id   uint64
	came eventlog.Arrival // 0 is by itself
}

func newFlapper(l *lab, name string) *flapper { return &flapper{lab: l, id: l.agent(name)} }

func (f *flapper) agentOf() *Agent { return f.s.Agents[f.id] }

func (f *flapper) connect(gateway uint64) {
	f.t.Helper()
	f.ok(&eventlog.AgentConnected{
		Agent: f.id, Gateway: gateway, Session: time.Duration(len(f.recs)).String(), JournalID: f.agentOf().JournalID,
		JournalSeq: f.agentOf().JournalSeq, Address: "192.0.2.1:7", Came: cmp.Or(f.came, eventlog.ByItself),
	})
}

func (f *flapper) lose() {
	f.t.Helper()
	f.ok(&eventlog.AgentDisconnected{Agent: f.id, Session: f.agentOf().Session, Reason: "nothing was heard"})
}

// pass lets the log's clock go on.
func (l *lab) pass(d time.Duration) { l.now += int64(d) }

// TestFlapping: reconnections in a row make an agent one that flaps; it is one until
// half of the threshold is reached, and not only until it is below the threshold.
func TestFlapping(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	f := newFlapper(l, "h0")
	a := f.agentOf()
	f.connect(1)
	for i := range 5 {
		if a.Flapping {
			t.Fatalf("it flaps behind %d reconnections", i)
		}
		f.lose()
		f.connect(1)
	}
	if !a.Flapping || a.Flaps != 5 || a.Connections != 6 || a.FlappingSince != l.s.Time {
		t.Fatalf("behind 5 reconnections: %+v", a.Steadiness)
	}
	l.void(&eventlog.AgentCalmed{Agent: f.id})
	l.pass(4 * time.Minute)
	l.void(&eventlog.AgentCalmed{Agent: f.id}) // 3,000 are left: below the threshold, above its half
	if !a.Flapping || l.s.PenaltyAt(a, l.s.Time) >= 5000 {
		t.Fatalf("within the half-life: %+v", a.Steadiness)
	}
	l.pass(90 * time.Second)
	l.ok(&eventlog.AgentCalmed{Agent: f.id})
	if a.Flapping || a.FlappingSince != 0 {
		t.Fatal("it flaps though it is calm")
	}
	l.void(&eventlog.AgentCalmed{Agent: f.id})
	if l.s.PenaltyAt(a, l.s.Time) == 0 {
		t.Error("calming by itself forgives what is left")
	}
	l.pass(3 * time.Hour)
	f.connect(1)
	if p := l.s.PenaltyAt(a, l.s.Time); p != reconnectCost {
		t.Errorf("hours later a reconnection is on top of %d", p-reconnectCost)
	}
}

// TestBlameless: what orchestrators do to their agents does not count against these,
// and a move that was asked for counts half.
func TestBlameless(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		before func(f *flapper)
		e      eventlog.AgentConnected
		want   uint64
	}{
		"a cut":             {(*flapper).lose, eventlog.AgentConnected{Gateway: 1}, 1000},
		"a silent cut":      {func(*flapper) {}, eventlog.AgentConnected{Gateway: 1}, 1000},
		"a gateway's death": {func(*flapper) {}, eventlog.AgentConnected{Gateway: 1, Came: eventlog.Dropped}, 0},
		"a gateway's death, on record": {func(f *flapper) {
			f.ok(&eventlog.AgentDisconnected{Agent: f.id, Session: f.agentOf().Session, Blameless: true})
		}, eventlog.AgentConnected{Gateway: 2}, 0},
		"a gateway's removal":     {func(f *flapper) { f.ok(&eventlog.OrchestratorRemoved{Replica: 1}) }, eventlog.AgentConnected{Gateway: 2}, 0},
		"a move":                  {func(*flapper) {}, eventlog.AgentConnected{Gateway: 2, Came: eventlog.Asked}, 500},
		"a move that is none":     {func(*flapper) {}, eventlog.AgentConnected{Gateway: 1, Came: eventlog.Asked}, 1000},
		"a move behind its end":   {(*flapper).lose, eventlog.AgentConnected{Gateway: 2, Came: eventlog.Asked}, 1000},
		"elsewhere, without word": {func(*flapper) {}, eventlog.AgentConnected{Gateway: 2}, 1000},
	} {
		t.Run(what, func(t *testing.T) {
			l := cluster(t, 2)
			f := newFlapper(l, "h0")
			f.connect(1)
			c.before(f)
			c.e.Agent, c.e.JournalID, c.e.Session = f.id, f.agentOf().JournalID, "again"
			c.e.Came = cmp.Or(c.e.Came, eventlog.ByItself)
			l.ok(&c.e)
			if got := f.agentOf().penalty; got != c.want {
				t.Errorf("it costs %d, want %d", got, c.want)
			}
			if counts := f.agentOf().Changes[len(f.agentOf().Changes)-1].Counts; counts != (c.want > 0) {
				t.Errorf("counts: %t", counts)
			}
		})
	}
}

// TestChangesAreKept: the newest of them, and no more.
func TestChangesAreKept(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	f := newFlapper(l, "h0")
	for range 2 * ChangesMax {
		f.connect(3)
		f.lose()
	}
	a := f.agentOf()
	if len(a.Changes) != ChangesMax {
		t.Fatalf("%d changes", len(a.Changes))
	}
	last, before := a.Changes[ChangesMax-1], a.Changes[ChangesMax-2]
	if last.Kind != eventlog.KindAgentDisconnected || last.Text != "nothing was heard" || last.Gateway != 3 || last.Time != l.s.Time {
		t.Errorf("the last: %+v", last)
	}
	if before.Kind != eventlog.KindAgentConnected || before.Text != "192.0.2.1:7" || !before.Counts || before.Time != l.s.Time-1 {
		t.Errorf("the one before: %+v", before)
	}
}

// TestOperatorCalms: an operator's word needs no time, and counts once.
func TestOperatorCalms(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	f := newFlapper(l, "h0")
	calm := &eventlog.AgentCalmed{Agent: f.id, By: "ann", RequestID: "calm"}
	l.void(calm)
	for range 40 {
		f.connect(1)
	}
	a := f.agentOf()
	if l.s.ConnectPause(a, l.s.Time) == 0 {
		t.Fatal("it need not wait behind 40 connections")
	}
	l.ok(calm)
	if a.Flapping || l.s.PenaltyAt(a, l.s.Time) != 0 || l.s.ConnectPause(a, l.s.Time) != 0 {
		t.Errorf("not forgiven: %+v", a.Steadiness)
	}
	for range 8 {
		f.connect(1)
	}
	l.void(calm)
}

// TestDampingIsSet: what is given replaces what was, within bounds, once.
func TestDampingIsSet(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	if got, want := l.s.Damping(), (Damping{Work: WorkLast, HalfLife: int64(5 * time.Minute), Threshold: 5}); got != want {
		t.Fatalf("by default %+v", got)
	}
	for _, e := range []*eventlog.DampingSet{
		{}, {Work: "never"}, {HalfLife: 1}, {HalfLife: int64(2 * time.Hour)}, {HalfLife: -1}, {Threshold: 1}, {Threshold: 1001},
		{Work: WorkLast, Threshold: 1},
	} {
		l.void(e)
	}
	at := l.ok(&eventlog.DampingSet{Work: WorkNormal, By: "ann", RequestID: "a"})
	l.void(&eventlog.DampingSet{Work: WorkLast, By: "ann", RequestID: "a"})
	if got, want := l.s.Damping(), (Damping{WorkNormal, int64(5 * time.Minute), 5, "ann", at}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	at = l.ok(&eventlog.DampingSet{HalfLife: int64(time.Minute), Threshold: 9, By: "bob"})
	if got, want := l.s.Damping(), (Damping{WorkNormal, int64(time.Minute), 9, "bob", at}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func someDamping(t *rapid.T) Damping {
	return Damping{
		HalfLife:  rapid.Int64Range(HalfLifeMin, HalfLifeMax).Draw(t, "half-life"),
		Threshold: rapid.Uint32Range(FlapThresholdMin, FlapThresholdMax).Draw(t, "threshold"),
	}
}

// TestPenaltyDecays: it never grows, is half behind a half-life, and falls below a
// limit no later than it is said to, and not much earlier.
func TestPenaltyDecays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := someDamping(t)
		penalty := rapid.Uint64Range(0, penaltyFactor*d.flapsFrom()).Draw(t, "penalty")
		span := rapid.Int64Range(-1, 10*d.HalfLife)
		one, other := span.Draw(t, "one"), span.Draw(t, "other")
		if one > other {
			one, other = other, one
		}
		if d.decayed(penalty, one) < d.decayed(penalty, other) {
			t.Errorf("%d behind %d, and %d behind %d", d.decayed(penalty, one), one, d.decayed(penalty, other), other)
		}
		whole := d.HalfLife / millisecond * millisecond
		if got := d.decayed(penalty, whole); got != penalty/2 {
			t.Errorf("%d behind a half-life, of %d", got, penalty)
		}
		for _, limit := range []uint64{d.calmBelow(), d.flapsFrom(), connectFactor * d.flapsFrom()} {
			wait := d.until(penalty, limit)
			if d.decayed(penalty, wait) >= limit {
				t.Errorf("%d behind %d, which is not below %d", d.decayed(penalty, wait), wait, limit)
			}
			if early := wait - d.HalfLife/100 - millisecond; wait > 0 && d.decayed(penalty, early) < limit && penalty > 100 {
				t.Errorf("%d is below %d long before %d", penalty, limit, wait)
			}
		}
	})
}

// TestConnectionsAreBounded: an agent that comes as often as it is let in, with what
// it likes to say, has no more connections on record than is promised. And it is let in
// again before long.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		l := newLab(rt)
		d := someDamping(rt)
		d.Threshold = rapid.Uint32Range(FlapThresholdMin, 12).Draw(rt, "few")
		l.ok(&eventlog.DampingSet{HalfLife: d.HalfLife, Threshold: d.Threshold})
		f := newFlapper(l, "h0")
		a := f.agentOf()
		from := l.now
		within := rapid.Int64Range(0, 5*d.HalfLife).Draw(rt, "within")
		flapping := 0
		for gateway := uint64(0); ; gateway++ {
			wait := l.s.ConnectPause(a, l.now)
			if wait > d.HalfLife {
				rt.Fatalf("it waits for %d", wait)
			}
			l.pass(time.Duration(wait + rapid.Int64Range(0, d.HalfLife/50).Draw(rt, "hesitates")))
			if l.now-from > within {
				break
			}
			f.came = rapid.SampledFrom([]eventlog.Arrival{eventlog.ByItself, eventlog.Asked}).Draw(rt, "came")
			was := a.Flapping
			if rapid.Bool().Draw(rt, "lost") && a.Connected {
				f.lose()
			}
			if f.connect(gateway % 3); a.Flapping && !was {
				flapping++
			}
		}
		if n := int(a.Connections); n > d.ConnectionsMax(within) {
			rt.Errorf("%d connections within %d, and not more than %d are promised", n, within, d.ConnectionsMax(within))
		}
		if most := int(a.Connections)/(int(d.Threshold)/2) + 1; flapping > most {
			rt.Errorf("it began to flap %d times with %d connections", flapping, a.Connections)
		}
	})
}

// TestOlderRecordsDoNotCount: a log from before arrivals were told folds to what it did.
func TestOlderRecordsDoNotCount(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	id := l.agent("h0")
	a := l.s.Agents[id]
	for i := range 9 {
		l.ok(&eventlog.AgentConnected{Agent: id, Session: string(rune('a' + i)), JournalID: a.JournalID})
	}
	l.ok(&eventlog.AgentDisconnected{Agent: id, Session: "i"})
	if a.Flapping || a.Connections != 0 || len(a.Changes) != 0 || a.penalty != 0 {
		t.Errorf("%+v", a.Steadiness)
	}
}
