package engine

import (
	"fmt"
	"slices"

	"quorate/eventlog"
)

// A step may be scheduled ahead, while what it waits for is still under way, where
// all of that is on its own host or its site: the agents keep the order by themselves,
// so that a chain of steps costs one round trip. It takes no room in the run, but the
// place of one of those it waits for when that one ends: each gives its place to one
// heir, so that no more is ever under way than the run allows.

// A Predecessor is an attempt of the same agent, or one of its site, whose end another
// waits for.
type Predecessor struct {
	Attempt uint64
	// Any is true where every end will do that settles its step, and false where it
	// has to succeed.
	Any bool
}

// predecessors returns the steps under way on the host, or its site, that the step
// there waits for, and false where it waits for anything else, or nothing. Those that
// about accepts count as under way too.
func (s *State) predecessors(r *Run, task, host uint32, about func(stepRef) bool) (refs []stepRef, ok bool) {
	if r.Graph.needs[task].who != byHosts {
		return nil, false
	}
	for _, e := range r.Graph.needs[task].edges {
		p := &r.Tasks[e.task]
		k, here := r.Graph.stepAt(e.task, host)
		switch {
		case e.all && e.met(p.Status), !e.all && !here, !e.all && e.met(p.step(k)):
			continue
		case e.all:
			if refs, ok = s.left(r, e, host, about, refs); !ok {
				return nil, false
			}
			continue
		}
		ref := stepRef{e.task, uint32(k)}
		if p.step(k) != Running && !about(ref) {
			return nil, false
		}
		refs = append(refs, ref)
	}
	return refs, len(refs) > 0
}

func nobody(stepRef) bool { return false }

// count says how many steps of the provider let the edge's dependent go on.
func (t *Task) count(e edge) int {
	n := t.tally[Done]
	if e.after {
		n += t.tally[TaskFailed] + t.tally[TaskSkipped] + t.tally[TaskCancelled]
	}
	return int(n)
}

// after says how the step waits for another one, which it requires.
func (g *Graph) after(task, provider uint32) bool {
	i, _ := slices.BinarySearchFunc(g.needs[task].edges, provider, func(e edge, p uint32) int { return int(e.task) - int(p) })
	return g.needs[task].edges[i].after
}

// follows reports whether the agent's step, whose newest attempt is given, may be
// scheduled ahead behind the other attempt: it is this agent's or one's of its site,
// and may still end as it has to.
func (s *State) follows(agent *Agent, newest uint64, a *Attempt, after bool) bool {
	here := a.Agent == agent.ID || s.together(agent, s.Agents[a.Agent])
	return here && a.Outcome == 0 && !a.Cancel && !a.Recall && (after || !a.JobFailed) && !s.givenBack(newest, a)
}

// aheadOf judges a step that is to be scheduled ahead. It returns the attempts that
// it waits for and the one whose place it takes, or why it may not be.
func (s *State) aheadOf(r *Run, task, host uint32, agent *Agent) (after []Predecessor, place *Attempt, why string) {
	refs, ok := s.predecessors(r, task, host, nobody)
	if !ok {
		return nil, nil, "the step waits for more than what is under way on its host, or its site"
	}
	if len(agent.Open) >= int(r.AheadMax) || !s.fitsAhead(r, task, agent) {
		return nil, nil, "the agent holds all that may be sent ahead"
	}
	pos, _ := r.Graph.stepAt(task, host)
	newest := r.Step(task, pos).Attempt
	for _, ref := range refs {
		any := r.Graph.after(task, ref.task)
		a := s.Attempts[r.Tasks[ref.task].Steps[ref.pos].Attempt]
		if !s.follows(agent, newest, a, any) {
			return nil, nil, fmt.Sprintf("attempt %d cannot be followed", a.ID)
		}
		if a.heir == 0 && (place == nil || place.Host != host && a.Host == host) {
			place = a
		}
		after = append(after, Predecessor{a.ID, any})
	}
	if n := s.elsewhere(agent.ID, after); n > elsewhereMax || n > 0 && n+agent.elsewhere > elsewhereHeldMax {
		return nil, nil, "the step waits for too much on other hosts"
	}
	if place == nil {
		return nil, nil, "none of the steps that it waits for has its place to give"
	}
	return after, place, ""
}

// foldScheduledAhead starts an attempt of a step that waits for others.
func (s *State) foldScheduledAhead(r *Run, e *eventlog.StepScheduled, pos int) string {
	t := &r.Tasks[e.Task]
	if r.doomedStep(e.Task, pos) {
		return "the step will be skipped"
	}
	if e.Host == NoHost {
		return "the step has no host"
	}
	a := s.agentFor(r, e.Host, 0)
	if a == nil || a.ID != e.Agent {
		return "no such agent may run the step"
	}
	after, place, why := s.aheadOf(r, e.Task, e.Host, a)
	if why != "" {
		return why
	}
	if why := r.queue.dealFault(e); why != "" {
		return why
	}
	r.allocate(e.Task)
	st := &t.Steps[pos]
	switch {
	case e.Supersedes != st.Attempt:
		return fmt.Sprintf("the step's newest attempt is %d", st.Attempt)
	case e.FromJob != s.nextJob(r, e.Task, st):
		return fmt.Sprintf("the step goes on with job %d", s.nextJob(r, e.Task, st))
	}
	r.queue.take(e)
	s.start(r, e, pos, after, place)
	return ""
}

// doomedStep reports whether the step can never become ready.
func (r *Run) doomedStep(task uint32, pos int) bool {
	t := &r.Tasks[task]
	return t.doom != 0 || t.Steps != nil && t.Steps[pos].doom != 0
}

