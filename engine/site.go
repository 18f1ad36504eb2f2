package engine

import (
	"fmt"
	"iter"
	"slices"

	"quorate/eventlog"
)

// The agents of a site reach the cluster through the same relay, and hear of each
// other's ends there, whether or not the relay reaches anybody. So a step may also be
// scheduled ahead behind steps under way on other agents of its site: it starts once
// its agent has heard that these ended as they have to, from the site or from the
// cluster. Either way its own end may be on record before theirs.

const (
	// elsewhereMax bounds the attempts on other agents that one attempt waits for.
	elsewhereMax = 64
	// elsewhereHeldMax bounds them over all that an agent holds.
	elsewhereHeldMax = 4096
)

// An Elsewhere is an attempt of another agent that an attempt waits for.
type Elsewhere struct {
	Predecessor
	// Agent is whose attempt it is, and KeyDigest names the key that its word of it is
	// signed with: the SHA-256 of the key's PKIX form in hexadecimal.
	Agent     uint64
	KeyDigest string
	// Run, Task and Host are of its step, by their names in the plan.
	Run        uint64
	Task, Host string
	// Released is true once it is on record that its step ended as it has to. What ends
	// otherwise calls back what waits for it.
	Released bool
	// Output is what its step has led to, empty where that is not known, or told to nobody.
	Output []byte
}

// ElsewhereOf returns what the attempt waits for on other agents, in the order of its
// After, also what has ended since.
func (s *State) ElsewhereOf(a *Attempt) (out []Elsewhere) {
	for _, p := range a.After {
		b := s.Attempts[p.Attempt]
		if b.Agent == a.Agent {
			continue
		}
		r := s.Run(b.Run)
		pos, _ := r.Graph.stepAt(b.Task, b.Host)
		out = append(out, Elsewhere{
			Predecessor: p, Agent: b.Agent, KeyDigest: s.Agents[b.Agent].KeyDigest,
			Run: b.Run, Task: r.Graph.Tasks[b.Task].ID, Host: r.Graph.HostName(b.Task, b.Host),
			Released: edge{after: p.Any}.met(r.Tasks[b.Task].step(pos)), Output: r.stepOutput(b),
		})
	}
	return out
}

// BehindElsewhere returns the attempts under way that wait for the attempt on another
// agent than its own.
func (s *State) BehindElsewhere(attempt uint64) (ids []uint64) {
	a := s.Attempts[attempt]
	if a == nil || s.relays == 0 {
		return nil
	}
	r := s.Run(a.Run)
	if r.AheadMax == 0 || r.Outcome != 0 || r.left(a.Task) > elsewhereMax {
		return nil
	}
	for _, e := range r.Graph.out[a.Task] {
		d := &r.Tasks[e.task]
		if !e.all || d.tally[Running] == 0 {
			continue
		}
		for pos := range d.Steps {
			if d.Steps[pos].Status != Running {
				continue
			}
			if b := s.Attempts[d.Steps[pos].Attempt]; b.Agent != a.Agent && b.behind(attempt) {
				ids = append(ids, b.ID)
			}
		}
	}
	return ids
}

// WaitsFor names the first of the steps that the attempt was sent ahead of, of those
// under way on record, and says how many more there are; where there is none it is the
// place that the attempt waits for, or "".
func (s *State) WaitsFor(a *Attempt) (text string) {
	more := 0
	for _, p := range a.After {
		b := s.Attempts[p.Attempt]
		switch g := s.Run(b.Run).Graph; {
		case b.Outcome != 0:
		case text == "":
			text = g.Tasks[b.Task].ID + "@" + g.HostName(b.Task, b.Host)
		default:
			more++
		}
	}
	if more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	if r := s.Run(a.Run); text == "" && a.Outcome == 0 {
		if st, ref := r.stepOf(a); st.inLine {
			text = fmt.Sprintf("one of the run's %d places on %s", r.PlacesOn(a.Host), r.Graph.HostName(ref.task, a.Host))
		}
	}
	return text
}

// behind reports whether the attempt waits for the other one.
func (a *Attempt) behind(other uint64) bool {
	return slices.ContainsFunc(a.After, func(p Predecessor) bool { return p.Attempt == other })
}

// together reports whether the agents are of one site, as they connected last.
func (s *State) together(a, b *Agent) bool {
	if a == nil || b == nil || a.Via == 0 || a.Via != b.Via {
		return false
	}
	relay := s.Agents[a.Via]
	return relay != nil && relay.Serves()
}

