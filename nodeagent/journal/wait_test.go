package journal

import (
	"path/filepath"
	"testing"

	"quorate/nodeagent/wire"
)

// waiting is a journal with attempt 10, and attempt 11 that waits for its end.
func waiting(t *testing.T, window uint32) *Journal {
	t.Helper()
	j := mustOpen(t, filepath.Join(t.TempDir(), "journal"), "boot")
	mustAppend(t, j, intended(10, 2, 1), &Awaits{Attempt: 11, After: []wire.Predecessor{{Attempt: 10, Any: true}}},
		&Intended{Attempt: 11, Jobs: 1, Window: window, Seq: 2, Step: "s 11"})
	return j
}

// TestPermit: an attempt that waited may find that it need not any more while the
// records are being synced by which it may start; another goroutine told it.
func TestPermit(t *testing.T) {
	end := func(seq uint64) *JobEnded {
		return &JobEnded{Report: wire.Report{Seq: seq, Attempt: 10, Outcome: OutcomeSucceeded}}
	}
	for name, more := range map[string][]Record{
		"intended":        nil,
		"window extended": {&WindowExtended{Attempt: 11, Window: 1}},
		"behind a restart": {&JobStarted{Attempt: 10}, &RestartAsked{Attempt: 10, BootID: "boot"}, end(3),
			&AttemptEnded{Report: wire.Report{Seq: 4, Attempt: 10, End: true, Outcome: OutcomeSucceeded}}},
	} {
		t.Run(name, func(t *testing.T) {
			j := waiting(t, 0)
			if more != nil {
				if err := j.Sync(); err != nil {
					t.Fatal(err)
				}
				if !j.Permitted(11) {
					t.Error("not permitted by what is on disk")
				}
				mustAppend(t, j, more...)
			}
			if j.Permitted(11) {
				t.Error("permitted by what is not on disk")
			}
			if err := j.Permit(11); err != nil {
				t.Fatal(err)
			}
			if !j.Permitted(11) || j.synced != j.appended {
				t.Errorf("%d of %d bytes are synced", j.synced, j.appended)
			}
		})
	}
}

// TestFailureAtTheWindow: a failed job ends its attempt wherever its window ends, and
// the record of that may be lost: what waits for any end may have started.
func TestFailureAtTheWindow(t *testing.T) {
	j := mustOpen(t, filepath.Join(t.TempDir(), "journal"), "boot")
	mustAppend(t, j, &Intended{Attempt: 10, Jobs: 2, Window: 1, Seq: 1, Step: "s 10"},
		&Awaits{Attempt: 11, After: []wire.Predecessor{{Attempt: 10, Any: true}}},
		&Intended{Attempt: 11, Jobs: 1, Window: 1, Seq: 2, Step: "s 11"},
		&JobStarted{Attempt: 10}, &JobEnded{Report: wire.Report{Seq: 3, Attempt: 10, Outcome: OutcomeFailed}})
	mustAppend(t, j, j.state.Boot("another boot").Records...)
	if a, _ := j.state.Attempt(11); a.Phase != Unknown {
		t.Errorf("what waits for the failed attempt is in phase %d, want unknown", a.Phase)
	}
	if a, _ := j.state.Attempt(10); a.Phase != Intent {
		t.Errorf("the attempt whose job failed is in phase %d, want that it goes on to its end", a.Phase)
	}
}
