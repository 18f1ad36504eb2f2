package engine

import (
	"slices"

	"quorate/eventlog"
	"quorate/planner"
)

// NewPlanRecorded returns the event that puts the plan's graph on record. The
// plan must be one that [planner.Compile] or [planner.Decode] returned: its
// positions are taken as they are.
func NewPlanRecorded(p *planner.Plan, id, by string) *eventlog.PlanRecorded {
	sets := newHostSets(p.HostSets)
	e := &eventlog.PlanRecorded{
		PlanID:         id,
		PlannerVersion: p.PlannerVersion,
		Hosts:          p.Hosts,
		Tasks:          make([]eventlog.PlanTask, len(p.Tasks)),
		By:             by,
	}
	for i := range p.Tasks {
		e.Tasks[i] = planTask(&p.Tasks[i], sets)
	}
	e.HostSets = sets.list
	for _, in := range p.Inputs {
		e.Inputs = append(e.Inputs, eventlog.PlanInput{Role: string(in.Role), Name: in.Name, Digest: in.Digest})
	}
	return e
}

func planTask(t *planner.Task, sets *hostSets) eventlog.PlanTask {
	set := t.HostSet
	for i := range t.Jobs {
		set = sets.union(set, t.Jobs[i].HostSet)
	}
	pt := eventlog.PlanTask{
		ID:         t.ID,
		Driver:     string(t.Driver),
		HostSet:    set,
		Jobs:       uint32(len(t.Jobs)),
		Idempotent: t.Idempotent,
		KeepGoing:  t.KeepGoing,
		Messages:   t.Messages,
		Narrowed:   t.Narrowed,
	}
	elsewhere := func(j planner.Job) bool { return j.HostSet != set }
	if slices.ContainsFunc(t.Jobs, elsewhere) {
		for i := range t.Jobs {
			pt.JobHostSets = append(pt.JobHostSets, t.Jobs[i].HostSet)
		}
	}
	for _, d := range t.Requires {
		pt.Requires = append(pt.Requires, eventlog.PlanDep{Task: d.Task, Scope: uint8(d.Scope)})
	}
	return pt
}

// hostSets are a plan's host sets and the unions that its jobs make necessary.
type hostSets struct {
	list   [][]uint32
	unions map[[2]uint32]uint32
}

func newHostSets(sets [][]uint32) *hostSets {
	return &hostSets{list: slices.Clone(sets), unions: map[[2]uint32]uint32{}}
}

func (s *hostSets) union(a, b uint32) uint32 {
	if a == b {
		return a
	}
	if u, ok := s.unions[[2]uint32{a, b}]; ok {
		return u
	}
	set := slices.Concat(s.list[a], s.list[b])
	slices.Sort(set)
	set = slices.Compact(set)
	same := func(x []uint32) bool { return slices.Equal(x, set) }
	u := uint32(slices.IndexFunc(s.list, same))
	if int32(u) < 0 {
		u = uint32(len(s.list))
		s.list = append(s.list, set)
	}
	s.unions[[2]uint32{a, b}] = u
	return u
}
