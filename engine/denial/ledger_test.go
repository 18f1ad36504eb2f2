package denial_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"quorate/engine/denial"
	"quorate/eventlog"
	"quorate/internal/pki"
)

// A clock is set by hand.
type clock struct{ at time.Time }

func (c *clock) now() time.Time       { return c.at }
func (c *clock) pass(d time.Duration) { c.at = c.at.Add(d) }
func newClock() *clock                { return &clock{time.Unix(1_700_000_000, 0)} }
func told(events []*eventlog.AccessDenied) (n uint64) {
	for _, e := range events {
		n += e.Count
	}
	return n
}

var alice = denial.Denial{Entry: "api POST /v1/tokens", Caller: "operator:alice", Reason: denial.NoRight, Address: "192.0.2.1"}

// What is new is told at once, what goes on with a count, and less and less often.
func TestFirstAtOnceAndThenCounted(t *testing.T) {
	c := newClock()
	l := denial.NewLedger(c.now)
	if l.Waiting() || len(l.Take(1)) != 0 {
		t.Fatal("an empty ledger has something to tell")
	}
	l.Note(alice)
	select {
	case <-l.News():
	default:
		t.Error("nobody is woken")
	}
	events := l.Take(3)
	if len(events) != 1 {
		t.Fatalf("%d events at first", len(events))
	}
	if e := events[0]; e.Replica != 3 || e.Entry != alice.Entry || e.Caller != alice.Caller || e.Reason != "no-right" || e.Count != 1 ||
		fmt.Sprint(e.Addresses) != "[192.0.2.1]" || e.From != c.at.UnixNano() || e.Until != e.From {
		t.Errorf("told %+v", e)
	}
	var pauses []int
	since := 0
	for second := 1; second <= 4*3600; second++ {
		c.pass(time.Second)
		l.Note(alice)
		since++
		for _, e := range l.Take(3) {
			if e.Count != uint64(since) || e.Until-e.From != int64(since-1)*int64(time.Second) {
				t.Fatalf("told %d of %d over %s", e.Count, since, time.Duration(e.Until-e.From))
			}
			pauses, since = append(pauses, since), 0
		}
	}
	if got := fmt.Sprint(pauses); got != "[60 120 240 480 960 1920 3600 3600]" {
		t.Errorf("events were apart %s seconds", got)
	}
	c.pass(4 * time.Hour) // what was counted is told, and then it is forgotten
	if events := l.Take(3); told(events) != uint64(since) || l.Waiting() {
		t.Errorf("the rest of %d is %d", since, told(events))
	}
	c.pass(3 * time.Hour)
	l.Take(3)
	l.Note(alice)
	if len(l.Take(3)) != 1 {
		t.Error("what has not happened for hours is not told at once")
	}
}

// A stranger who comes from anywhere, and knows every entry, fills no log, and keeps no
// refusal of somebody known from it.
func TestStrangersAreBounded(t *testing.T) {
	c := newClock()
	l := denial.NewLedger(c.now)
	noted, strangers := uint64(0), []int{0, 0, 0}
	for minute := range 3 * 60 {
		for i := range 2000 {
			l.Note(denial.Denial{Entry: fmt.Sprintf("entry %d", i%900), Reason: denial.NoCertificate, Address: fmt.Sprintf("2001:db8::%x", i), Relay: uint64(i % 7)})
			noted++
		}
		events := l.Take(1)
		noted -= told(events)
		strangers[minute/60] += len(events)
		for _, e := range events {
			if len(e.Addresses) > 4 {
				t.Fatalf("%d addresses", len(e.Addresses))
			}
		}
		c.pass(time.Minute)
	}
	if fmt.Sprint(strangers) != "[29 15 15]" {
		t.Errorf("events by the hour: %v", strangers)
	}
	l.Note(alice)
	noted++
	events := l.Take(1)
	if len(events) == 0 || events[0].Caller != alice.Caller {
		t.Errorf("behind the strangers are told %v", events)
	}
	noted -= told(events)
	for range 40 * 24 * 60 {
		c.pass(time.Minute)
		noted -= told(l.Take(1))
	}
	if noted != 0 || l.Waiting() {
		t.Errorf("%d refusals were never told", noted)
	}
}

