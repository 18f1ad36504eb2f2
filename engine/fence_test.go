package engine

import (
	"reflect"
	"testing"

	"quorate/eventlog"
	"quorate/planner"
)

// A leader that was deposed may have proposals under way that land late, at any
// point of what the next leader does. Whatever they are, the run ends as it would
// have: each is void, or is what the next leader would have proposed itself.
func TestLateProposalsOfADeposedLeader(t *testing.T) {
	t.Parallel()
	tasks := func() *eventlog.PlanRecorded {
		return plan(2,
			eventlog.PlanTask{},
			eventlog.PlanTask{Requires: sameHost(0)},
			eventlog.PlanTask{Driver: string(planner.DriverPrint), Requires: all(0), Messages: []string{"m"}},
			eventlog.PlanTask{Requires: all(1)},
			eventlog.PlanTask{Requires: all(3)},
		)
	}
	outcome := func(a *Attempt) eventlog.Outcome {
		if a.Task == 1 && a.Host == 1 {
			return eventlog.Failed // so that steps are skipped
		}
		return eventlog.Succeeded
	}
	// drive goes on until nothing is left to decide, and lets late land before
	// record number at of it. It returns how many records there were.
	drive := func(l *lab, r *Run, at int, late []eventlog.Event, seen func([]eventlog.Event)) (n int) {
		add := func(e eventlog.Event) {
			if n == at {
				for _, e := range late {
					if _, scheduled := e.(*eventlog.StepScheduled); scheduled && l.add(e) == "" {
						t.Errorf("a schedule of the old epoch took effect: %+v", e)
					} else if !scheduled {
						l.add(e)
					}
				}
			}
			n++
			l.add(e)
		}
		for r.Outcome == 0 {
			events := l.s.Decide()
			seen(events)
			for _, e := range events {
				add(e)
			}
			var open []uint64
			for _, a := range l.s.Agents {
				open = append(open, a.Open...)
			}
			if len(events) == 0 && len(open) == 0 {
				t.Fatal("nothing goes on")
			}
			for _, id := range open {
				add(&eventlog.AttemptEnded{Attempt: id, Outcome: outcome(l.s.Attempts[id])})
			}
		}
		return n
	}
	fresh := func() (*lab, *Run) {
		l := newLab(t)
		l.agent("h0")
		l.agent("h1")
		return l, l.run(tasks())
	}
	// Everything that the deposed leader could ever have proposed, with its epoch.
	l, r := fresh()
	var late []eventlog.Event
	records := drive(l, r, -1, nil, func(events []eventlog.Event) { late = append(late, events...) })
	want := l.statuses(r)
	if len(late) < 8 || r.Status() != "failed" {
		t.Fatalf("%d proposals, and the run is %s", len(late), r.Status())
	}
	for at := range records {
		l, r := fresh()
		l.ok(&eventlog.LeaderEstablished{Replica: 2})
		drive(l, r, at, late, func([]eventlog.Event) {})
		if got := l.statuses(r); !reflect.DeepEqual(got, want) || r.Status() != "failed" {
			t.Errorf("late before record %d: tasks are %v, want %v; the run is %s", at, got, want, r.Status())
		}
		for _, a := range l.s.Attempts {
			if a.Epoch != l.s.Epoch {
				t.Errorf("attempt %d is of epoch %d, now is %d", a.ID, a.Epoch, l.s.Epoch)
			}
		}
	}
}

// The late establishment of a deposed leader takes the epoch, and nothing else:
// the one that leads establishes itself again.
func TestLateEstablishment(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.agent("h0")
	l.run(plan(1, eventlog.PlanTask{}))
	l.ok(&eventlog.LeaderEstablished{Replica: 2})
	decided := l.s.Decide()
	l.ok(&eventlog.LeaderEstablished{Replica: 1}) // late
	for _, e := range decided {
		l.void(e)
	}
	l.ok(&eventlog.LeaderEstablished{Replica: 2})
	wantDecided(t, l, "schedule 0@0 from 0")
}
