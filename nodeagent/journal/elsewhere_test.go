package journal

import (
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"quorate/nodeagent/wire"
)

// far is an attempt of another agent, as a dispatch names it.
func far(attempt uint64, any bool) wire.Predecessor {
	return wire.Predecessor{Attempt: attempt, Any: any, Elsewhere: wire.Elsewhere{Key: "key", Run: 1, Task: "t", Host: "h"}}
}

// accepted is a state that has taken dispatches with these attempts, from 11 on, behind
// what each waits for.
func accepted(t *testing.T, after ...[]wire.Predecessor) *State {
	t.Helper()
	s := NewState("j")
	here, fence := Here{ClusterID: "c", Session: "s"}, wire.Fence{ClusterID: "c", Session: "s", JournalID: "j"}
	for i, p := range after {
		apply(t, s, s.Dispatch(here, &wire.Dispatch{Fence: fence, Attempt: 11 + uint64(i), Spec: []byte{byte(i)}, After: p},
			Work{Jobs: 1, Step: stepOf(i)}).Records...)
	}
	return s
}

// stepOf names the step of an attempt.
func stepOf(i int) string { return string(rune('a' + i)) }

func apply(t *testing.T, s *State, records ...Record) {
	t.Helper()
	for _, r := range records {
		if err := s.Apply(r); err != nil {
			t.Fatal(err)
		}
		if err := checkIndex(s); err != nil {
			t.Fatalf("behind %T: %v", r, err)
		}
	}
}

// TestEndsElsewhere: what waits for an attempt of another agent goes on when that has
// ended as it has to, is given back when it has not, and nothing is kept of it then.
func TestEndsElsewhere(t *testing.T) {
	for _, c := range []struct {
		name     string
		any      bool
		outcome  uint8
		runnable bool
	}{
		{"succeeded", false, OutcomeSucceeded, true},
		{"skipped", false, OutcomeSkipped, true},
		{"failed", false, OutcomeFailed, false},
		{"failed, and may", true, OutcomeFailed, true},
		{"cancelled, and may", true, OutcomeCancelled, true},
		{"not started", true, OutcomeNotStarted, false},
		{"unknown", true, OutcomeUnknown, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := accepted(t, []wire.Predecessor{far(5, c.any)}, []wire.Predecessor{far(5, c.any), far(6, false)})
			if !s.Waits(11) || !s.Waits(12) || len(s.Runnable()) > 0 || len(s.Elsewhere()) != 2 {
				t.Fatalf("runnable %v, awaited %v", s.Runnable(), s.Elsewhere())
			}
			r, ok := s.EndElsewhere(5, c.outcome, nil)
			if !ok {
				t.Fatal("the end is not taken")
			}
			apply(t, s, r)
			want := []uint64{11}
			if got := s.Runnable(); c.runnable != slices.Equal(got, want) {
				t.Errorf("runnable %v", got)
			}
			if got := s.Stranded(); c.runnable != (len(got) == 0) {
				t.Errorf("stranded %v", got)
			}
			if !s.Waits(12) {
				t.Error("an attempt that waits for two starts behind one")
			}
			for _, attempt := range []uint64{5, 7, 11, 0} {
				if _, ok := s.EndElsewhere(attempt, OutcomeSucceeded, nil); ok {
					t.Errorf("the end of %d is taken, and nothing waits for it elsewhere", attempt)
				}
			}
			if _, ok := s.EndElsewhere(6, OutcomeUnknown+1, nil); ok {
				t.Error("an end without a meaning is taken")
			}
		})
	}
}

// TestEndedByTheCluster: the cluster's word counts where its fence fits.
func TestEndedByTheCluster(t *testing.T) {
	s := accepted(t, []wire.Predecessor{far(5, false)})
	here := Here{ClusterID: "c", Session: "s"}
	fence := wire.Fence{ClusterID: "c", Session: "s", JournalID: "j"}
	for name, change := range map[string]func(*wire.Fence){
		"cluster":    func(f *wire.Fence) { f.ClusterID = "d" },
		"connection": func(f *wire.Fence) { f.Session = "r" },
		"journal":    func(f *wire.Fence) { f.JournalID = "k" },
	} {
		wrong := fence
		change(&wrong)
		if d := s.Ended(here, &wire.Ended{Fence: wrong, Attempt: 5, Outcome: OutcomeSucceeded}); len(d.Records) > 0 || d.Effects[0].Action != Reply {
			t.Errorf("another %s: %+v", name, d)
		}
	}
	d := s.Ended(here, &wire.Ended{Fence: fence, Attempt: 5, Outcome: OutcomeSucceeded})
	if len(d.Effects) != 1 || d.Effects[0].Action != Release || !d.Durable() {
		t.Fatalf("%+v", d)
	}
	apply(t, s, d.Records...)
	if got := s.Runnable(); !slices.Equal(got, []uint64{11}) {
		t.Errorf("runnable %v", got)
	}
	if d := s.Ended(here, &wire.Ended{Fence: fence, Attempt: 5, Outcome: OutcomeFailed}); len(d.Records)+len(d.Effects) > 0 {
		t.Errorf("a repeat does something: %+v", d)
	}
}

