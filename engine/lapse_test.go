package engine

import (
	"slices"
	"strings"
	"testing"

	"quorate/eventlog"
)

// A lapse is a cluster that was recovered: the agent of h0 had reported up to 4, on
// an attempt that is under way on record, and may know of more.
type lapse struct {
	*lab
	agent   *Agent
	run     *Run
	open    uint64 // under way on record
	at      uint64 // the recovery
	session int
}

func newLapse(t *testing.T, tasks ...eventlog.PlanTask) *lapse {
	l := &lapse{lab: newLab(t)}
	l.ok(&eventlog.OrchestratorJoined{Replica: 1})
	l.agent = l.s.Agents[l.lab.agent("h0")]
	l.connect(4, 0)
	l.agent.JournalSeq = 4
	l.run = l.lab.run(plan(1, append([]eventlog.PlanTask{{}}, tasks...)...))
	l.decide()
	l.open = l.attempt(l.run, 0, 0).ID
	return l
}

func (l *lapse) recover(generation uint64) {
	l.t.Helper()
	l.at = l.ok(&eventlog.ClusterRecovered{Replica: l.s.NextReplica(), At: l.s.Index, Generation: generation})
	l.ok(&eventlog.LeaderEstablished{Replica: l.s.NextReplica() - 1})
}

// connect is a Hello: the newest report made, the newest acknowledged, and what is held.
func (l *lapse) connect(seq, acked uint64, held ...uint64) {
	l.t.Helper()
	l.session++
	l.ok(&eventlog.AgentConnected{
		Agent: l.agent.ID, Session: strings.Repeat("s", l.session), JournalID: l.agent.JournalID,
		JournalSeq: seq, Acked: acked, Attempts: held,
	})
}

// What a journal tells of that the log lost decides about the agent.
func TestJournalOfALostLog(t *testing.T) {
	t.Parallel()
	const lost = 1000 // an attempt that was given out in the lost log
	for name, c := range map[string]struct {
		seq, acked  uint64
		held        func(l *lapse) []uint64
		quarantined string
		resumed     bool
	}{
		"nothing is lost":                   {seq: 4, acked: 4, held: func(l *lapse) []uint64 { return []uint64{l.open} }},
		"what is lost was not acknowledged": {seq: 9, acked: 3, held: func(l *lapse) []uint64 { return []uint64{l.open} }},
		"nothing was begun":                 {seq: 4, acked: 4},
		"reports are lost, idle":            {seq: 7, acked: 6, resumed: true},
		"an attempt is lost": {
			seq: 5, acked: 4, held: func(l *lapse) []uint64 { return []uint64{l.open, lost, lost + 1} },
			quarantined: "what its journal holds of attempts 1000, 1001 is not on record: the cluster was recovered",
		},
		"reports are lost, one under way": {
			seq: 7, acked: 6, held: func(l *lapse) []uint64 { return []uint64{l.open} },
			quarantined: "its reports 5 to 6 is not on record: the cluster was recovered",
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLapse(t)
			l.recover(77)
			var held []uint64
			if c.held != nil {
				held = c.held(l)
			}
			l.connect(c.seq, c.acked, held...)
			a, at := l.agent, l.s.Attempts[l.open]
			if !strings.Contains(a.Quarantined, c.quarantined) || (a.Quarantined != "") != (c.quarantined != "") {
				t.Errorf("quarantined: %q", a.Quarantined)
			}
			if c.quarantined != "" && (a.Connected || !strings.Contains(a.Quarantined, "quorate agent revoke h0")) {
				t.Errorf("connected %v, and is told %q", a.Connected, a.Quarantined)
			}
			if len(l.s.Beyond()) != 0 {
				t.Error("beyond the log, and a recovery says why")
			}
			if lost := c.quarantined != "" || c.resumed; lost != (at.Outcome == eventlog.Unknown) {
				t.Errorf("the attempt under way is %v", at.Outcome)
			}
			if c.resumed && (a.JournalSeq != c.acked || a.Lapse != l.at || !a.Connected) {
				t.Errorf("goes on behind report %d, lapse %d, connected %v", a.JournalSeq, a.Lapse, a.Connected)
			}
			if !c.resumed && (a.JournalSeq != 4 || a.Lapse != 0) {
				t.Errorf("report %d, lapse %d", a.JournalSeq, a.Lapse)
			}
		})
	}
}

// What somebody gave up in the lost log, the agent will never begin: it has been told
// that it is settled.
func TestGivenUpInTheLostLog(t *testing.T) {
	t.Parallel()
	for held, want := range map[bool]eventlog.Outcome{true: 0, false: eventlog.Unknown} {
		l := newLapse(t)
		l.recover(77)
		e := &eventlog.AgentConnected{Agent: l.agent.ID, Session: "x", JournalID: l.agent.JournalID, JournalSeq: 4, Acked: 4, Floor: l.open}
		if held {
			e.Attempts = []uint64{l.open}
		}
		l.ok(e)
		if at := l.s.Attempts[l.open]; at.Outcome != want || l.agent.Quarantined != "" || l.agent.Lapse != 0 {
			t.Errorf("held %v: the attempt is %v, the agent %+v", held, at.Outcome, l.agent)
		}
	}
}

