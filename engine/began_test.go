package engine

import (
	"testing"

	"quorate/eventlog"
)

// What an agent's journal held is known wherever the agent comes back: an older
// copy of the journal lacks an attempt that is under way.
func TestAttemptBegan(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.s.Agents[l.agent("h0")]
	r := l.run(plan(1, eventlog.PlanTask{}, eventlog.PlanTask{}, eventlog.PlanTask{}))
	l.decide()
	ids := []uint64{l.attempt(r, 0, 0).ID, l.attempt(r, 1, 0).ID, l.attempt(r, 2, 0).ID}
	wantMissing := func(want uint64, held ...uint64) {
		t.Helper()
		if got := a.MissingAttempt(held, 0); got != want {
			t.Errorf("of %v %d is missing, want %d", held, got, want)
		}
	}
	wantMissing(0) // nothing of it is known to be there
	l.void(&eventlog.AttemptBegan{Attempt: 99, Seq: 1})
	l.void(&eventlog.AttemptBegan{Attempt: ids[1], Seq: 2}) // a report is missing before it
	l.ok(&eventlog.AttemptBegan{Attempt: ids[1], Seq: 1})
	l.void(&eventlog.AttemptBegan{Attempt: ids[1], Seq: 1}) // it is committed
	l.ok(&eventlog.AttemptBegan{Attempt: ids[0], Seq: 2})
	l.ok(&eventlog.AttemptBegan{Attempt: ids[1], Seq: 3}) // counts, and says nothing new
	if a.JournalSeq != 3 || !l.s.Attempts[ids[1]].Began || l.s.Attempts[ids[2]].Began {
		t.Errorf("at report %d", a.JournalSeq)
	}
	l.void(&eventlog.AttemptBegan{Attempt: ids[1]}) // without a number it is news or nothing
	wantMissing(ids[0])
	wantMissing(ids[0], ids[1])
	wantMissing(ids[1], ids[0], ids[2])
	wantMissing(0, ids[2], ids[1], ids[0])
	l.end(r, 0, 0, eventlog.Succeeded)
	wantMissing(0, ids[1]) // what is settled may be gone
	l.ok(&eventlog.AttemptEnded{Attempt: ids[2], Outcome: eventlog.Unknown, By: "ann"})
	l.ok(&eventlog.AttemptBegan{Attempt: ids[2], Seq: 4}) // late, after somebody gave up on it
	wantMissing(0, ids[1])
	l.ok(&eventlog.AgentQuarantined{Agent: a.ID, Reason: "its journal lacks an attempt"})
	wantMissing(0)
	l.void(&eventlog.AttemptBegan{Attempt: ids[1], Seq: 5})
}
