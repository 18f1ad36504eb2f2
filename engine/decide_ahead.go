package engine

import "quorate/eventlog"

// ahead is what a decision's own events change for those behind them in it.
type ahead struct {
	started map[runStep]bool  // steps that it starts
	given   map[runStep]bool  // steps whose place it gives away
	open    map[uint64]int    // attempts that it adds to an agent's
	waits   map[uint64]int    // and what they wait for on other agents
	bytes   map[uint64]uint64 // what it sends an agent ahead takes
	held    map[uint64]uint64 // and what the agent was sent before, where that was looked for
	tasks   map[runTask]int   // how many steps of a task it starts
	spent   map[runStep]bool  // steps that it starts and that are unknown at once

	hands map[runSlot]hand   // what hosts are dealt
	deals map[uint64]dealing // and runs deal
}

type runSlot struct {
	run  uint64
	slot int
}

type runTask struct {
	run  uint64
	task uint32
}

type runStep struct {
	run uint64
	stepRef
}

// started notes that the step is under way once the decision is folded, and goes on
// with what follows it.
func (d *decision) started(s *State, r *Run, ref stepRef, a *Agent) {
	d.ahead.note(r, ref, a)
	d.chain(s, r, ref, a)
}

// chain proposes what follows the step on its host, and on its site, as far as that
// goes.
func (d *decision) chain(s *State, r *Run, ref stepRef, a *Agent) {
	if r.AheadMax == 0 || r.Graph.hostAt(ref.task, int(ref.pos)) == NoHost {
		return
	}
	type link struct {
		stepRef
		agent *Agent
	}
	for work := []link{{ref, a}}; len(work) > 0; {
		last := work[len(work)-1]
		work = work[:len(work)-1]
		host := r.Graph.hostAt(last.task, int(last.pos))
		follow := func(e edge, host uint32, a *Agent) {
			pos, ok := r.Graph.stepAt(e.task, host)
			next := stepRef{e.task, uint32(pos)}
			if ok && !d.full() && d.follow(s, r, next, a) {
				work = append(work, link{next, a})
			}
		}
		around := s.relays > 0 && last.agent.Via != 0 && r.underWay(last.task, d.ahead.tasks[runTask{r.ID, last.task}])
		for _, e := range r.Graph.out[last.task] {
			if follow(e, host, last.agent); around && e.all {
				s.eachAt(r, e.task, last.agent.Via, func(h uint32, a *Agent) {
					if h != host && !d.heldBehind(s, r, a, last.agent) {
						follow(e, h, a)
					}
				})
			}
		}
	}
}

func (h *ahead) note(r *Run, ref stepRef, a *Agent) {
	if h.started == nil {
		h.started, h.given, h.open = map[runStep]bool{}, map[runStep]bool{}, map[uint64]int{}
		h.waits, h.tasks = map[uint64]int{}, map[runTask]int{}
	}
	if h.open[a.ID]++; r.AheadMax > 0 {
		h.started[runStep{r.ID, ref}] = true
		h.tasks[runTask{r.ID, ref.task}]++
	}
}

func (h *ahead) spend(r *Run, ref stepRef) {
	if h.spent == nil {
		h.spent = map[runStep]bool{}
	}
	h.spent[runStep{r.ID, ref}] = true
}

// scheduleAhead proposes the step, which may be one to be sent ahead.
func (d *decision) scheduleAhead(s *State, r *Run, ref stepRef) {
	a := s.agentFor(r, r.Graph.hostAt(ref.task, int(ref.pos)), 0)
	if a != nil && !d.held(s, r, a) && d.follow(s, r, ref, a) {
		d.chain(s, r, ref, a)
	}
}

// follow proposes the step on the agent's host ahead of what it waits for, where
// that may be done, and reports whether others may follow it.
func (d *decision) follow(s *State, r *Run, ref stepRef, a *Agent) bool {
	st := r.Step(ref.task, int(ref.pos))
	if st.Status != Pending || r.doomedStep(ref.task, int(ref.pos)) || d.ahead.started[runStep{r.ID, ref}] || d.ahead.spent[runStep{r.ID, ref}] ||
		len(a.Open)+d.ahead.open[a.ID] >= int(r.AheadMax) || !d.fitsAhead(s, r, ref.task, a) {
		return false
	}
	place, elsewhere, ok := d.place(s, r, ref.task, st.Host, a)
	if !ok {
		return false
	}
	slot := r.queue.slot(st.Host)
	if !d.dealFirst(r, slot) {
		return false
	}
	fresh := d.fresh(r, slot)
	lapsed := a.lapsed(r, st.Attempt)
	if d.tell(r, slot, lapsed); lapsed {
		d.ahead.spend(r, ref)
	} else {
		d.ahead.note(r, ref, a)
		d.ahead.weigh(r, ref.task, a)
		d.ahead.given[place] = true
		d.ahead.waits[a.ID] += elsewhere
	}
	d.propose(&eventlog.StepScheduled{
		Run: r.ID, Task: ref.task, Host: st.Host, Agent: a.ID, Supersedes: st.Attempt, Epoch: s.Epoch,
		FromJob: s.nextJob(r, ref.task, &st), Ahead: true, Places: fresh,
	})
	return !lapsed
}

// place returns the step whose place the task's step on the host may take, as
// [State.aheadOf] judges it once the decision's events are folded, and how many of
// those that it waits for are on other hosts.
func (d *decision) place(s *State, r *Run, task, host uint32, a *Agent) (place runStep, elsewhere int, found bool) {
	refs, ok := s.predecessors(r, task, host, func(ref stepRef) bool { return d.ahead.started[runStep{r.ID, ref}] })
	if !ok {
		return runStep{}, 0, false
	}
	pos, _ := r.Graph.stepAt(task, host)
	newest := r.Step(task, pos).Attempt
	own := false
	for _, ref := range refs {
		key := runStep{r.ID, ref}
		after := r.Graph.after(task, ref.task)
		at := s.Attempts[r.Step(ref.task, int(ref.pos)).Attempt]
		fresh, here := d.ahead.started[key], r.Graph.hostAt(ref.task, int(ref.pos)) == host
		if fresh && at != nil && at.JobFailed && !after || !fresh && !s.follows(a, newest, at, after) {
			return runStep{}, 0, false
		}
		if !here {
			elsewhere++
		}
		if !d.ahead.given[key] && (fresh || at.heir == 0) && (!found || here && !own) {
			place, found, own = key, true, here
		}
	}
	if elsewhere > elsewhereMax || elsewhere > 0 && int(a.elsewhere)+d.ahead.waits[a.ID]+elsewhere > elsewhereHeldMax {
		return runStep{}, 0, false
	}
	return place, elsewhere, found
}
