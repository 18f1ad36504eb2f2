package engine

import (
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"quorate/eventlog"
)

// wildEvent draws an event that refers to things that may or may not be there.
func wildEvent(t *rapid.T, l *lab) eventlog.Event {
	small := rapid.Uint32Range(0, 6)
	index := rapid.Uint64Range(0, l.s.Index+1).Draw(t, "index")
	outcome := eventlog.Outcome(rapid.Uint8Range(0, 7).Draw(t, "outcome"))
	request := rapid.SampledFrom([]string{"", "", "a", "b", "c"}).Draw(t, "request")
	host := rapid.SampledFrom([]uint32{0, 1, 2, 9, NoHost}).Draw(t, "host")
	task := small.Draw(t, "task")
	run := uint64(small.Draw(t, "run"))
	name := rapid.SampledFrom([]string{"", "h0", "h1", "ctl"}).Draw(t, "name")
	switch rapid.IntRange(0, 20).Draw(t, "kind") {
	case 0:
		return &eventlog.LeaderEstablished{Replica: run}
	case 1:
		return &eventlog.TokenCreated{TokenHash: request, Name: name, Role: "agent", Labels: []string{ControllerLabel}}
	case 2:
		return &eventlog.AgentEnrolled{TokenHash: request, Name: name, KeyDigest: name, JournalID: "j"}
	case 3:
		return &eventlog.AgentApproved{Agent: index, RequestID: request}
	case 4:
		return &eventlog.AgentRevoked{Agent: index, RequestID: request}
	case 5:
		return &eventlog.AgentConnected{Agent: index, Session: request, JournalID: "j", Gateway: run, Came: eventlog.Arrival(task)}
	case 6:
		return &eventlog.AgentDisconnected{Agent: index, Session: request}
	case 7:
		return &eventlog.AgentQuarantined{Agent: index, Reason: request}
	case 8:
		return &eventlog.RunCreated{PlanID: "plan", RequestID: request, FailFast: task == 0, StepsMax: task}
	case 9:
		return &eventlog.RunCancelled{Run: run, RequestID: request}
	case 10:
		return &eventlog.StepScheduled{Run: run, Task: task, Host: host, Agent: index, Epoch: l.s.Epoch}
	case 11:
		return &eventlog.JobEnded{Attempt: index, Job: task, Outcome: outcome, Seq: run}
	case 12:
		return &eventlog.AttemptEnded{Attempt: index, Outcome: outcome, Seq: run, By: request}
	case 13:
		return &eventlog.TaskRecorded{Run: run, Task: task}
	case 14:
		return &eventlog.TaskSkipped{Run: run, Task: task, Hosts: []uint32{host}, Cause: small.Draw(t, "cause")}
	case 15:
		return &eventlog.TaskSkipped{Run: run, Task: task, Cause: small.Draw(t, "cause")}
	case 16:
		return &eventlog.StepResolved{Attempt: index, As: rapid.SampledFrom([]string{"retry", "succeeded", "failed", "?"}).Draw(t, "as")}
	case 17:
		return &eventlog.OperatorIssued{Name: name, KeyDigest: request, ExpiresAt: int64(index)}
	}
	switch {
	case small.Draw(t, "damping") == 0:
		return &eventlog.DampingSet{
			Work:      rapid.SampledFrom([]string{"", WorkHeld, WorkLast, WorkNormal, "?"}).Draw(t, "work"),
			Threshold: rapid.Uint32Range(0, 5).Draw(t, "threshold"), RequestID: request,
		}
	case small.Draw(t, "lost") == 0:
		return &eventlog.GatewayLost{Gateway: run}
	case small.Draw(t, "sent") == 0:
		return &eventlog.AgentsSent{Gateway: run, To: uint64(task), Agents: []uint64{index, 2, 3, 4, 5}}
	case small.Draw(t, "calm") == 0:
		return &eventlog.AgentCalmed{Agent: index, By: name, RequestID: request}
	case small.Draw(t, "retry") == 0:
		return &eventlog.RunCreated{PlanID: "plan", RequestID: request, RetryOf: run, RetryUnknown: task == 0}
	case small.Draw(t, "denied") == 0:
		return &eventlog.AccessDenied{Entry: name, Reason: "no-right", Count: index}
	case small.Draw(t, "operator revoked") == 0:
		return &eventlog.OperatorRevoked{Name: name, RequestID: request}
	case small.Draw(t, "drain") == 0:
		return &eventlog.AgentDrained{Agent: index, By: name, RequestID: request}
	case small.Draw(t, "undrain") == 0:
		return &eventlog.AgentUndrained{Agent: index, By: name, RequestID: request}
	}
	return &eventlog.RunEnded{Run: run, Outcome: outcome}
}