// Who has a certificate but not its key, or not yet, is told as one who claims it, takes
// the room of strangers, and is not confused with the one whose it is.
func TestClaimedCallers(t *testing.T) {
	c := newClock()
	l := denial.NewLedger(c.now)
	for i := range 10_000 {
		l.Note(denial.Denial{Entry: "agents", Caller: fmt.Sprintf("agent:%d", i), Claimed: true, Reason: denial.WrongRole})
	}
	l.Note(alice)
	l.Note(denial.Denial{Entry: alice.Entry, Caller: alice.Caller, Claimed: true, Reason: alice.Reason})
	events := l.Take(1)
	l.Return(events)
	events = l.Take(1)
	var callers, claimed int
	for _, e := range events {
		switch {
		case e.Caller == alice.Caller && e.Count == 1:
			callers++
		case strings.HasPrefix(e.Caller, "claimed agent:"), e.Caller == "" && e.Entry == denial.Various:
			claimed++
		default:
			t.Errorf("told %+v", e)
		}
	}
	if callers != 1 || claimed != 15 {
		t.Errorf("told are %d callers and %d who claim to be some", callers, claimed)
	}
}

// What does not get on record is told again, whole.
func TestReturned(t *testing.T) {
	c := newClock()
	l := denial.NewLedger(c.now)
	l.Note(alice)
	for range 100 {
		c.pass(time.Second)
		events := l.Take(1)
		if len(events) != 1 {
			t.Fatalf("%d events", len(events))
		}
		l.Return(events)
		again := alice
		again.Address = "192.0.2.2"
		l.Note(again)
	}
	events := l.Take(1)
	if len(events) != 1 || events[0].Count != 101 || fmt.Sprint(events[0].Addresses) != "[192.0.2.1 192.0.2.2]" || events[0].Until-events[0].From != int64(100*time.Second) {
		t.Errorf("told %+v", events[0])
	}
}

// Whatever is refused when, and whatever fails: each refusal is told once, on the same
// never twice within a minute, and in no hour more than is allowed.
func TestLedgerLaws(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newClock()
		l := denial.NewLedger(c.now)
		var noted, done uint64
		last := map[string]time.Time{}
		hours := map[bool][]time.Time{}
		for range rapid.IntRange(1, 300).Draw(rt, "steps") {
			switch rapid.IntRange(0, 3).Draw(rt, "what") {
			case 0, 1:
				caller := ""
				if who := rapid.IntRange(-3, 200).Draw(rt, "who"); who > 0 {
					caller = fmt.Sprintf("agent:%d", who)
				}
				l.Note(denial.Denial{Entry: fmt.Sprint("e", rapid.IntRange(0, 3).Draw(rt, "entry")), Caller: caller, Reason: denial.Revoked})
				noted++
			case 2:
				c.pass(time.Duration(rapid.IntRange(0, 600).Draw(rt, "seconds")) * time.Second)
			case 3:
				events := l.Take(1)
				if rapid.IntRange(0, 4).Draw(rt, "fails") == 0 {
					l.Return(events)
					continue
				}
				done += told(events)
				for _, e := range events {
					k := e.Entry + e.Caller
					if before, ok := last[k]; ok && c.at.Sub(before) < denial.EveryMin {
						rt.Fatalf("%s was told %s ago", k, c.at.Sub(before))
					}
					last[k] = c.at
					hours[e.Caller == ""] = append(hours[e.Caller == ""], c.at)
				}
			}
		}
		for stranger, times := range hours {
			most := 120
			if stranger {
				most = 30
			}
			for i := range times {
				if j := i + most; j < len(times) && times[j].Sub(times[i]) < time.Hour {
					rt.Fatalf("more than %d events in an hour", most)
				}
			}
		}
		c.pass(24 * time.Hour)
		for range 600 {
			c.pass(time.Minute)
			done += told(l.Take(1))
		}
		if done != noted || l.Waiting() {
			rt.Fatalf("%d were refused and %d told", noted, done)
		}
	})
}

// The reason of an error is told by what it wraps.
func TestOf(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want denial.Reason
	}{
		{nil, ""},
		{errors.New("the disk is full"), ""},
		{fmt.Errorf("enrolment: %w", denial.SpentToken), denial.SpentToken},
		{fmt.Errorf("%w: %w", pki.ErrIdentity, pki.ErrNoCertificate), denial.NoCertificate},
		{fmt.Errorf("%w: %w", pki.ErrIdentity, pki.ErrExpired), denial.Expired},
		{fmt.Errorf("%w: %w", pki.ErrIdentity, pki.ErrRole), denial.WrongRole},
		{fmt.Errorf("%w: %w", pki.ErrIdentity, pki.ErrOtherCluster), denial.UnknownCertificate},
		{fmt.Errorf("hello: %w", pki.ErrProtocol), denial.Protocol},
	} {
		if got := denial.Of(tt.err); got != tt.want {
			t.Errorf("%v is %q, want %q", tt.err, got, tt.want)
		}
	}
}
