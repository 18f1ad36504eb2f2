package journal

import (
	"errors"
	"testing"

	"quorate/nodeagent/wire"
)

// stateWith folds records into a fresh state.
func stateWith(t *testing.T, records ...Record) *State {
	t.Helper()
	s := newState()
	for _, r := range append([]Record{&Summary{JournalID: "j", BootID: "boot", EpochMax: 5, Floor: 2, Version: formatVersion}}, records...) {
		if err := s.Apply(r); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

var (
	here      = Here{ClusterID: "c", Session: "s"}
	goodFence = wire.Fence{ClusterID: "c", Session: "s", JournalID: "j", Epoch: 5}
)

// TestTable is the table of the protocol, row by row.
func TestTable(t *testing.T) {
	open := intended(10, 2, 1)
	running := []Record{intended(10, 2, 1), &JobStarted{Attempt: 10}}
	done := append(running[:2:2], &JobEnded{Report: wire.Report{Seq: 2, Attempt: 10, Outcome: 1}},
		&AttemptEnded{Report: wire.Report{Seq: 3, Attempt: 10, End: true, Outcome: 1}})
	dispatch := func(f wire.Fence, id, p uint64) wire.Message {
		return &wire.Dispatch{Fence: f, Attempt: id, Supersedes: p, Spec: []byte("spec")}
	}
	cancel := func(f wire.Fence, id uint64) wire.Message { return &wire.Cancel{Fence: f, Attempt: id} }
	otherSpec := &wire.Dispatch{Fence: goodFence, Attempt: 10, Spec: []byte("another")}
	with := func(change func(*wire.Fence)) wire.Fence { f := goodFence; change(&f); return f }
	newEpoch := with(func(f *wire.Fence) { f.Epoch = 6 })

	for _, row := range []struct {
		name    string
		before  []Record
		message wire.Message
		records []Kind
		action  Action
		status  wire.Status
	}{
		{"other cluster", nil, dispatch(with(func(f *wire.Fence) { f.ClusterID = "x" }), 10, 0), nil, Reply, wire.StatusRejected},
		{"other session", nil, dispatch(with(func(f *wire.Fence) { f.Session = "x" }), 10, 0), nil, Reply, wire.StatusRejected},
		{"other journal", nil, cancel(with(func(f *wire.Fence) { f.JournalID = "x" }), 10), nil, Reply, wire.StatusRejected},
		{"old epoch", nil, cancel(with(func(f *wire.Fence) { f.Epoch = 4 }), 10), nil, Reply, wire.StatusRejected},
		{"old epoch, running", running, cancel(with(func(f *wire.Fence) { f.Epoch = 4 }), 10), nil, Reply, wire.StatusRejected},
		{"no attempt", nil, dispatch(goodFence, 0, 0), nil, Reply, wire.StatusRejected},
		{"supersedes a later one", nil, dispatch(goodFence, 10, 11), nil, Reply, wire.StatusRejected},
		{"new epoch", nil, dispatch(newEpoch, 10, 0), []Kind{KindEpochRaised, KindIntended}, Start, 0},
		{"new epoch, nothing else", []Record{open}, dispatch(newEpoch, 10, 0), []Kind{KindEpochRaised}, Reply, wire.StatusRunning},
		{"none, dispatch", nil, dispatch(goodFence, 10, 0), []Kind{KindIntended}, Start, 0},
		{"none, at the floor", nil, dispatch(goodFence, 2, 0), nil, Reply, wire.StatusGone},
		{"none, supersedes open", []Record{open}, dispatch(goodFence, 11, 10), nil, Reply, wire.StatusBusy},
		{"none, supersedes running", running, dispatch(goodFence, 11, 10), nil, Reply, wire.StatusBusy},
		{"none, supersedes done", done, dispatch(goodFence, 11, 10), []Kind{KindIntended}, Start, 0},
		{"none, supersedes none", nil, dispatch(goodFence, 11, 10), []Kind{KindIntended}, Start, 0},
		{"none, an earlier one of the step is open", []Record{&Intended{Attempt: 8, Step: "step", Jobs: 1, Window: 1, Seq: 1}}, dispatch(goodFence, 11, 10), nil, Reply, wire.StatusBusy},
		{"none, a later one of the step is known", []Record{&Intended{Attempt: 12, Step: "step", Jobs: 1, Window: 1, Seq: 1}}, dispatch(goodFence, 11, 0), []Kind{KindForbidden}, Resend, 0},
		{"none, another step is open", []Record{&Intended{Attempt: 8, Step: "another", Jobs: 1, Window: 1, Seq: 1}}, dispatch(goodFence, 11, 0), []Kind{KindIntended}, Start, 0},
		{"open, dispatch again", []Record{open}, dispatch(goodFence, 10, 0), nil, Reply, wire.StatusRunning},
		{"open, another step", []Record{open}, otherSpec, nil, Reply, wire.StatusRejected},
		{"open, cancel", []Record{open}, cancel(goodFence, 10), []Kind{KindForbidden}, Kill, 0},
		{"running, cancel", running, cancel(goodFence, 10), nil, Kill, 0},
		{"none, cancel", nil, cancel(goodFence, 10), []Kind{KindForbidden}, Resend, 0},
		{"none, cancel at the floor", nil, cancel(goodFence, 1), nil, Reply, wire.StatusGone},
		{"done, dispatch", done, dispatch(goodFence, 10, 0), nil, Resend, 0},
		{"done, cancel", done, cancel(goodFence, 10), nil, Resend, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := stateWith(t, row.before...)
			var d Decision
			switch m := row.message.(type) {
			case *wire.Dispatch:
				d = s.Dispatch(here, m, Work{Jobs: 2, Step: "step"})
			case *wire.Cancel:
				d = s.Cancel(here, m)
			}
			var kinds []Kind
			for _, r := range d.Records {
				kinds = append(kinds, r.Kind())
				if err := s.Apply(r); err != nil {
					t.Error(err)
				}
			}
			if len(kinds) != len(row.records) {
				t.Fatalf("records %v, want %v", kinds, row.records)
			}
			for i := range kinds {
				if kinds[i] != row.records[i] || !kinds[i].Durable() {
					t.Errorf("record %d is of kind %d, want %d, durable", i, kinds[i], row.records[i])
				}
			}
			switch {
			case row.action == 0 && len(d.Effects) == 0:
			case len(d.Effects) != 1 || d.Effects[0].Action != row.action || d.Effects[0].Reply.Status != row.status:
				t.Errorf("effects %+v, want %d with status %d", d.Effects, row.action, row.status)
			}
		})
	}
}

// TestSupersedingForbids: one record accepts the successor and forbids what it
// supersedes, so a late dispatch of that starts nothing.
func TestSupersedingForbids(t *testing.T) {
	s := stateWith(t)
	d := s.Dispatch(here, &wire.Dispatch{Fence: goodFence, Attempt: 11, Supersedes: 10, Spec: []byte("spec")}, Work{Jobs: 1})
	if len(d.Records) != 1 {
		t.Fatalf("%d records", len(d.Records))
	}
	if err := s.Apply(d.Records[0]); err != nil {
		t.Fatal(err)
	}
	late := s.Dispatch(here, &wire.Dispatch{Fence: goodFence, Attempt: 10, Spec: []byte("spec")}, Work{Jobs: 1})
	if len(late.Records) != 0 || len(late.Effects) != 1 || late.Effects[0].Action != Resend {
		t.Errorf("late dispatch: %+v", late)
	}
	if r := s.ReportsAfter(0, 1<<20); len(r) != 2 || r[0].Attempt != 10 || r[0].Outcome != OutcomeNotStarted || r[1].Attempt != 11 || !r[1].Began {
		t.Errorf("reports %+v", r)
	}
}

// TestNumbersAfterReboot: the tail of the journal was lost after its reports had
// been committed. The agent is not taken for rolled back, and what it reports now
// follows on what the cluster has.
func TestNumbersAfterReboot(t *testing.T) {
	s := stateWith(t, intended(10, 100, 1), &JobStarted{Attempt: 10}, &JobEnded{Report: wire.Report{Seq: 2, Attempt: 10, Outcome: 1}})
	d := s.Boot("another")
	for _, r := range d.Records {
		if err := s.Apply(r); err != nil {
			t.Fatal(err)
		}
	}
	// 63 jobs of the window may have ended, and the attempt.
	if got := s.ShownSeq(); got != 66 {
		t.Errorf("shows %d, want 66", got)
	}
	if r := s.ReportsAfter(0, 1<<20); r != nil {
		t.Errorf("reports %v are sent under numbers that may be taken", r)
	}
	if _, err := s.Welcome(&wire.Welcome{Acked: 67}); !errors.Is(err, ErrRolledBack) {
		t.Errorf("a cluster that knows more than there can have been: %v", err)
	}
	d, err := s.Welcome(&wire.Welcome{Acked: 40})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range d.Records {
		if err := s.Apply(r); err != nil {
			t.Fatal(err)
		}
	}
	r := s.ReportsAfter(40, 1<<20)
	if len(r) != 1 || r[0].Seq != 41 || r[0].Attempt != 10 || r[0].Outcome != OutcomeUnknown || !r[0].End {
		t.Errorf("reports %+v", r)
	}
	if s.Seq != 41 || s.ShownSeq() != 41 {
		t.Errorf("newest report %d", s.Seq)
	}
}

// TestAckKeepsWhatTheFloorDoesNotCover: entries answer repeats until the floor
// passes them.
func TestAckKeepsWhatTheFloorDoesNotCover(t *testing.T) {
	s := stateWith(t, &Forbidden{Report: wire.Report{Seq: 1, Attempt: 10, End: true, Outcome: 5}}, &Acked{Seq: 1, Floor: 9})
	if _, ok := s.Attempt(10); !ok {
		t.Fatal("the entry is gone")
	}
	if err := s.Apply(&Acked{Seq: 1, Floor: 10}); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Attempt(10); ok {
		t.Error("the entry is still there")
	}
	d := s.Dispatch(here, &wire.Dispatch{Fence: goodFence, Attempt: 10, Spec: []byte("spec")}, Work{Jobs: 1})
	if len(d.Effects) != 1 || d.Effects[0].Reply.Status != wire.StatusGone {
		t.Errorf("%+v", d)
	}
	if _, err := s.Ack(&wire.Ack{Seq: 2}); !errors.Is(err, ErrRolledBack) {
		t.Errorf("an acknowledgement of what was never sent: %v", err)
	}
}

// A job whose outcome nobody knows was reported, the machine went down, and the
// record of the attempt's end, which followed it, is gone: the attempt must not
// come back as one that has nothing left to do.
func TestALostJobOutlivesTheRecordOfItsAttemptsEnd(t *testing.T) {
	s := NewState("j")
	apply := func(records ...Record) {
		t.Helper()
		for _, r := range records {
			if err := s.Apply(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	apply(s.Boot("before").Records...)
	h := Here{ClusterID: "c", Session: "s"}
	m := &wire.Dispatch{Fence: wire.Fence{ClusterID: "c", Session: "s", JournalID: "j", Epoch: 1}, Attempt: 7, Spec: []byte("x")}
	d := s.Dispatch(h, m, Work{Step: "step", Jobs: 1})
	apply(d.Records...)
	start, err := s.StartJob(7, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	apply(start)
	end, err := s.EndJob(wire.Report{Attempt: 7, Outcome: OutcomeUnknown})
	if err != nil {
		t.Fatal(err)
	}
	apply(end)
	apply(s.Boot("after").Records...)
	if a, _ := s.Attempt(7); a.Phase != Unknown {
		t.Errorf("the attempt is in phase %d, want unknown", a.Phase)
	}
}
