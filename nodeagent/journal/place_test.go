package journal

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"quorate/nodeagent/wire"
)

// pooled takes a dispatch of one job of a run, of which so many may be under way.
func pooled(t *testing.T, s *State, run, attempt uint64, places uint32, after ...wire.Predecessor) {
	t.Helper()
	fence := wire.Fence{ClusterID: "c", Session: "s", JournalID: s.JournalID}
	d := s.Dispatch(Here{ClusterID: "c", Session: "s"}, &wire.Dispatch{Fence: fence, Attempt: attempt, Spec: []byte("spec"), After: after, Places: places},
		Work{Step: StepName(run, fmt.Sprint(attempt), "h"), Jobs: 1})
	if len(d.Effects) != 1 || d.Effects[0].Action != Start {
		t.Fatalf("attempt %d: %+v", attempt, d.Effects)
	}
	applyAll(t, s, d.Records...)
}

// may are those of the attempts that may start, of which none waited, and the same
// from a file that was rewritten.
func may(t *testing.T, s *State) []uint64 {
	t.Helper()
	again := newState()
	applyAll(t, again, s.Records()...)
	ids, same := slices.DeleteFunc(s.Open(), s.Waits), slices.DeleteFunc(again.Open(), again.Waits)
	if !slices.Equal(ids, same) || !slices.Equal(s.Runnable(), again.Runnable()) {
		t.Fatalf("%v may start, and %v from the rewritten file", ids, same)
	}
	return ids
}

// TestPlaces: never more of a run are under way than it has places; what comes behind
// another one is before what waits for a place alone, and then numbers count.
func TestPlaces(t *testing.T) {
	s := NewState("j")
	want := func(when string, ids ...uint64) {
		t.Helper()
		if got := may(t, s); !slices.Equal(got, ids) {
			t.Fatalf("%s: %v may start or go on, want %v", when, got, ids)
		}
	}
	pooled(t, s, 1, 1, 0)
	pooled(t, s, 1, 2, 0)
	for id := uint64(3); id <= 6; id++ {
		pooled(t, s, 1, id, 2)
	}
	pooled(t, s, 1, 7, 2, wire.Predecessor{Attempt: 1})
	pooled(t, s, 2, 8, 2) // of another run
	want("at first", 1, 2, 8)
	runJob(t, s, 1)
	want("1 has ended, which 7 waits for", 2, 7, 8)
	do := apply1(t, s)
	do(s.StartJob(7, 0, 0))
	runJob(t, s, 2)
	want("2 has ended", 3, 7, 8)
	do(s.StartJob(3, 0, 0))
	want("3 has started", 3, 7, 8)
	do(s.Publish(wire.Report{Attempt: 3}))
	want("3 has published", 3, 7, 8)
	do(s.Publish(wire.Report{Attempt: 3, Waits: true}))
	want("3 waits for other hosts", 3, 4, 7, 8)
	applyAll(t, s, s.Cancel(Here{ClusterID: "c", Session: "s"}, &wire.Cancel{Fence: wire.Fence{ClusterID: "c", Session: "s", JournalID: "j"}, Attempt: 4}).Records...)
	want("4 was cancelled before it started", 3, 5, 7, 8)
	do(s.StartJob(5, 0, 0))
	if _, err := s.StartJob(6, 0, 0); err == nil {
		t.Error("attempt 6 starts, which has no place")
	}
	do(s.EndJob(wire.Report{Attempt: 3, Outcome: OutcomeSucceeded}))
	do(s.End(3, OutcomeSucceeded, "", nil))
	want("3 had given its place on", 5, 7, 8)
}

// TestPlacesAfterPowerCut: what waits for a place is known not to have begun where no
// place can have become free without a record, or where no job of it may start.
func TestPlacesAfterPowerCut(t *testing.T) {
	restarts := func(id uint64) []Record {
		return []Record{&JobStarted{Attempt: id}, &RestartAsked{Attempt: id, BootID: "before"}}
	}
	for _, tc := range []struct {
		name    string
		records []Record
		open    []uint64 // of what waits
	}{
		{"both may have ended", []Record{&JobStarted{Attempt: 1}, &JobStarted{Attempt: 2}}, nil},
		{"one restarts the machine", append(restarts(1), &JobStarted{Attempt: 2}), nil},
		{"both do", append(restarts(1), restarts(2)...), []uint64{3, 4}},
		{"one of them has not, after all", append(append(restarts(1), restarts(2)...), &RestartAsked{Attempt: 2}), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := NewState("j")
			applyAll(t, s, s.Boot("before").Records...)
			pooled(t, s, 1, 1, 0)
			pooled(t, s, 1, 2, 0)
			pooled(t, s, 1, 3, 2)
			pooled(t, s, 1, 4, 2, wire.Predecessor{Attempt: 3})
			applyAll(t, s, tc.records...)
			applyAll(t, s, s.Boot("after").Records...)
			if got := slices.DeleteFunc(s.Open(), func(id uint64) bool { return id < 3 }); !slices.Equal(got, tc.open) {
				t.Errorf("%v go on, want %v", got, tc.open)
			}
		})
	}
	t.Run("only few may start", func(t *testing.T) {
		s := NewState("j")
		applyAll(t, s, s.Boot("before").Records...)
		pooled(t, s, 1, 1, 0)
		for id := uint64(2); id <= 200; id++ {
			pooled(t, s, 1, id, 1)
		}
		applyAll(t, s, s.Boot("after").Records...)
		if n := len(s.Open()); n != 200-1-windowsMax {
			t.Errorf("%d go on, want all but %d and the one that ran", n, windowsMax)
		}
	})
}