// TestLaws folds arbitrary events between decisions: void ones change nothing,
// counts agree with a recount, decisions take effect and come to an end, and the
// log folds to the same state again, at once or in two parts.
func TestLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		l := newLab(rt)
		l.agent("h0")
		l.agent("h1")
		l.ok(plan(3, eventlog.PlanTask{Jobs: 3, Idempotent: true}, eventlog.PlanTask{HostSet: 2},
			eventlog.PlanTask{Requires: sameHost(0)}, eventlog.PlanTask{Driver: "local", Requires: all(1)},
			eventlog.PlanTask{Driver: "print", Requires: sameHost(2)}, eventlog.PlanTask{Requires: after(0, 2)},
			eventlog.PlanTask{Driver: "noop", Requires: after(5)}))
		l.ok(&eventlog.RunCreated{PlanID: "plan"})
		for range rapid.IntRange(1, 40).Draw(rt, "events") {
			before := bare(l.s)
			void := l.add(wildEvent(rt, l))
			if (void == "") == (bare(l.s) == before) && !noChange(l) {
				rt.Fatalf("void %q, state changed %v", void, bare(l.s) != before)
			}
			if rapid.IntRange(0, 2).Draw(rt, "decide") == 0 {
				if !reflect.DeepEqual(l.s.Decide(), l.s.Decide()) {
					rt.Fatal("two decisions on one state")
				}
				l.decide()
			}
			if err := recount(l.s); err != nil {
				rt.Fatal(err)
			}
		}
		again := NewState()
		cut := rapid.IntRange(0, len(l.recs)).Draw(rt, "cut")
		for _, part := range [][]eventlog.Record{l.recs[:cut], l.recs[cut:]} {
			for _, rec := range part {
				if _, err := again.Fold(rec); err != nil {
					rt.Fatal(err)
				}
			}
		}
		if again.Hash() != l.s.Hash() {
			rt.Fatal("the log folds to another state")
		}
	})
}

// noChange: the last event is one that may take effect and leave everything as
// it was but for the index: an operator's word given twice has no such right.
func noChange(l *lab) bool {
	kind := l.recs[len(l.recs)-1].Kind
	return kind == eventlog.KindLeaderEstablished || kind == eventlog.KindAccessDenied
}

func TestFoldRefuses(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	before := l.s.Hash()
	entry, err := eventlog.NewEntry(1, &eventlog.TokenCreated{TokenHash: "x", Role: "agent"})
	if err != nil {
		t.Fatal(err)
	}
	gap := eventlog.Record{Index: l.s.Index + 2, Kind: entry.Kind, Data: entry.Data}
	if _, err := l.s.Fold(gap); !errors.Is(err, ErrGap) {
		t.Errorf("a record out of order: %v", err)
	}
	broken := eventlog.Record{Index: l.s.Index + 1, Kind: entry.Kind, Data: entry.Data[:1]}
	if _, err := l.s.Fold(broken); err == nil {
		t.Error("half a record is folded")
	}
	if l.s.Hash() != before {
		t.Error("an error changed the state")
	}
}

// TestTimeIsMonotone: a proposer whose clock runs behind cannot turn back time.
func TestTimeIsMonotone(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.now = 10
	l.ok(&eventlog.LeaderEstablished{Replica: 2})
	if l.s.Time != 1002 {
		t.Errorf("the time is %d", l.s.Time)
	}
}
