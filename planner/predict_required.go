package planner

import "slices"

// required says which task a step would run for, or notes in the slot which one it may
// run for.
func (x *predictor) required(i int, host uint32, s *slot, since *pair) why {
	if x.plan.Tasks[i].Partial {
		return why{} // its jobs are judged by themselves
	}
	for _, task := range x.plan.Follows(uint32(i)) {
		a := int(task)
		var found judgement
		if host != nowhere && x.on(a, host) != nil {
			found = x.requires(i, a, []uint32{host}, false, s.past.Run, since)
		} else {
			found = x.requiresElsewhere(i, a, s.past.Run, since)
		}
		if found.why.cause != causeNone {
			return found.why
		}
		if found.loose && s.unless == 0 {
			s.unless = uint32(a) + 1
		}
	}
	return why{}
}

// elsewhere names a task that another one requires, and none of whose hosts is the
// step's own, and since when it counts. It is the same for all such steps.
type elsewhere struct {
	by, task int
	run      uint64
	since    *pair
}

// A judgement is what follows from a required task for a step. It is loose where the
// task runs and may come to something else.
type judgement struct {
	why   why
	loose bool
}

// requiresElsewhere judges a required task by all of its hosts, and one that the engine
// records by those that it requires itself.
func (x *predictor) requiresElsewhere(i, a int, run uint64, since *pair) judgement {
	t := &x.plan.Tasks[a]
	if t.Narrowed {
		return judgement{}
	}
	key := elsewhere{i, a, run, since}
	found, known := x.elsewhere[key]
	switch {
	case known:
	case !recordedOnly(t.Driver):
		found = x.requires(i, a, x.hosts[a], true, run, since)
	case since.left(i, a):
	default:
		old, there := since.tasks[t.ID]
		if !there || !since.required(i, old) {
			found.why = why{cause: causeAdded, task: uint32(a)}
		}
		for _, d := range t.Requires {
			if found.why.cause == causeNone {
				next := x.requiresElsewhere(a, int(d.Task), run, since)
				found.why, found.loose = next.why, found.loose || next.loose
			}
		}
	}
	x.elsewhere[key] = found
	return found
}

// requires judges one of the tasks that a step requires, on these hosts, which are all
// that it has or the step's own.
func (x *predictor) requires(i, a int, hosts []uint32, all bool, run uint64, since *pair) judgement {
	runs, loose := false, false
	newest := uint64(0)
	for _, h := range hosts {
		o := x.on(a, h)
		cause := x.whys[o.why].cause
		runs = runs || cause != causeNone
		loose = loose || cause.open()
		if o.past != nil {
			newest = max(newest, o.past.Run)
		}
	}
	loose = loose && x.acts(a)
	old, there := since.tasks[x.plan.Tasks[a].ID]
	switch {
	case since.left(i, a): // that run was narrowed, and says nothing of it
		if runs && !loose {
			return judgement{why: why{cause: causeRequires, task: uint32(a)}}
		}
	case there && since.required(i, old) && !x.differs(a, old, hosts, all, run, since):
	case runs:
		return judgement{why: why{cause: causeRequires, task: uint32(a)}}
	case !there || !since.required(i, old):
		return judgement{why: why{cause: causeAdded, task: uint32(a)}}
	default:
		return judgement{why: why{cause: causeRequired, task: uint32(a), run: newest}}
	}
	return judgement{loose: loose}
}

// differs reports whether a task comes to something else on these hosts than it had
// in the run by which a step last succeeded.
func (x *predictor) differs(a, old int, hosts []uint32, all bool, run uint64, since *pair) bool {
	was := since.old.stepHosts(old)
	if all && len(was) != len(hosts) {
		return true
	}
	for _, h := range hosts {
		if _, there := slices.BinarySearch(was, since.hostOf(h)); !there || since.differs(a, h) {
			return true
		}
		if o := x.on(a, h); o.past != nil && o.past.Run > run && o.past.Changed {
			return true
		}
	}
	return false
}
