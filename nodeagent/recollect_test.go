package nodeagent

import (
	"os"
	"path/filepath"
	"testing"

	"quorate/nodeagent/facts"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

// A remembering is an agent's journal and memory, without the agent.
type remembering struct {
	t   *testing.T
	dir string
	a   *agent
}

func newRemembering(t *testing.T) *remembering {
	m := &remembering{t: t, dir: t.TempDir()}
	m.open()
	t.Cleanup(func() { m.ok(m.a.facts.Close(), m.a.journal.Close()) })
	return m
}

func (m *remembering) ok(errs ...error) {
	m.t.Helper()
	for _, err := range errs {
		if err != nil {
			m.t.Fatal(err)
		}
	}
}

// open starts with what is on disk, under the same boot.
func (m *remembering) open() {
	m.t.Helper()
	f, err := facts.Open(filepath.Join(m.dir, "facts.db"))
	m.ok(err)
	j, err := journal.Open(filepath.Join(m.dir, "journal"), "boot")
	m.ok(err)
	m.a = &agent{facts: f, journal: j}
}

// intend begins an attempt of the task, by itself a run.
func (m *remembering) intend(task string, id uint64) *facts.Course {
	m.t.Helper()
	m.ok(m.a.journal.Append(func(s *journal.State, add func(journal.Record)) error {
		add(&journal.Intended{Attempt: id, Jobs: 3, Window: 3, Seq: s.Seq + 1, Step: journal.StepName(id, task, "host")})
		return nil
	}))
	c, err := m.a.facts.Begin(task, id, 0, nil, nil, facts.NotBegun)
	m.ok(err)
	return c
}

// do comes to a job of the attempt as the agent does.
func (m *remembering) do(c *facts.Course, id uint64, e facts.Ending) {
	m.t.Helper()
	e.Succeeded = true
	note, err := c.Ended(e)
	m.ok(err, m.a.journal.Append(func(s *journal.State, add func(journal.Record)) error {
		start, err := s.StartJob(id, e.Job, 1)
		if err != nil {
			return err
		}
		add(start)
		if note != nil {
			add(&journal.Noted{Attempt: id, Note: note})
		}
		end, err := s.EndJob(wire.Report{Attempt: id, Job: e.Job, Outcome: journal.OutcomeSucceeded})
		if err == nil {
			add(end)
		}
		return err
	}))
}

// end ends the attempt, which has failed behind what it did.
func (m *remembering) end(c *facts.Course, id uint64) {
	m.t.Helper()
	c.End(facts.EndedOtherwise)
	m.ok(m.a.journal.Append(func(s *journal.State, add func(journal.Record)) error {
		rec, err := s.End(id, journal.OutcomeFailed, "", nil)
		if err == nil {
			add(rec)
		}
		return err
	}))
}

// kill ends the agent before its memory is written, and has another one recollect it.
func (m *remembering) kill(memory []byte) {
	m.t.Helper()
	m.ok(m.a.facts.Close(), m.a.journal.Close(), os.WriteFile(filepath.Join(m.dir, "facts.db"), memory, 0o600))
	m.open()
	m.ok(m.a.recollect())
}

// TestRecollectOverlap: behind attempts of two runs that were beside each other, and a
// kill before what they did is written, the job that has to follow a file runs. Behind
// attempts one after the other it does where it has to.
func TestRecollectOverlap(t *testing.T) {
	restart := facts.Key{'a'}
	const older, newer = 4, 6
	for _, c := range []struct {
		name   string
		beside bool     // the older one changes the file when the newer one has restarted
		ended  []uint64 // those that were over when the agent was killed
		due    bool
	}{
		{"both are under way", true, nil, true},
		{"the newer one is over", true, []uint64{newer}, true},
		{"the older one is over", true, []uint64{older}, true},
		{"both are over", true, []uint64{newer, older}, true},
		{"both are over, in the other order", true, []uint64{older, newer}, true},
		{"one after the other", false, []uint64{older, newer}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newRemembering(t)
			course := m.intend("task", 2)
			m.do(course, 2, facts.Ending{Job: 0, Changed: true})
			m.do(course, 2, facts.Ending{Job: 1, Key: &restart, Changed: true})
			m.end(course, 2)
			m.ok(m.a.facts.Flush(), m.a.recollect())
			memory, err := os.ReadFile(filepath.Join(m.dir, "facts.db"))
			m.ok(err)

			first := m.intend("task", older)
			if !c.beside {
				m.do(first, older, facts.Ending{Job: 0, Changed: true})
				m.end(first, older)
			}
			second := m.intend("task", newer)
			m.do(second, newer, facts.Ending{Job: 0})
			m.do(second, newer, facts.Ending{Job: 1, Key: &restart})
			if c.beside {
				m.do(first, older, facts.Ending{Job: 0, Changed: true})
			}
			for _, id := range c.ended {
				switch {
				case id == newer:
					m.end(second, newer)
				case c.beside:
					m.end(first, older)
				}
			}
			m.kill(memory)
			course, err = m.a.facts.Begin("task", 8, 0, nil, nil, facts.NotBegun)
			m.ok(err)
			now := facts.Origin{Run: 8, Task: "task", Attempt: 8, Job: 1}
			if due := !course.Leaves(restart, facts.Result{Origin: facts.Origin{Run: 2, Task: "task", Attempt: 2}}, now); due != c.due {
				t.Errorf("the restart is due: %v", due)
			}
			course.End(facts.EndedOtherwise)
		})
	}
}

