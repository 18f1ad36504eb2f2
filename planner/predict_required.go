package planner

import "slices"

// required says which task a step would run for, or notes in the slot which one it may
// run for.
func (x *predictor) required(i int, host uint32, s *slot, since *pair) why {
	for _, d := range x.plan.Tasks[i].Requires {
		a := int(d.Task)
		if d.Scope == ScopeAfterSameHost || recordedOnly(x.plan.Tasks[a].Driver) {
			continue
		}
		if x.on(a, host) != nil {
			w, loose := x.requires(i, a, []uint32{host}, false, s.past.Run, since)
			if w.cause != causeNone {
				return w
			}
			s.mayRunFor(a, loose)
			continue
		}
		if d.Scope == ScopeSameHost && host != nowhere && x.plan.Tasks[a].Driver == DriverDirectord {
			continue
		}
		key := elsewhere{a, s.past.Run, since}
		found, known := x.elsewhere[key]
		if !known {
			found.why, found.loose = x.requires(i, a, x.hosts[a], true, s.past.Run, since)
			x.elsewhere[key] = found
		}
		if found.why.cause != causeNone {
			return found.why
		}
		s.mayRunFor(a, found.loose)
	}
	return why{}
}

// elsewhere names a required task, none of whose hosts is the step's own, and since
// when it counts. Of the steps of one task they are all judged alike.
type elsewhere struct {
	task  int
	run   uint64
	since *pair
}

// A judgement is what follows from a required task for a step.
type judgement struct {
	why   why
	loose bool
}

func (s *slot) mayRunFor(task int, loose bool) {
	if loose && s.unless == 0 {
		s.unless = uint32(task) + 1
	}
}

// requires judges one of the tasks that a step requires, on these hosts, which are all
// that it has or the step's own. It is loose where the task runs and may come to
// something else.
func (x *predictor) requires(i, a int, hosts []uint32, all bool, run uint64, since *pair) (w why, loose bool) {
	runs := false
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
	old, there := since.tasks[x.plan.Tasks[a].ID]
	switch {
	case !there && since.left(i, a): // that run was narrowed, and says nothing of it
		if runs && !loose {
			return why{cause: causeRequires, task: uint32(a)}, false
		}
	case there && since.required(i, old) && !x.differs(a, old, hosts, all, run, since):
	case runs:
		return why{cause: causeRequires, task: uint32(a)}, false
	case !there || !since.required(i, old):
		return why{cause: causeAdded, task: uint32(a)}, false
	default:
		return why{cause: causeRequired, task: uint32(a), run: newest}, false
	}
	return why{}, loose
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