// left adds the steps that keep the edge to the host's step from being met, which all
// have to be under way, or about to be, there or on its site.
func (s *State) left(r *Run, e edge, host uint32, about func(stepRef) bool, refs []stepRef) ([]stepRef, bool) {
	g, p := r.Graph, &r.Tasks[e.task]
	n := g.StepCount(e.task) - p.count(e)
	if g.needs[e.task].who != byHosts || n > elsewhereMax {
		return nil, false
	}
	k, here := g.stepAt(e.task, host)
	if here = here && !e.met(p.step(k)); here {
		n--
		refs = append(refs, stepRef{e.task, uint32(k)})
		if p.step(k) != Running && !about(refs[len(refs)-1]) {
			return nil, false
		}
	}
	if n == 0 {
		return refs, true
	}
	if s.relays == 0 {
		return nil, false
	}
	agent := s.agentFor(r, host, 0)
	for pos := range r.remaining(e.task) {
		if n == 0 {
			break
		}
		ref := stepRef{e.task, uint32(pos)}
		if e.met(p.step(pos)) || here && pos == k {
			continue
		}
		n--
		if p.step(pos) != Running && !about(ref) || !s.together(agent, s.agentAt(r, ref)) {
			return nil, false
		}
		refs = append(refs, ref)
	}
	return refs, true
}

// agentAt returns the agent that the step is under way on, or about to be.
func (s *State) agentAt(r *Run, ref stepRef) *Agent {
	if st := r.Step(ref.task, int(ref.pos)); st.Status == Running {
		return s.Agents[s.Attempts[st.Attempt].Agent]
	}
	return s.agentFor(r, r.Graph.hostAt(ref.task, int(ref.pos)), 0)
}

// underWay reports whether all that the task has left is under way, and little enough
// to be waited for; more of it is about to start.
func (r *Run) underWay(task uint32, more int) bool {
	left := r.left(task)
	return r.Graph.needs[task].who == byHosts && left > 0 && left <= elsewhereMax && int(r.Tasks[task].tally[Running])+more == left
}

// left counts the steps of the task that have not succeeded.
func (r *Run) left(task uint32) int { return r.Graph.StepCount(task) - int(r.Tasks[task].tally[Done]) }

// siteOf returns the relay of the site that all of what the task has under way is on,
// or 0, also where that is the other one, which is not of interest.
func (s *State) siteOf(r *Run, task uint32, other uint64) (via uint64) {
	for pos := range r.remaining(task) {
		st := r.Step(task, pos)
		if st.Status != Running {
			continue
		}
		a := s.Agents[s.Attempts[st.Attempt].Agent]
		if a.Via == 0 || a.Via == other || via != 0 && a.Via != via {
			return 0
		}
		via = a.Via
	}
	return via
}

// remaining yields the positions, ascending, of the task's steps that may not have
// succeeded: once these are few enough to be waited for, no others.
func (r *Run) remaining(task uint32) iter.Seq[int] {
	return func(yield func(int) bool) {
		if rest := r.Tasks[task].rest; rest != nil {
			for _, pos := range rest {
				if !yield(int(pos)) {
					return
				}
			}
			return
		}
		for pos := range r.Graph.StepCount(task) {
			if !yield(pos) {
				return
			}
		}
	}
}

// keepRest keeps what [Run.remaining] yields in mind, when one more step of the task
// has succeeded.
func (r *Run) keepRest(task uint32, pos int) {
	t := &r.Tasks[task]
	switch left := r.left(task); {
	case len(t.Steps) <= elsewhereMax || left > elsewhereMax:
	case left == 0:
		t.rest = nil
	case t.rest != nil:
		t.rest = slices.DeleteFunc(t.rest, func(p uint32) bool { return int(p) == pos })
	default:
		for p := range t.Steps {
			if t.Steps[p].Status != Done {
				t.rest = append(t.rest, uint32(p))
			}
		}
	}
}

// lookAround notes what may be scheduled ahead on the site that all of what the task
// has left is under way on. It is called when that may have become so, and before is
// the agent of a step that was among what is left until now, or nil.
func (s *State) lookAround(r *Run, task uint32, before *Agent) {
	if r.AheadMax == 0 || s.relays == 0 || !r.underWay(task, 0) {
		return
	}
	out := r.Graph.out[task]
	if !slices.ContainsFunc(out, func(e edge) bool { return e.all }) {
		return
	}
	was := uint64(0)
	if before != nil && r.left(task) < elsewhereMax {
		was = before.Via // on that site it was so before
	}
	via := s.siteOf(r, task, was)
	if via == 0 {
		return
	}
	for _, e := range out {
		if e.all {
			s.eachAt(r, e.task, via, func(host uint32, _ *Agent) { s.lookAhead(r, e.task, host) })
		}
	}
}

