package engine

import "slices"

// A stepRef is a step by its task and its position there.
type stepRef struct{ task, pos uint32 }

// A runQueue holds the steps of a run that are ready, per host in the order in
// which they became so, and counts what is under way. The hosts that have a step
// to give and room for it form a list, and those that have one and no room another
// one, so that a decision costs no more than what it produces.
type runQueue struct {
	engine                    []uint32        // engine tasks that are ready
	slots                     []slot          // per host; the last is for steps without host
	ahead                     []stepRef       // steps that may be scheduled ahead, see runQueue.note
	noted                     map[stepRef]int // where in ahead each of those is
	first, last               int32           // of the list of hosts, 1 + position or 0
	running                   uint32
	stepsMax, stepsPerHostMax uint32

	// The hosts without room whose agents may be sent more all the same, ascending: they
	// follow from the slots, and aheadMax from the run.
	crowded  []int32
	aheadMax uint32
	tight    bool // what is in lines has room in the run: see [Run.tight], which it follows from

	// Where deals is true hosts have places of their own, see deal.go: dealt in all, to so
	// many holders. These follow from the slots, and deals from the run.
	deals          bool
	dealt, holders uint32
}

type slot struct {
	refs       []stepRef
	line       []stepRef // steps at the agent that wait for a place on the host
	running    uint32
	places     uint32 // that it was dealt, 0 where it has none or the run deals none
	open       uint32 // steps under way, also those that take no room: it follows from these
	prev, next int32  // in the list, 1 + position or 0
	listed     bool
}

func (q *runQueue) init(slots int, stepsMax, perHostMax, aheadMax uint32) {
	q.slots = make([]slot, slots)
	q.stepsMax, q.stepsPerHostMax, q.aheadMax = stepsMax, perHostMax, aheadMax
	if q.stepsMax == 0 {
		q.stepsMax = stepsMaxDefault
	}
	if q.stepsPerHostMax == 0 {
		q.stepsPerHostMax = stepsPerHostMaxDefault
	}
}

func (q *runQueue) slot(host uint32) int {
	if host == NoHost {
		return len(q.slots) - 1
	}
	return int(host)
}

// hasRoom reports whether one more step may be under way on the host.
func (q *runQueue) hasRoom(host uint32) bool {
	return q.running < q.stepsMax && !q.full(q.slot(host))
}

// join puts a step at the end of the host's line.
func (q *runQueue) join(host uint32, ref stepRef) {
	i := q.slot(host)
	q.slots[i].line = append(q.slots[i].line, ref)
	if q.tight {
		q.running++
	}
	q.relist(i)
}

// leave takes a step out of the host's line.
func (q *runQueue) leave(host uint32, ref stepRef) {
	i := q.slot(host)
	q.slots[i].line = withoutRef(q.slots[i].line, ref)
	if q.tight {
		q.running--
	}
	q.relist(i)
}

// replace puts another step in the place of one in the host's line.
func (q *runQueue) replace(host uint32, ref, by stepRef) {
	line := q.slots[q.slot(host)].line
	if k := slices.Index(line, ref); k >= 0 {
		line[k] = by
	}
}

// withoutRef returns the steps without one of them, mostly the first.
func withoutRef(refs []stepRef, ref stepRef) []stepRef {
	k := slices.Index(refs, ref)
	switch {
	case k < 0:
		return refs
	case len(refs) == 1:
		return nil
	case k == 0:
		return refs[1:]
	}
	return slices.Delete(refs, k, k+1)
}

func (q *runQueue) enqueue(host uint32, ref stepRef) {
	i := q.slot(host)
	q.slots[i].refs = append(q.slots[i].refs, ref)
	q.relist(i)
}

func (q *runQueue) unqueue(host uint32, ref stepRef) {
	i := q.slot(host)
	s := &q.slots[i]
	if len(s.refs) > 0 && s.refs[0] == ref {
		s.refs = s.refs[1:]
	} else if k := slices.Index(s.refs, ref); k >= 0 {
		s.refs = slices.Delete(s.refs, k, k+1)
	}
	q.relist(i)
}

func (q *runQueue) unqueueEngine(task uint32) {
	if len(q.engine) > 0 && q.engine[0] == task {
		q.engine = q.engine[1:]
	} else if k := slices.Index(q.engine, task); k >= 0 {
		q.engine = slices.Delete(q.engine, k, k+1)
	}
}

// started counts a step in and sends its host to the end of the list, so that
// hosts take turns.
func (q *runQueue) started(host uint32) {
	i := q.slot(host)
	q.running++
	q.slots[i].running++
	if q.slots[i].listed {
		q.unlist(i)
	}
	q.relist(i)
}

func (q *runQueue) ended(host uint32) {
	i := q.slot(host)
	q.running--
	q.slots[i].running--
	q.relist(i)
}

// clear drops what is ready.
func (q *runQueue) clear() {
	q.engine, q.ahead, q.noted = nil, nil, nil
	q.first, q.last, q.crowded = 0, 0, nil
	for i := range q.slots {
		s := &q.slots[i]
		*s = slot{running: s.running, places: s.places, open: s.open, line: s.line}
	}
}

func (q *runQueue) relist(i int) {
	s := &q.slots[i]
	fit := len(s.refs) > 0 && !q.full(i)
	q.crowd(i, q.crowds(i))
	switch {
	case fit && !s.listed:
		s.listed, s.prev, s.next = true, q.last, 0
		if q.last != 0 {
			q.slots[q.last-1].next = int32(i) + 1
		} else {
			q.first = int32(i) + 1
		}
		q.last = int32(i) + 1
	case !fit && s.listed:
		q.unlist(i)
	}
}

// crowds reports whether the host has a step to give and no room for it, and its agent
// does not hold as much of the run as it may.
func (q *runQueue) crowds(slot int) bool {
	s := &q.slots[slot]
	return len(s.refs) > 0 && q.full(slot) && s.open < q.aheadMax
}

// opened counts a step of the host that is under way from now on, or no more.
func (q *runQueue) opened(host uint32, yes bool) {
	i := q.slot(host)
	if yes {
		q.slots[i].open++
	} else if q.slots[i].open--; q.slots[i].open == 0 {
		q.deal(i, 0)
	}
	q.crowd(i, q.crowds(i))
}

// crowd notes whether the host has a step to give and no room for it.
func (q *runQueue) crowd(i int, crowded bool) {
	switch at, found := slices.BinarySearch(q.crowded, int32(i)); {
	case crowded && !found:
		q.crowded = slices.Insert(q.crowded, at, int32(i))
	case !crowded && found:
		q.crowded = slices.Delete(q.crowded, at, at+1)
	}
}

func (q *runQueue) unlist(i int) {
	s := &q.slots[i]
	if s.prev != 0 {
		q.slots[s.prev-1].next = s.next
	} else {
		q.first = s.next
	}
	if s.next != 0 {
		q.slots[s.next-1].prev = s.prev
	} else {
		q.last = s.prev
	}
	s.listed, s.prev, s.next = false, 0, 0
}
