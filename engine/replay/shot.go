package replay

import (
	"maps"
	"slices"

	"quorate/engine"
	"quorate/eventlog"
)

// A Shot is what a state said when it was taken, to be compared with what it says
// later: of all that is there, or of what one event can change.
type Shot struct {
	whole bool

	epoch, leader, generation, checkpoint uint64

	runs      map[uint64]*runShot
	attempts  map[uint64]engine.Attempt
	agents    map[uint64]agentShot
	members   map[uint64]memberShot
	tokens    map[string]uint64 // who spent each
	operators map[string]operatorShot
	plans     map[string]bool
}

type runShot struct {
	status string
	counts engine.Counts
	tasks  []engine.Task // with steps of their own
}

type agentShot struct {
	engine.Agent
	values map[string]*engine.Published
}

type memberShot struct {
	engine.Member
}

// Take takes what all of a state says.
func Take(s *engine.State) *Shot {
	t := newShot(s)
	t.whole = true
	for _, r := range s.Runs {
		t.run(r)
	}
	for id, a := range s.Attempts {
		t.attempts[id] = *a
	}
	return t
}

// TakeFor takes what an event can change of a state: what is under way, and what it
// names.
func TakeFor(s *engine.State, e eventlog.Event) *Shot {
	t := newShot(s)
	for _, r := range s.Runs {
		if r.Outcome == 0 {
			t.run(r)
		}
	}
	for _, a := range s.Agents {
		for _, id := range a.Open {
			t.attempt(s, id)
		}
	}
	switch e := e.(type) {
	case *eventlog.StepScheduled:
		t.attempt(s, e.Supersedes)
	case *eventlog.JobEnded:
		t.attempt(s, e.Attempt)
	case *eventlog.AttemptEnded:
		t.attempt(s, e.Attempt)
	case *eventlog.AttemptBegan:
		t.attempt(s, e.Attempt)
	case *eventlog.ValuesPublished:
		t.attempt(s, e.Attempt)
	case *eventlog.StepResolved:
		t.attempt(s, e.Attempt)
	}
	return t
}

// attempt takes an attempt, and the run that it is of, which may have ended.
func (t *Shot) attempt(s *engine.State, id uint64) {
	a := s.Attempts[id]
	if a == nil {
		return
	}
	t.attempts[id] = *a
	if r := s.Run(a.Run); t.runs[r.ID] == nil {
		t.run(r)
	}
}

func newShot(s *engine.State) *Shot {
	t := &Shot{
		epoch: s.Epoch, leader: s.Leader, generation: s.Generation, checkpoint: s.Checkpoint.Size,
		runs: map[uint64]*runShot{}, attempts: map[uint64]engine.Attempt{}, agents: map[uint64]agentShot{},
		members: map[uint64]memberShot{}, tokens: map[string]uint64{}, operators: map[string]operatorShot{}, plans: map[string]bool{},
	}
	for id, a := range s.Agents {
		shot := agentShot{Agent: *a}
		shot.Open = slices.Clone(a.Open)
		if values := a.Values(); len(values) > 0 {
			shot.values = map[string]*engine.Published{}
			for _, v := range values {
				shot.values[v.Key] = v
			}
		}
		t.agents[id] = shot
	}
	for _, id := range slices.Concat(s.Members(), s.FormerMembers()) {
		t.members[id] = memberShot{*s.Member(id)}
	}
	for hash, token := range s.Tokens {
		t.tokens[hash] = token.SpentBy
	}
	for name, o := range s.Operators {
		t.operators[name] = operatorShot{o.Index, o.Revocation.Index}
	}
	for id := range maps.Keys(s.Plans) {
		t.plans[id] = true
	}
	return t
}

// An operatorShot is the records of an operator's newest certificate and revocation.
type operatorShot struct{ issued, revoked uint64 }

func (t *Shot) run(r *engine.Run) {
	shot := &runShot{status: r.Status(), counts: r.Counts, tasks: slices.Clone(r.Tasks)}
	for i := range shot.tasks {
		shot.tasks[i].Steps = slices.Clone(shot.tasks[i].Steps)
	}
	t.runs[r.ID] = shot
}

// step is what a step was, also where it was not made yet.
func (r *runShot) step(g *engine.Run, task uint32, pos int) engine.Step {
	t := &r.tasks[task]
	if t.Steps != nil {
		return t.Steps[pos]
	}
	st := g.Step(task, pos)
	return engine.Step{Host: st.Host, Status: t.Status, Reason: t.Reason}
}