// TestGoesOn: a restart that was under way when the agent was killed is due once more where
// another run has changed the file since it began, also where the journal has forgotten
// that; and only there.
func TestGoesOn(t *testing.T) {
	restart := facts.Key{'a'}
	for _, c := range []struct {
		name            string
		before, written bool // the other run is over before it began, and on record before the kill
		due             bool
	}{
		{"behind it, on record", false, true, true},
		{"behind it, in the journal", false, false, true},
		{"before it, on record", true, true, false},
		{"before it, in the journal", true, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newRemembering(t)
			course := m.intend("task", 2)
			m.do(course, 2, facts.Ending{Job: 0, Changed: true})
			m.end(course, 2)
			m.ok(m.a.facts.Flush(), m.a.forgetNotes())
			other := func() {
				course := m.intend("task", 6)
				m.do(course, 6, facts.Ending{Job: 0, Changed: true})
				m.end(course, 6)
			}
			memory, err := os.ReadFile(filepath.Join(m.dir, "facts.db"))
			m.ok(err)
			if c.before {
				other()
			}
			m.intend("task", 4)
			m.ok(m.a.journal.Append(func(s *journal.State, add func(journal.Record)) error {
				start, err := s.StartJob(4, 0, 1)
				add(start)
				return err
			}))
			if !c.before {
				other()
			}
			if c.written {
				m.ok(m.a.facts.Flush(), m.a.forgetNotes())
				memory, err = os.ReadFile(filepath.Join(m.dir, "facts.db"))
				m.ok(err)
			}
			m.kill(memory)
			var before facts.Before
			m.a.journal.View(func(s *journal.State) {
				at, _ := s.Attempt(4)
				before = begunBefore(at)
			})
			course, err = m.a.facts.Begin("task", 4, 0, nil, nil, before)
			m.ok(err)
			_, err = course.Ended(facts.Ending{Key: &restart, Succeeded: true, Changed: true})
			m.ok(err)
			course.End(facts.EndedWell)
			course, err = m.a.facts.Begin("task", 8, 0, nil, nil, facts.NotBegun)
			m.ok(err)
			now := facts.Origin{Run: 8, Task: "task", Attempt: 8}
			if due := !course.Leaves(restart, facts.Result{Origin: facts.Origin{Run: 4, Task: "task", Attempt: 4}}, now); due != c.due {
				t.Errorf("the restart is due: %v", due)
			}
			course.End(facts.EndedOtherwise)
		})
	}
}