// TestPermitOfAPlace: what frees a place that was taken for certain has to be on disk
// before anybody starts there. A machine that goes down before lets that one go on.
func TestPermitOfAPlace(t *testing.T) {
	end := wire.Report{Seq: 3, Attempt: 1, End: true, Outcome: OutcomeUnknown}
	restarts := []Record{&Intended{Attempt: 1, Jobs: 1, Window: 1, Seq: 1}, &JobStarted{Attempt: 1}, &RestartAsked{Attempt: 1, BootID: "boot"}}
	// As in the format without places: it waits for nothing any more, and no job may start.
	closed := []Record{&Awaits{Attempt: 1}, &Intended{Attempt: 1, Jobs: 1, Seq: 1}}
	for _, tc := range []struct {
		name         string
		taken, freed []Record
	}{
		{"no restart after all", restarts, []Record{&JobEnded{Report: wire.Report{Seq: 3, Attempt: 1, Outcome: OutcomeFailed}},
			&AttemptEnded{Report: wire.Report{Seq: 4, Attempt: 1, End: true, Outcome: OutcomeFailed}}}},
		{"a restart that is no evidence", restarts, []Record{&AttemptEnded{Report: end}}},
		{"never starts", closed, []Record{&Forbidden{Report: notStarted(3, 1, "")}}},
		{"never starts, though it might have", closed, []Record{&WindowExtended{Attempt: 1, Window: 1}, &Forbidden{Report: notStarted(3, 1, "")}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "journal")
			j := mustOpen(t, dir, "boot")
			step := func(id uint64) string { return StepName(1, fmt.Sprint(id), "h") }
			for _, r := range tc.taken {
				if r, ok := r.(*Intended); ok {
					r.Step = step(r.Attempt)
				}
			}
			mustAppend(t, j, append(tc.taken, &Awaits{Attempt: 2, Places: 1}, &Intended{Attempt: 2, Jobs: 1, Window: 1, Seq: 2, Step: step(2)})...)
			if err := j.Sync(); err != nil {
				t.Fatal(err)
			}
			lost, whole := newState(), stateOf(j)
			applyAll(t, lost, whole.Records()...)
			applyAll(t, lost, lost.Boot("after").Records...)
			if !slices.Contains(lost.Open(), 2) || !whole.Waits(2) {
				t.Fatal("attempt 2 may have begun")
			}
			mustAppend(t, j, tc.freed...)
			if freed := stateOf(j); freed.Waits(2) || j.Permitted(2) {
				t.Errorf("waits %t, permitted %t by what is not on disk", freed.Waits(2), j.Permitted(2))
			}
			if err := j.Permit(2); err != nil || !j.Permitted(2) {
				t.Errorf("not permitted by what is on disk: %v", err)
			}
		})
	}
}

// TestPlacelessFormat: a journal of the format that knows of no places folds to the
// same attempts, and goes on in the new one.
func TestPlacelessFormat(t *testing.T) {
	for _, name := range []string{"version5.log", "version5-rewritten.log"} {
		t.Run(name, func(t *testing.T) {
			dir, j := openGolden(t, name)
			s := stateOf(j)
			after := map[uint64][]wire.Predecessor{11: {{Attempt: 10, Any: true}}, 12: {{Attempt: 10}, {Attempt: 11}}}
			for id, want := range after {
				if w := s.waits[id]; w == nil || !slices.Equal(w.after, want) || w.places != 0 {
					t.Errorf("attempt %d waits for %+v, want %+v", id, w, want)
				}
			}
			if at, _ := s.Attempt(10); !at.Running || s.Seq != 4 {
				t.Errorf("state %+v, the attempt that runs %+v", s, at)
			}
			mustAppend(t, j, &Awaits{Attempt: 13, Places: 1}, &Intended{Attempt: 13, Jobs: 1, Seq: 5, Step: StepName(1, "d", "h")})
			want := stateOf(j)
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			if got := stateOf(mustOpen(t, dir, "boot")); !reflect.DeepEqual(got, want) {
				t.Errorf("after reopening\n%+v\nwant\n%+v", got, want)
			}
		})
	}
}
