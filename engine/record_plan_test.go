package engine

import (
	"reflect"
	"testing"

	"quorate/eventlog"
	"quorate/planner"
)

func TestNewPlanRecorded(t *testing.T) {
	t.Parallel()
	p := &planner.Plan{
		PlannerVersion: "1",
		Hosts:          []string{"a", "b", "c"},
		HostSets:       [][]uint32{{0, 1}, {2}, {0}},
		Tasks: []planner.Task{
			{ID: "plain", Driver: planner.DriverDirectord, Jobs: []planner.Job{{HostSet: 0}, {HostSet: 0}}, Idempotent: true},
			{ID: "elsewhere", Driver: planner.DriverDirectord, Jobs: []planner.Job{{HostSet: 1}, {HostSet: 2}}, KeepGoing: true,
				Requires: []planner.Dep{{Task: 0, Scope: planner.ScopeSameHost}}},
			{ID: "once", Driver: planner.DriverDirectord, Jobs: []planner.Job{{HostSet: 2}}},
			{ID: "say", Driver: planner.DriverPrint, Messages: []string{"hello"}},
		},
		Inputs: []planner.Input{{Role: planner.RoleService, Name: "s.yaml", Digest: "d", Size: 3}},
	}
	got := NewPlanRecorded(p, "id", "me")
	want := &eventlog.PlanRecorded{
		PlanID: "id", PlannerVersion: "1", By: "me",
		Hosts:    []string{"a", "b", "c"},
		HostSets: [][]uint32{{0, 1}, {2}, {0}, {0, 1, 2}},
		Tasks: []eventlog.PlanTask{
			{ID: "plain", Driver: "directord", HostSet: 0, Jobs: 2, Idempotent: true},
			{ID: "elsewhere", Driver: "directord", HostSet: 3, Jobs: 2, KeepGoing: true, JobHostSets: []uint32{1, 2},
				Requires: []eventlog.PlanDep{{Task: 0, Scope: 1}}},
			{ID: "once", Driver: "directord", HostSet: 0, Jobs: 1, JobHostSets: []uint32{2}},
			{ID: "say", Driver: "print", Messages: []string{"hello"}},
		},
		Inputs: []eventlog.PlanInput{{Role: "service", Name: "s.yaml", Digest: "d"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if _, why := newGraph(got, 1); why != "" {
		t.Error(why)
	}
	if len(p.HostSets) != 3 {
		t.Error("the plan was changed")
	}
}
