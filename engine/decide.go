package engine

import (
	"fmt"

	"quorate/eventlog"
)

// decideEventsMax bounds the events of one decision; the next goes on from there.
const decideEventsMax = 512

// Decide returns what a leader whose LeaderEstablished is folded proposes next:
// steps to start, tasks to record or skip, runs to end. It changes nothing and
// gives the same events for the same state; folded in their order, each of them
// takes effect. It returns none when there is nothing to do until something is
// heard from outside.
func (s *State) Decide() []eventlog.Event {
	if s.Epoch == 0 {
		return nil
	}
	d := decision{}
	work := s.Damping().Work
	for _, id := range s.active {
		if d.full() {
			break
		}
		d.leaning = leaning{work: work}
		d.run(s, s.Runs[id-1])
	}
	d.queueUp(s)
	return d.events
}

type decision struct {
	events  []eventlog.Event
	ahead   ahead
	leaning leaning
	crowds  []crowd
}

func (d *decision) full() bool { return len(d.events) >= decideEventsMax }

func (d *decision) propose(e eventlog.Event) { d.events = append(d.events, e) }

func (d *decision) run(s *State, r *Run) {
	switch {
	case r.Counts.TasksSettled == len(r.Tasks):
		d.propose(&eventlog.RunEnded{Run: r.ID, Outcome: r.verdict()})
	case r.stopped():
		d.sweep(r)
	default:
		d.skipDoomed(r)
		if d.recordTasks(r) {
			d.schedule(s, r)
			for ref := range r.queue.mayGoAhead() {
				if d.full() {
					break
				}
				d.scheduleAhead(s, r, ref)
			}
		}
	}
}

// sweep settles what a run that stops will not start.
func (d *decision) sweep(r *Run) {
	reason := "the run fails fast"
	if r.Cancelled != nil {
		reason = "the run was cancelled"
		if r.Cancelled.Reason != "" {
			reason += ": " + r.Cancelled.Reason
		}
	}
	for i := r.swept; i < len(r.Tasks) && !d.full(); i++ {
		if r.Tasks[i].idle() > 0 {
			d.propose(&eventlog.TaskSkipped{Run: r.ID, Task: uint32(i), Cause: uint32(i), Reason: reason})
		}
	}
}

// skipDoomed skips what depends on failures, one event for the steps of a task
// that became known together.
func (d *decision) skipDoomed(r *Run) {
	for i := r.doomed; i < len(r.dooms) && !d.full(); {
		first := r.dooms[i]
		var hosts []uint32
		if first.pos == wholeTask {
			i++
			if !r.pending(first) || r.onlyDoomedSteps(first) {
				continue
			}
		}
		for first.pos != wholeTask && i < len(r.dooms) {
			next := r.dooms[i]
			if next.task != first.task || next.cause != first.cause || next.pos == wholeTask {
				break
			}
			host := r.Graph.hostAt(next.task, next.pos)
			if k := len(hosts); k > 0 && hosts[k-1] >= host {
				break
			}
			if r.pending(next) {
				hosts = append(hosts, host)
			}
			i++
		}
		if first.pos != wholeTask && len(hosts) == 0 {
			continue
		}
		d.propose(&eventlog.TaskSkipped{
			Run:    r.ID,
			Task:   first.task,
			Hosts:  hosts,
			Cause:  first.cause,
			Reason: fmt.Sprintf("%s failed", r.Graph.Tasks[first.cause].ID),
		})
	}
}

// onlyDoomedSteps reports whether the steps that the doomed task has left are
// all skipped by events of their own that come before.
func (r *Run) onlyDoomedSteps(d doom) bool {
	t := &r.Tasks[d.task]
	for i := range t.Steps {
		if st := &t.Steps[i]; st.Status == Pending && st.doom == 0 {
			return false
		}
	}
	return t.Steps != nil
}

// recordTasks reports whether the run goes on behind that: recording hosts that
// nobody knows ends one that fails fast.
func (d *decision) recordTasks(r *Run) (on bool) {
	for _, task := range r.queue.engine {
		if d.full() {
			return false
		}
		d.propose(&eventlog.TaskRecorded{Run: r.ID, Task: task, Messages: r.Graph.Tasks[task].Messages})
		if r.FailFast && r.Graph.isMissing(task) {
			return false
		}
	}
	return true
}

// schedule gives each host in turn one step, as long as there is room.
func (d *decision) schedule(s *State, r *Run) {
	q := &r.queue
	room := int(q.stepsMax) - int(q.running)
	var turn, unsteady []candidate
	most := min(room, decideEventsMax-len(d.events))
	for i := q.first; i != 0 && len(turn) < most; i = q.slots[i-1].next {
		if d.left(r) == 0 && q.deals && q.slots[i-1].places == 0 {
			continue
		}
		switch c, ok := s.candidate(r, int(i-1)); {
		case !ok:
		case d.unsteady(c.agent):
			unsteady = append(unsteady, c)
		default:
			turn = append(turn, c)
		}
	}
	turn = d.dealAll(r, d.order(s, r, turn, unsteady, most))
	queues := r.queues()
	for i := 0; queues && i < len(q.crowded); i++ {
		d.crowded(r, int(q.crowded[i]), 0)
	}
	for n := 0; len(turn) > 0; n++ {
		keep := turn[:0]
		for _, c := range turn {
			if room == 0 || d.full() {
				return
			}
			sl := &q.slots[c.slot]
			if d.scheduleStep(s, r, sl.refs[n], c) {
				room--
			}
			switch more := n+1 < len(sl.refs); {
			case more && sl.running+uint32(n)+1 < c.places:
				keep = append(keep, c)
			case more && queues:
				d.crowded(r, c.slot, n+1)
			}
		}
		turn = keep
	}
}

// A candidate is a host that has a step to give, and the agent for its first one.
// Without a host the agent depends on the step.
type candidate struct {
	slot   int
	agent  *Agent
	places uint32 // how many steps may be under way there
}

func (s *State) candidate(r *Run, slot int) (candidate, bool) {
	if slot == len(r.queue.slots)-1 {
		first := r.queue.slots[slot].refs[0]
		st := &r.Tasks[first.task].Steps[first.pos]
		a := s.agentFor(r, NoHost, st.Attempt)
		return candidate{slot: slot, agent: a}, a != nil
	}
	a := s.agentFor(r, uint32(slot), 0)
	return candidate{slot: slot, agent: a}, a != nil
}

func (d *decision) scheduleStep(s *State, r *Run, ref stepRef, c candidate) bool {
	st, a := &r.Tasks[ref.task].Steps[ref.pos], c.agent
	if st.Host == NoHost {
		a = s.agentFor(r, st.Host, st.Attempt)
	}
	if a == nil {
		return false
	}
	d.propose(&eventlog.StepScheduled{
		Run:        r.ID,
		Task:       ref.task,
		Host:       st.Host,
		Agent:      a.ID,
		Supersedes: st.Attempt,
		Epoch:      s.Epoch,
		FromJob:    s.nextJob(r, ref.task, st),
		Places:     d.fresh(r, c.slot),
	})
	lapsed := a.lapsed(r, st.Attempt)
	if d.tell(r, c.slot, lapsed); !lapsed {
		d.started(s, r, ref, a)
	}
	return true
}
