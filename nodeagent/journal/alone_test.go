package journal

import (
	"errors"
	"slices"
	"testing"

	"quorate/nodeagent/wire"
)

func applyAll(t *testing.T, s *State, records ...Record) {
	t.Helper()
	for _, r := range records {
		if err := s.Apply(r); err != nil {
			t.Fatal(err)
		}
	}
}

func apply1(t *testing.T, s *State) func(Record, error) {
	return func(r Record, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		applyAll(t, s, r)
	}
}

// ends is a job's end, and the attempt's, if that is its last.
func runJob(t *testing.T, s *State, attempt uint64) {
	t.Helper()
	do := apply1(t, s)
	a, _ := s.Attempt(attempt)
	do(s.StartJob(attempt, a.Ended, 0))
	do(s.EndJob(wire.Report{Attempt: attempt, Job: a.Ended, Outcome: OutcomeSucceeded}))
	if a.Ended == a.Jobs {
		do(s.End(attempt, OutcomeSucceeded, "", nil))
	}
}

// shipped is the state of a journal that holds attempt 10, of two jobs, of which one
// has ended and the other one runs, and three of one job: 11, of which that may start,
// 12, of which it may not and which waits for nothing any more, and 13, which waits for 12.
func shipped(t *testing.T) *State {
	t.Helper()
	s := NewState("j")
	applyAll(t, s, s.Boot("before").Records...)
	applyAll(t, s, intended(9, 1, 1))
	runJob(t, s, 9)
	applyAll(t, s, intended(10, 2, 4), &JobStarted{Attempt: 10}, &JobEnded{Report: wire.Report{Seq: 5, Attempt: 10, Outcome: OutcomeSucceeded}}, &JobStarted{Attempt: 10, Position: 1},
		intended(11, 1, 6),
		&Awaits{Attempt: 12, After: nil}, &Intended{Attempt: 12, Jobs: 1, Seq: 7},
		&Awaits{Attempt: 13, After: []wire.Predecessor{{Attempt: 12}}}, &Intended{Attempt: 13, Jobs: 1, Seq: 8})
	return s
}

func phases(s *State) (p []Phase) {
	for _, id := range []uint64{10, 11, 12, 13} {
		a, _ := s.Attempt(id)
		p = append(p, a.Phase)
	}
	return p
}

// TestGoesOnAfterReboot: only what cannot have begun goes on behind a power cut, and
// behind an end in order all but what was running.
func TestGoesOnAfterReboot(t *testing.T) {
	for _, tc := range []struct {
		name    string
		before  []Record
		boots   []string
		phases  []Phase
		bound   uint64
		certain bool
	}{
		{"power cut", nil, []string{"after"}, []Phase{Unknown, Unknown, Intent, Intent}, 8 + 2 + 2 + 1 + 1, false},
		{"end in order", []Record{&Stopped{}}, []string{"after"}, []Phase{Unknown, Intent, Intent, Intent}, 8, false},
		{"end in order, start, power cut", []Record{&Stopped{}}, []string{"before", "after"}, []Phase{Unknown, Unknown, Intent, Intent}, 14, false},
		{"end in order, start", []Record{&Stopped{}}, []string{"before"}, []Phase{Intent, Intent, Intent, Intent}, 8, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := shipped(t)
			applyAll(t, s, tc.before...)
			for _, boot := range tc.boots {
				applyAll(t, s, s.Boot(boot).Records...)
			}
			if got := phases(s); !slices.Equal(got, tc.phases) {
				t.Errorf("phases %v, want %v", got, tc.phases)
			}
			if s.ShownSeq() != tc.bound || s.Certain() != tc.certain {
				t.Errorf("shows %d, certain %t; want %d, %t", s.ShownSeq(), s.Certain(), tc.bound, tc.certain)
			}
		})
	}
}

