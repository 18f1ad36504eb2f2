package engine

import (
	"cmp"

	"quorate/eventlog"
)

// A run that may have less under way than its hosts together deals its places out, so
// that its steps may wait at their agents all the same. A host is dealt places with the
// first step that it is given, more of them perhaps with a later one, and has them until
// nothing of the run is under way there. Its agent keeps to what it was dealt, and no
// more is dealt than the run has: so no more is ever under way than it allows, whatever
// agents know of each other and in whatever order they hear of it.
//
// Where jobs ask other hosts no places are dealt: those that wait for an answer would
// keep the places that the others need to give one.

// tight reports whether the run may have less under way than its hosts may together.
func (r *Run) tight() bool {
	return uint64(r.hosts())*uint64(r.queue.stepsPerHostMax) > uint64(r.queue.stepsMax)
}

// hosts counts those that have a step, the controller among them.
func (r *Run) hosts() uint32 {
	hosts := uint32(len(r.Graph.used))
	if r.Graph.local {
		hosts++
	}
	return hosts
}

// bound finds out how the run keeps to its bounds.
func (q *runQueue) bound(r *Run) {
	tight := r.tight()
	q.deals = tight && r.Lines && r.AheadMax > 0 && !r.Asks
	q.tight = tight && !q.deals
}

// Deals reports whether hosts have places of their own in the run.
func (r *Run) Deals() bool { return r.queue.deals }

// placesOf is how many steps may be under way on the host.
func (q *runQueue) placesOf(slot int) uint32 { return cmp.Or(q.slots[slot].places, q.stepsPerHostMax) }

// PlacesOn is how many steps of the run may be under way on the host, a position in the
// plan's hosts or [NoHost], as far as is known now.
func (r *Run) PlacesOn(host uint32) uint32 {
	if slot := r.queue.slot(host); slot < len(r.queue.slots) && slot >= 0 {
		return r.queue.placesOf(slot)
	}
	_, perHost := r.Limits()
	return perHost
}

// Undealt reports whether the host, a position in the plan's hosts or [NoHost], has none
// of the run's places since others have them all.
func (r *Run) Undealt(host uint32) bool {
	q := &r.queue
	slot := q.slot(host)
	return q.deals && slot >= 0 && slot < len(q.slots) && q.slots[slot].places == 0 && q.dealt >= q.stepsMax
}

// deal has the host have so many places.
func (q *runQueue) deal(slot int, places uint32) {
	s := &q.slots[slot]
	if s.places == places {
		return
	}
	q.holders += one(places > 0) - one(s.places > 0)
	q.dealt += places - s.places
	s.places = places
	q.relist(slot)
}

func one(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// dealFault says why the step cannot be started with the places that the proposal deals.
func (q *runQueue) dealFault(e *eventlog.StepScheduled) string {
	held := q.slots[q.slot(e.Host)].places
	switch {
	case !q.deals && e.Places > 0:
		return "the run deals no places"
	case q.deals && held == 0 && e.Places == 0:
		return "the host was dealt no places"
	case e.Places == 0:
	case e.Places <= held || e.Places > q.stepsPerHostMax:
		return "the host may not be dealt so many places"
	case e.Places-held > q.stepsMax-q.dealt:
		return "the run has not so many places left"
	}
	return ""
}

// take has the host of the step have the places that are dealt with it.
func (q *runQueue) take(e *eventlog.StepScheduled) {
	if e.Places > 0 {
		q.deal(q.slot(e.Host), e.Places)
	}
}

// placeFault says why the step, which waits for nothing else, has no place in the run,
// and may not be sent to its agent to wait for one.
func (s *State) placeFault(r *Run, e *eventlog.StepScheduled, a *Agent) string {
	q := &r.queue
	if why := q.dealFault(e); why != "" {
		return why
	}
	slot := q.slot(e.Host)
	more := e.Places > 0 && len(q.slots[slot].line) == 0 // than the host has now
	switch {
	case q.running < q.stepsMax && (more || !q.full(slot)):
	case !e.Queues || !q.full(slot):
		return "the run is at its limit of steps under way"
	case len(a.Open) >= int(r.AheadMax), !s.fitsAhead(r, e.Task, a):
		return "the agent holds all that may be sent ahead"
	}
	return ""
}
