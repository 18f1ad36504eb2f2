package journal

import (
	"reflect"
	"slices"
	"testing"

	"quorate/nodeagent/wire"
)

// TestMuteFormat: a journal of the format without outputs and notes folds to the same
// attempts and reports, and goes on in the new one.
func TestMuteFormat(t *testing.T) {
	for _, name := range []string{"version6.log", "version6-rewritten.log"} {
		t.Run(name, func(t *testing.T) {
			dir, j := openGolden(t, name)
			s := stateOf(j)
			if at, _ := s.Attempt(10); at.Ended != 1 || at.Jobs != 3 || string(at.Spec) != "s" || at.BeganSeq != 1 || at.Notes != nil {
				t.Errorf("the attempt under way %+v", at)
			}
			if at, _ := s.Attempt(12); at.Phase != Unknown || at.EndSeq != 6 {
				t.Errorf("the unknown attempt %+v", at)
			}
			if w := s.waits[11]; len(w.after) != 2 || w.after[1].Attempt != 6 || w.after[1].Elsewhere.Host != "other" {
				t.Errorf("attempt 11 waits for %+v", w)
			}
			reports := j.ReportsAfter(0, 1<<20)
			if len(reports) != 7 || len(reports[1].Values) != 1 || !reports[2].Changed || reports[5].OutputDigest != "d" || reports[6].Outcome != OutcomeNotStarted {
				t.Errorf("reports %+v", reports)
			}
			mustAppend(t, j, &Noted{Attempt: 10, Note: []byte("n")}, &EndedElsewhere{Attempt: 6, Outcome: 1, Output: []byte("o")})
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

// TestNotes: what was noted stays until the memory has it, whatever the cluster knows,
// and no longer.
func TestNotes(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, "boot")
	mustAppend(t, j, intended(10, 1, 1), &JobStarted{Attempt: 10}, &Noted{Attempt: 10, Note: []byte("n")},
		&JobEnded{Report: wire.Report{Seq: 2, Attempt: 10, Outcome: OutcomeSucceeded}},
		&AttemptEnded{Report: wire.Report{Seq: 3, Attempt: 10, End: true, Outcome: OutcomeSucceeded}},
		&Acked{Seq: 3, Floor: 10})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = mustOpen(t, dir, "boot")
	now := stateOf(j)
	if ids := now.Unremembered(); !slices.Equal(ids, []uint64{10}) {
		t.Errorf("attempts with notes: %v", ids)
	}
	mustAppend(t, j, &Remembered{Attempts: []uint64{7, 10}})
	now = stateOf(j)
	if ids := now.Attempts(); len(ids) > 0 {
		t.Errorf("attempts that nobody asks for: %v", ids)
	}
	mustAppend(t, j, intended(11, 1, 4), &JobStarted{Attempt: 11}, &Noted{Attempt: 11, Note: []byte("n")}, &Remembered{Attempts: []uint64{11}})
	now = stateOf(j)
	if at, _ := now.Attempt(11); len(at.Notes) != 1 {
		t.Error("the notes of an attempt under way are forgotten")
	}
}

// TestInputs: outputs of other agents' attempts are added as these end, and an input that
// cannot be known is dropped.
func TestInputs(t *testing.T) {
	key := wire.Elsewhere{Key: "k", Run: 1, Task: "a", Host: "other"}
	output := []byte("0123456789abcdef")
	open := []wire.Input{{Task: "a", Output: wire.Sum{1}, Open: []uint64{5, 6}}, {Task: "b", Output: wire.Sum{2}}}
	sum := wire.Sum{1}
	sum.Add("other", output)
	half := sum
	sum.Add("other", output)
	for _, c := range []struct {
		name   string
		inputs []wire.Input
		ends   []EndedElsewhere
		want   []wire.Input
	}{
		{"none has ended", open, nil, open},
		{"one has ended", open, []EndedElsewhere{{Attempt: 6, Outcome: 1, Output: output}}, []wire.Input{{Task: "a", Output: half, Open: []uint64{5}}, open[1]}},
		{"all have ended", open, []EndedElsewhere{{Attempt: 6, Outcome: 1, Output: output}, {Attempt: 5, Outcome: 1, Output: output}},
			[]wire.Input{{Task: "a", Output: sum, Open: []uint64{}}, open[1]}},
		{"an end is told twice", open, []EndedElsewhere{{Attempt: 6, Outcome: 1, Output: output}, {Attempt: 6, Outcome: 1, Output: output}},
			[]wire.Input{{Task: "a", Output: half, Open: []uint64{5}}, open[1]}},
		{"an end without an output", open, []EndedElsewhere{{Attempt: 6, Outcome: 1}}, open[1:]},
		{"a failure", open, []EndedElsewhere{{Attempt: 6, Outcome: 2, Output: output}}, open[1:]},
		{"an attempt that is not waited for", []wire.Input{{Task: "a", Open: []uint64{4}}, open[1]}, nil, open[1:]},
		{"an attempt of its own", []wire.Input{{Task: "a", Open: []uint64{7}}, open[1]}, nil, open[1:]},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := NewState("j")
			apply := func(records ...Record) {
				for _, r := range records {
					if err := s.Apply(r); err != nil {
						t.Fatal(err)
					}
				}
			}
			apply(intended(7, 1, 1))
			m := &wire.Dispatch{Fence: wire.Fence{JournalID: "j"}, Attempt: 10, Inputs: c.inputs,
				After: []wire.Predecessor{{Attempt: 5, Elsewhere: key}, {Attempt: 6, Any: true, Elsewhere: key}, {Attempt: 7}}}
			apply(s.Dispatch(Here{}, m, Work{Step: "s", Jobs: 1}).Records...)
			for i := range c.ends {
				apply(&c.ends[i])
			}
			again := newState() // as the file has it once it is rewritten
			for _, r := range s.Records() {
				if err := again.Apply(r); err != nil {
					t.Fatal(err)
				}
			}
			for _, s := range []*State{s, again} {
				at, ok := s.Attempt(10)
				if !ok || !slices.EqualFunc(at.Inputs, c.want, func(a, b wire.Input) bool {
					return a.Task == b.Task && a.Output == b.Output && slices.Equal(a.Open, b.Open)
				}) {
					t.Errorf("%+v, want %+v", at, c.want)
				}
			}
		})
	}
}