// TestNobodyWaitsElsewhere: what was called back waits for nothing any more.
func TestNobodyWaitsElsewhere(t *testing.T) {
	s := accepted(t, []wire.Predecessor{far(5, false)}, []wire.Predecessor{far(5, false)})
	apply(t, s, &Forbidden{Report: notStarted(s.Seq+1, 11, "recalled")})
	if got := s.Elsewhere(); len(got) != 1 {
		t.Errorf("awaited %v, want the one that attempt 12 waits for", got)
	}
	apply(t, s, &Forbidden{Report: notStarted(s.Seq+1, 12, "recalled")})
	if got := s.Elsewhere(); len(got) != 0 || len(s.behind) != 0 || len(s.elsewhere) != 0 {
		t.Errorf("awaited %v, behind %v", got, s.behind)
	}
}

// TestPowerCutElsewhere: what waits for another agent has not begun, whatever a power cut
// takes; what has heard of the end may have.
func TestPowerCutElsewhere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := mustOpen(t, dir, "boot")
	mustAppend(t, j, &Awaits{Attempt: 11, After: []wire.Predecessor{far(5, false)}}, &Intended{Attempt: 11, Jobs: 1, Window: 1, Seq: 1, Step: "a"},
		&Awaits{Attempt: 12, After: []wire.Predecessor{{Attempt: 11}}}, &Intended{Attempt: 12, Jobs: 1, Window: 1, Seq: 2, Step: "b"})
	phases := func(s State) (phases [2]Phase) {
		for i := range phases {
			a, _ := s.Attempt(uint64(11 + i))
			phases[i] = a.Phase
		}
		return phases
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = mustOpen(t, dir, "another boot")
	if got := phases(stateOf(j)); got != [2]Phase{Intent, Intent} {
		t.Errorf("behind a power cut what waits is in phases %v, want that it waits on", got)
	}
	mustAppend(t, j, &Rebased{}, &EndedElsewhere{Attempt: 5, Outcome: OutcomeSucceeded})
	if j.Permitted(11) {
		t.Error("an attempt may start because of an end that is not on disk")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if got := phases(stateOf(mustOpen(t, dir, "a third boot"))); got != [2]Phase{Unknown, Unknown} {
		t.Errorf("behind another one what may have begun is in phases %v, want unknown", got)
	}
}

// TestEndings: ends are kept for who tells the site of them, and only when they are on
// disk; those that the cluster lacks can be had again.
func TestEndings(t *testing.T) {
	j := mustOpen(t, filepath.Join(t.TempDir(), "journal"), "boot")
	mustAppend(t, j, &Intended{Attempt: 10, Jobs: 1, Window: 1, Seq: 1, Step: "s 10"}, &Forbidden{Report: notStarted(2, 9, "never came")})
	wanted := j.WatchEndings()
	mustAppend(t, j, &AttemptEnded{Report: wire.Report{Seq: 3, Attempt: 10, End: true, Outcome: OutcomeSucceeded}})
	select {
	case <-wanted:
	default:
		t.Error("nobody is told that there is an end")
	}
	want := []Ending{{Attempt: 10, Step: "s 10", Outcome: OutcomeSucceeded}}
	got, err := j.TakeEndings()
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if j.synced != j.appended {
		t.Errorf("%d of %d bytes are on disk", j.synced, j.appended)
	}
	if got, err := j.TakeEndings(); len(got) > 0 || err != nil {
		t.Errorf("taken twice: %+v, %v", got, err)
	}
	unacknowledged := func() (all []Ending) {
		j.View(func(s *State) { all = s.Endings() })
		return all
	}
	if got := unacknowledged(); !reflect.DeepEqual(got, want) {
		t.Errorf("not acknowledged %+v, want %+v", got, want)
	}
	mustAppend(t, j, &Acked{Seq: 3})
	if got := unacknowledged(); len(got) > 0 {
		t.Errorf("acknowledged %+v", got)
	}
}
