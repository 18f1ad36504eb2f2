package journal

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"quorate/nodeagent/wire"
)

// TestSilentFormat: a journal of the format whose reports carry no values folds to
// the same attempts and reports, and goes on in the new format.
func TestSilentFormat(t *testing.T) {
	for _, name := range []string{"version2.log", "version2-rewritten.log"} {
		t.Run(name, func(t *testing.T) {
			dir, j := openGolden(t, name)
			s := stateOf(j)
			open, _ := s.Attempt(10)
			if s.EpochMax != 7 || s.Floor != 3 || s.Acked != 2 || open.Ended != 1 || !open.Running || open.Process.Pid != 4 || open.BeganSeq != 1 {
				t.Errorf("state %+v, the attempt under way %+v", s, open)
			}
			if lost, _ := s.Attempt(12); !lost.Lost || lost.Phase != Unknown {
				t.Errorf("the lost attempt %+v", lost)
			}
			var seen []string
			for _, r := range j.ReportsAfter(2, 1<<20) {
				seen = append(seen, fmt.Sprint(r.Seq, r.Attempt, r.Began, r.End))
			}
			if want := []string{"3 11 false true", "4 12 true false", "5 12 false false", "6 12 false true"}; !slices.Equal(seen, want) {
				t.Errorf("reports %q, want %q", seen, want)
			}
			mustAppend(t, j, &Published{Report: values(7, 10)})
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

func values(seq, attempt uint64) wire.Report {
	return wire.Report{Seq: seq, Attempt: attempt, Published: true, Values: []wire.Value{{Key: "k", Value: []byte("n")}}}
}

// What other hosts go on with is on disk before it leaves the host.
func TestUnsyncedValuesStay(t *testing.T) {
	j := mustOpen(t, t.TempDir(), "boot")
	mustAppend(t, j, intended(10, 2, 1))
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, j, &JobStarted{Attempt: 10})
	err := j.Append(func(s *State, add func(Record)) error {
		rec, err := s.Publish(wire.Report{Attempt: 10, Values: values(0, 0).Values})
		add(rec)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if r := j.ReportsAfter(1, 1<<20); len(r) != 0 {
		t.Errorf("%+v left the host before the sync", r)
	}
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
	if r := j.ReportsAfter(1, 1<<20); len(r) != 1 || !r[0].Published || len(r[0].Values) != 1 {
		t.Errorf("reports %+v", r)
	}
}

// A job that has the machine restarted goes on behind the restart, and nothing else
// that ran then does: it asked, nothing follows under that boot, and another boot is
// the evidence.
func TestRestartAsked(t *testing.T) {
	for _, tc := range []struct {
		name string
		then []Record
		boot string
		open bool
	}{
		{"another boot", nil, "after", true},
		{"the same boot", nil, "before", true},
		{"taken back", []Record{&RestartAsked{Attempt: 10}}, "after", false},
		{"ended, and the next job started", []Record{
			&RestartAsked{Attempt: 10},
			&JobEnded{Report: wire.Report{Seq: 2, Attempt: 10, Outcome: OutcomeSucceeded}},
			&JobStarted{Attempt: 10, Position: 1}}, "after", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			j := mustOpen(t, dir, "before")
			mustAppend(t, j, intended(10, 2, 1), &JobStarted{Attempt: 10})
			err := j.Commit(func(s *State, add func(Record)) error {
				rec, err := s.AskRestart(10, false)
				add(rec)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			mustAppend(t, j, tc.then...)
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			s := stateOf(mustOpen(t, dir, tc.boot))
			a, _ := s.Attempt(10)
			if open := a.Phase == Intent; open != tc.open {
				t.Errorf("after the restart: phase %d", a.Phase)
			}
			if tc.open && (a.RestartUnder != "before" || !a.Running) {
				t.Errorf("attempt %+v", a)
			}
		})
	}
}
