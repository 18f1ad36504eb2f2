package engine

import (
	"testing"

	"quorate/eventlog"
)

// A host that was enrolled anew gets the successor of an attempt that its agent
// before had: the new agent is not asked to forbid what was never its own.
func TestASuccessorOnANewAgentSupersedesNothingThere(t *testing.T) {
	l := newLab(t)
	first := l.agent("h0")
	r := l.run(plan(1, eventlog.PlanTask{Idempotent: true}))
	l.decide()
	before := l.attempt(r, 0, 0).ID
	l.ok(&eventlog.AgentRevoked{Agent: first})
	second := l.agent("h0")
	l.decide()
	a := l.attempt(r, 0, 0)
	if a.Agent != second || a.Supersedes != before {
		t.Fatalf("attempt %+v does not follow %d on agent %d", a, before, second)
	}
	if c := l.s.Command(a.ID); c.Supersedes != 0 {
		t.Errorf("the agent is told to supersede attempt %d of another agent", c.Supersedes)
	}
	l.ok(&eventlog.AttemptEnded{Attempt: a.ID, Outcome: eventlog.Unknown, By: "operator"})
	l.decide()
	if c := l.s.Command(l.attempt(r, 0, 0).ID); c.Supersedes != a.ID {
		t.Errorf("the agent is told to supersede %d, want its own attempt %d", c.Supersedes, a.ID)
	}
}