// TestStopIsTakenBackOnDisk: what a later start under the same boot of the machine
// begins is not synced, and so what took the stop back has to be.
func TestStopIsTakenBackOnDisk(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, "boot")
	mustAppend(t, j, intended(10, 2, 1))
	if err := j.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(func(_ *State, add func(Record)) error { add(&JobStarted{Attempt: 10}); return nil }); !errors.Is(err, errClosed) {
		t.Errorf("a record behind the stop: %v", err)
	}
	j = mustOpen(t, dir, "boot")
	if stateOf(j).stopped || j.synced != j.appended {
		t.Errorf("stopped %t with %d of %d bytes synced", stateOf(j).stopped, j.synced, j.appended)
	}
}

// goneAlone is a journal that has gone on without a connection after a power cut: 12
// has ended, and 13 may start.
func goneAlone(t *testing.T) *State {
	t.Helper()
	s := shipped(t)
	applyAll(t, s, s.Boot("after").Records...)
	applyAll(t, s, s.Ahead()...)
	runJob(t, s, 12)
	if got := s.Alone(); !slices.Equal(got, []uint64{12}) {
		t.Fatalf("went on alone: %v", got)
	}
	return s
}

// TestRolledBackAndAlone: however much an agent does alone, a cluster that has more
// than the journal can have sent before finds out that it was put back.
func TestRolledBackAndAlone(t *testing.T) {
	s := goneAlone(t)
	for range 20 {
		applyAll(t, s, &Forbidden{Report: notStarted(s.Seq+1, 100+s.Seq, "")})
	}
	if s.ShownSeq() != 14 {
		t.Errorf("shows %d, want 14", s.ShownSeq())
	}
	if _, err := s.Welcome(&wire.Welcome{Acked: 15}); !errors.Is(err, ErrRolledBack) {
		t.Errorf("%v", err)
	}
}

// TestDoubts: where the cluster has heard more than the journal held, what was done
// alone is unknown, and what could start behind it does not. Where it has not, what was
// done counts.
func TestDoubts(t *testing.T) {
	for _, tc := range []struct {
		name     string
		acked    uint64
		outcome  uint8
		stranded []uint64
	}{
		{"all that it has is in the journal", 8, OutcomeSucceeded, nil},
		{"it has more", 9, OutcomeUnknown, []uint64{13}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := goneAlone(t)
			applyAll(t, s, s.Ahead()...)
			d, err := s.Welcome(&wire.Welcome{Acked: tc.acked})
			if err != nil {
				t.Fatal(err)
			}
			applyAll(t, s, d.Records...)
			n := 0
			for i, r := range s.ReportsAfter(tc.acked, 1<<20) {
				if r.Seq != tc.acked+1+uint64(i) {
					t.Errorf("report %d is number %d", i, r.Seq)
				}
				if r.Attempt == 12 {
					n++
					if r.Outcome != tc.outcome {
						t.Errorf("report %+v, want outcome %d", r, tc.outcome)
					}
				}
			}
			if n != 2 {
				t.Errorf("%d reports", n)
			}
			if got := s.Stranded(); !slices.Equal(got, tc.stranded) {
				t.Errorf("stranded %v, want %v", got, tc.stranded)
			}
		})
	}
}

// TestDoubtOfWhatRuns: a job that runs alone when the doubt comes ends unknown, and its
// attempt with it.
func TestDoubtOfWhatRuns(t *testing.T) {
	s := shipped(t)
	do := apply1(t, s)
	applyAll(t, s, s.Boot("after").Records...)
	applyAll(t, s, s.Ahead()...)
	do(s.StartJob(12, 0, 0))
	d, err := s.Welcome(&wire.Welcome{Acked: 9})
	if err != nil {
		t.Fatal(err)
	}
	applyAll(t, s, d.Records...)
	do(s.EndJob(wire.Report{Attempt: 12, Outcome: OutcomeSucceeded}))
	do(s.End(12, OutcomeSucceeded, "", nil))
	r := s.ReportsAfter(9, 1<<20)
	if r = r[len(r)-2:]; r[0].Outcome != OutcomeUnknown || r[1].Outcome != OutcomeUnknown || r[1].Reason != doubtReason {
		t.Errorf("reports %+v", r)
	}
}