// lookOver does so for one task, since another of those that it requires is settled.
func (s *State) lookOver(r *Run, task uint32) {
	if s.relays == 0 {
		return
	}
	for _, e := range r.Graph.needs[task].edges {
		if !e.all || e.met(r.Tasks[e.task].Status) {
			continue
		}
		if r.underWay(e.task, 0) {
			if via := s.siteOf(r, e.task, 0); via != 0 {
				s.eachAt(r, task, via, func(host uint32, _ *Agent) { s.lookAhead(r, task, host) })
			}
		}
		return
	}
}

// eachAt calls f with the hosts of the task that are of the site, and their agents.
func (s *State) eachAt(r *Run, task uint32, via uint64, f func(host uint32, a *Agent)) {
	if r.Graph.needs[task].who != byHosts {
		return
	}
	for _, host := range r.Graph.HostSets[r.Graph.Tasks[task].HostSet] {
		if a := s.agentFor(r, host, 0); a != nil && a.Via == via {
			f(host, a)
		}
	}
}

// givenBack reports whether the agent of a step's attempt gave it back while another
// agent's attempt, behind which it is to be scheduled again, is under way on record.
// That agent knows more of the other's end than the log, which has it soon.
func (s *State) givenBack(attempt uint64, behind *Attempt) bool {
	a := s.Attempts[attempt]
	return a != nil && a.Outcome == eventlog.NotStarted && a.Agent != behind.Agent && a.behind(behind.ID)
}

// aheadOfRecord reports whether the attempt, which has ended, waited for one of another
// agent that is under way on record. Where it was given back its agent knows more of that
// one's end, or it is not sent again before that is on record: see [State.givenBack].
func (s *State) aheadOfRecord(a *Attempt) bool {
	return slices.ContainsFunc(a.After, func(p Predecessor) bool {
		b := s.Attempts[p.Attempt]
		return b.Agent != a.Agent && b.Outcome == 0
	})
}

// leavePlace has the attempt take no place when the one ends whose place it waits for:
// it has begun, which is on record before that one's end, and waits for other hosts now.
func (s *State) leavePlace(a *Attempt) bool {
	p := s.Attempts[a.place]
	if p == nil {
		return false
	}
	p.heir, a.place = 0, 0
	s.given(s.Run(p.Run), p)
	return true
}

// elsewhere counts those of the attempts that are other agents' than the one's.
func (s *State) elsewhere(agent uint64, after []Predecessor) (n uint32) {
	for _, p := range after {
		if s.Attempts[p.Attempt].Agent != agent {
			n++
		}
	}
	return n
}

// deriveQueue counts what follows from the run's steps, and drops what earlier versions
// have kept of what might have been scheduled ahead.
func (r *Run) deriveQueue() {
	q := &r.queue
	q.aheadMax = r.AheadMax
	q.bound(r)
	for i := range r.Tasks {
		for pos := range r.Tasks[i].Steps {
			if st := &r.Tasks[i].Steps[pos]; st.Status == Running {
				q.slots[q.slot(r.Graph.hostAt(uint32(i), pos))].open++
			}
		}
	}
	for i := range q.slots {
		q.dealt += q.slots[i].places
		q.holders += one(q.slots[i].places > 0)
		q.crowd(i, q.crowds(i))
	}
	for _, ref := range slices.Collect(q.mayGoAhead()) {
		if r.Tasks[ref.task].step(int(ref.pos)) != Pending {
			q.forget(ref)
		}
	}
}

// derive counts what a state that was read does not tell.
func (s *State) derive() {
	for _, a := range s.Agents {
		if a.Relay {
			s.relays++
		}
		for _, id := range a.Open {
			a.elsewhere += s.elsewhere(a.ID, s.Attempts[id].After)
			a.openBytes += s.bytesOf(s.Attempts[id])
		}
	}
	for _, id := range s.active {
		s.Runs[id-1].deriveQueue()
	}
	for _, r := range s.Runs {
		r.deriveOutputs()
	}
}