// Only the first connection since the recovery may find that reports are lost. An
// acknowledgement that no record tells of is proof that somebody put the log back.
func TestLogPutBackByHand(t *testing.T) {
	t.Parallel()
	l := newLapse(t)
	l.connect(7, 6)
	if !strings.Contains(l.agent.Quarantined, `without "quorate cluster restore"`) {
		t.Errorf("quarantined: %q", l.agent.Quarantined)
	}
	if found := l.s.Beyond(); len(found) != 1 || found[0] != l.agent || l.agent.Beyond != l.s.Index {
		t.Errorf("beyond the log: %v", found)
	}
	l.ok(&eventlog.AgentRevoked{Agent: l.agent.ID, By: "op"})
	if found := l.s.Beyond(); len(found) != 0 {
		t.Errorf("beyond the log, and revoked: %v", found)
	}
	l = newLapse(t)
	l.recover(77)
	l.connect(4, 4, l.open)
	l.connect(7, 6)
	if l.agent.Quarantined == "" || l.agent.Beyond == 0 {
		t.Error("a second connection resumes")
	}
	if why := l.void(&eventlog.AgentConnected{Agent: l.agent.ID, Session: "x", JournalID: l.agent.JournalID, JournalSeq: 7, Acked: 8}); why == "" {
		t.Error("more is acknowledged than was made")
	}
}

// An agent that resumed may have done steps of earlier runs that are not on record:
// each of them is unknown when its turn comes, and is done again only where that is
// harmless or somebody says so. What was asked for since is done.
func TestStepsBehindALapse(t *testing.T) {
	t.Parallel()
	l := newLapse(t, eventlog.PlanTask{}, eventlog.PlanTask{Idempotent: true}, eventlog.PlanTask{Requires: all(1)})
	for task := range uint32(3) {
		if st := l.run.Step(task, 0); st.Status != Running {
			t.Fatalf("task %d is %s", task, st.Status)
		}
	}
	l.end(l.run, 0, 0, eventlog.Succeeded)
	l.recover(77)
	later := l.lab.run(plan(1, eventlog.PlanTask{}))
	l.decide()
	l.connect(7, 6)
	l.decide()
	if got, want := l.statuses(l.run), []string{"succeeded", "waiting", "running", "pending"}; !slices.Equal(got, want) {
		t.Errorf("the run from before: %v, want %v", got, want)
	}
	if at := l.attempt(l.run, 2, 0); at.Supersedes == 0 || at.ID < l.s.Serial(0) {
		t.Errorf("the idempotent step is in attempt %+v", at)
	}
	if at := l.attempt(later, 0, 0); at.Outcome != 0 || at.Supersedes != 0 {
		t.Errorf("the step of the later run: %+v", at)
	}
	first := l.attempt(l.run, 1, 0).ID
	l.ok(&eventlog.StepResolved{Attempt: first, As: "succeeded", Reason: "looked", By: "ann"})
	l.decide()
	if st := l.run.Step(3, 0); st.Status != Waiting || st.Attempts != 1 {
		t.Errorf("the step that was not scheduled on record: %s after %d attempts", st.Status, st.Attempts)
	}
	l.ok(&eventlog.StepResolved{Attempt: l.attempt(l.run, 3, 0).ID, As: "retry", Reason: "looked", By: "ann"})
	l.decide()
	if st := l.run.Step(3, 0); st.Status != Running {
		t.Errorf("retried, it is %s", st.Status)
	}
}

// Serials of one generation are greater than all of those before, whatever the
// clock that begot it said, and without a recovery they are the indexes.
func TestSerials(t *testing.T) {
	t.Parallel()
	l := newLapse(t)
	last := l.s.Serial(l.s.Index)
	if last != l.s.Index || l.s.Epoch != 2 || l.agent.Connection == 0 {
		t.Errorf("serial %d at %d, epoch %d", last, l.s.Index, l.s.Epoch)
	}
	for _, generation := range []uint64{1_800_000_000_000, 1_800_001_000_000, 5, 1 << 63} {
		l.recover(generation)
		if next := l.s.Serial(l.s.Index); next <= last || l.s.Epoch != next {
			t.Errorf("generation %d: serial %d after %d, epoch %d", generation, next, last, l.s.Epoch)
		}
		last = l.s.Epoch
	}
	l.recover(0) // as it was recorded before there were any
	if want := l.s.Serial(l.s.Index); l.s.RecoveredAt == l.at || l.s.Epoch != want || want-last > 2 {
		t.Errorf("epoch %d after %d", l.s.Epoch, last)
	}
	// Restored twice from the same record, numbers do not meet either.
	one, other := NewState(), NewState()
	one.recovered(1_800_000_000_000)
	other.recovered(1_800_000_001_000)
	if one.Serial(1_000_000) >= other.Serial(1) {
		t.Error("serials meet")
	}
	// JSON's numbers are exact up to 2^53.
	if one.Serial(1<<30) >= 1<<53 {
		t.Errorf("serial %d", one.Serial(1<<30))
	}
}

// A report on an attempt of the lost log counts for no attempt of this one.
func TestReportOfALostAttempt(t *testing.T) {
	t.Parallel()
	l := newLapse(t)
	l.end(l.run, 0, 0, eventlog.Succeeded)
	l.recover(77)
	later := l.lab.run(plan(1, eventlog.PlanTask{}))
	l.decide()
	index := l.s.Index // of the attempt's record
	l.void(&eventlog.AttemptEnded{Attempt: index, Outcome: eventlog.Succeeded, Seq: 5})
	if at := l.attempt(later, 0, 0); at.Outcome != 0 || at.ID != l.s.Serial(index) {
		t.Errorf("attempt %+v at %d", at, index)
	}
}
