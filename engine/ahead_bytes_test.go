package engine

import (
	"testing"

	"quorate/eventlog"
)

const mebibyte = 1 << 20

// chainOf is a chain of steps on one host that take so many bytes each.
func chainOf(steps int, bytes uint32) *eventlog.PlanRecorded {
	tasks := make([]eventlog.PlanTask, steps)
	for i := range tasks {
		if tasks[i].Bytes = bytes; i > 0 {
			tasks[i].Requires = sameHost(uint32(i) - 1)
		}
	}
	return plan(1, tasks...)
}

// TestAheadBytes: of large steps no more is sent ahead of its turn than takes so many
// bytes, or one step; what its turn has come for counts no more.
func TestAheadBytes(t *testing.T) {
	t.Parallel()
	sendAhead := func(e *eventlog.RunCreated) { e.AheadMax = 100 }
	independent := func(steps int, bytes uint32) *eventlog.PlanRecorded {
		p := chainOf(steps, bytes)
		for i := range p.Tasks {
			p.Tasks[i].Requires = nil
		}
		return p
	}
	one := func(e *eventlog.RunCreated) { sendAhead(e); e.StepsPerHostMax = 1 }
	for _, c := range []struct {
		name        string
		plan        *eventlog.PlanRecorded
		with        func(*eventlog.RunCreated)
		first, then string
	}{
		{"a chain", chainOf(8, mebibyte), sendAhead,
			"schedule 0@0 from 0; schedule 1@0 from 0; schedule 2@0 from 0; schedule 3@0 from 0; schedule 4@0 from 0", "schedule 5@0 from 0"},
		{"a chain that just fits", chainOf(3, 2*mebibyte), sendAhead, "schedule 0@0 from 0; schedule 1@0 from 0; schedule 2@0 from 0", ""},
		{"a chain of the largest", chainOf(4, 16*mebibyte), sendAhead, "schedule 0@0 from 0; schedule 1@0 from 0", "schedule 2@0 from 0"},
		{"places", independent(8, mebibyte), one,
			"schedule 0@0 from 0; schedule 1@0 from 0; schedule 2@0 from 0; schedule 3@0 from 0; schedule 4@0 from 0", "schedule 5@0 from 0"},
		{"places of the largest", independent(4, 16*mebibyte), one, "schedule 0@0 from 0; schedule 1@0 from 0", "schedule 2@0 from 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.agent("h0")
			l.connect("h0", 0)
			r := l.run(c.plan, c.with)
			wantDecided(t, l, c.first)
			l.end(r, 0, 0, eventlog.Succeeded)
			wantDecided(t, l, c.then)
			if err := recount(l.s); err != nil {
				t.Error(err)
			}
			again := recoded(t, l.s)
			if got, want := again.AgentByName("h0").openBytes, l.s.AgentByName("h0").openBytes; got != want {
				t.Errorf("a state that was read holds %d bytes, want %d", got, want)
			}
		})
	}
}

// TestAheadBytesAtSites: each agent of a site is sent as much.
func TestAheadBytesAtSites(t *testing.T) {
	t.Parallel()
	large := func(host uint32, requires ...eventlog.PlanDep) eventlog.PlanTask {
		task := on(host, requires...)
		task.Bytes = 3 * mebibyte
		return task
	}
	l, r := siteLab(t, 2, plan(2, large(0), large(1, all(0)...), large(0, all(1)...), large(1, all(2)...), large(0, all(3)...)))
	wantDecided(t, l, "schedule 0@0 from 0; schedule 1@1 from 0; schedule 2@0 from 0")
	l.end(r, 0, 0, eventlog.Succeeded) // it is the turn of the step on the other host
	wantDecided(t, l, "schedule 3@1 from 0")
	l.end(r, 1, 0, eventlog.Succeeded)
	wantDecided(t, l, "schedule 4@0 from 0")
	if err := recount(l.s); err != nil {
		t.Error(err)
	}
}

// TestAheadBytesAreFolded: a proposal of more is void, behind others and in a line.
func TestAheadBytesAreFolded(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]*eventlog.StepScheduled{"behind others": {Task: 2, Ahead: true}, "in a line": {Task: 3, Queues: true}} {
		l := newLab(t)
		l.agent("h0")
		l.connect("h0", 0)
		p := chainOf(4, 3*mebibyte)
		p.Tasks[3].Requires = nil
		r := l.run(p, func(e *eventlog.RunCreated) { e.AheadMax, e.StepsPerHostMax = 100, 1 })
		wantDecided(t, l, "schedule 0@0 from 0; schedule 1@0 from 0")
		e.Run, e.Agent, e.Epoch = r.ID, l.s.AgentByName("h0").ID, l.s.Epoch
		if why := l.void(e); why != "the agent holds all that may be sent ahead" {
			t.Errorf("%s: %s", name, why)
		}
	}
}