// unmet reports whether the step waits for others.
func (r *Run) unmet(task uint32, pos int) bool {
	t := &r.Tasks[task]
	return t.unmet > 0 || t.Steps != nil && t.Steps[pos].unmet > 0
}

// Shipped reports whether the step's attempt was sent ahead and is not known to
// have come to its turn, or to have a place.
func (r *Run) Shipped(task uint32, pos int) bool { return r.Behind(task, pos) || r.Queues(task, pos) }

// Behind reports whether the step's attempt was sent ahead of steps of which some are
// still under way on record.
func (r *Run) Behind(task uint32, pos int) bool {
	t := &r.Tasks[task]
	return t.Steps != nil && t.Steps[pos].Status == Running && r.unmet(task, pos)
}

// lookBehind notes what may be scheduled behind the step, which was just started.
func (s *State) lookBehind(r *Run, task, host uint32) {
	for _, e := range r.Graph.out[task] {
		s.lookAhead(r, e.task, host)
	}
	s.lookAround(r, task, nil)
}

// lookAgain notes what may be scheduled ahead since the step is settled: what waits
// for it and for others, and what waits for the last steps that its task has left. It
// ran until now, or has waited for an operator.
func (s *State) lookAgain(r *Run, task uint32, pos int, ran bool) {
	t := &r.Tasks[task]
	host := r.Graph.hostAt(task, pos)
	last := NoHost
	if left := t.tally[Pending] + t.tally[Ready] + t.tally[Running] + t.tally[Waiting]; left == 1 && t.tally[Running] == 1 {
		last = t.Steps[slices.IndexFunc(t.Steps, func(st Step) bool { return st.Status == Running })].Host
	}
	for _, e := range r.Graph.out[task] {
		switch {
		case !e.all:
			s.lookAhead(r, e.task, host)
		case last != NoHost:
			s.lookAhead(r, e.task, last)
		case t.Status.Settled() && r.Tasks[e.task].unmet > 0:
			if h, ok := r.lastHost(e.task); ok {
				s.lookAhead(r, e.task, h)
			}
			s.lookOver(r, e.task)
		case t.Status.Settled() && r.Tasks[e.task].tally[Pending] > 0:
			for _, h := range r.Graph.HostSets[r.Graph.Tasks[e.task].HostSet] {
				s.lookAhead(r, e.task, h)
			}
		}
	}
	var before *Agent
	if ran {
		before = s.Agents[s.Attempts[t.Steps[pos].Attempt].Agent]
	}
	s.lookAround(r, task, before)
}

// lastHost returns the host of the only step that a task waits for of one that it
// requires as a whole.
func (r *Run) lastHost(task uint32) (uint32, bool) {
	for _, e := range r.Graph.needs[task].edges {
		p := &r.Tasks[e.task]
		if !e.all || e.met(p.Status) {
			continue
		}
		if p.tally[Running] == 1 && p.Steps != nil {
			return p.Steps[slices.IndexFunc(p.Steps, func(st Step) bool { return st.Status == Running })].Host, true
		}
		return NoHost, false
	}
	return NoHost, false
}

// recall has the agent give back what was sent ahead behind the attempt, and has
// not started: its step is not what those wait for any more.
func (s *State) recall(r *Run, a *Attempt) {
	pos, _ := r.Graph.stepAt(a.Task, a.Host)
	status := r.Tasks[a.Task].Steps[pos].Status
	if status == Running || status == Done {
		return
	}
	for _, e := range r.Graph.out[a.Task] {
		if k, ok := r.Graph.stepAt(e.task, a.Host); ok && r.Tasks[e.task].Steps != nil && !e.met(status) {
			s.recallStep(r, e.task, k, a.ID)
		}
	}
	for _, id := range s.BehindElsewhere(a.ID) {
		s.Attempts[id].Recall = true // such edges are met by success alone
	}
}

func (s *State) recallStep(r *Run, task uint32, pos int, behind uint64) {
	st := &r.Tasks[task].Steps[pos]
	if st.Status != Running {
		return
	}
	at := s.Attempts[st.Attempt]
	if slices.ContainsFunc(at.After, func(p Predecessor) bool { return behind == 0 || p.Attempt == behind }) {
		at.Recall = true
	}
}

// recallAll does so with everything of a run that is being stopped, also with what was
// sent to start at once, where agents know that the run fails fast.
func (s *State) recallAll(r *Run) {
	for i := range r.Tasks {
		if r.Tasks[i].tally[Running] == 0 {
			continue
		}
		for pos := range r.Tasks[i].Steps {
			if r.unmet(uint32(i), pos) {
				s.recallStep(r, uint32(i), pos, 0)
			}
			if st := &r.Tasks[i].Steps[pos]; st.inLine || r.Lines && st.Status == Running && !r.Graph.IsEngine(uint32(i)) {
				s.Attempts[st.Attempt].Recall = true
			}
		}
	}
}

// sentBack is what a step is that was to be started again, where it cannot be.
func (r *Run) sentBack(task uint32, pos int, to TaskStatus, reason string) (TaskStatus, string) {
	t := &r.Tasks[task]
	switch {
	case to != Ready:
		return to, reason
	case t.doom != 0:
		return TaskSkipped, r.Graph.Tasks[t.doom-1].ID + " failed"
	case t.Steps[pos].doom != 0:
		return TaskSkipped, r.Graph.Tasks[t.Steps[pos].doom-1].ID + " failed"
	case r.unmet(task, pos):
		return Pending, reason
	}
	return to, reason
}
