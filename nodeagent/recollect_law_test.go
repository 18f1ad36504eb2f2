package nodeagent

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"quorate/nodeagent/facts"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

// A host is a machine on which attempts of several runs are under way at once, with what
// is true of it beside what its journal and its memory say. A step has a file and two
// commands behind it; another one, which requires it, has one command.
type host struct {
	remembering
	rt    *rapid.T
	boots int
	ids   []uint64 // of attempts to come, in any order
	next  uint64
	open  []*underway
	calm  bool // nothing goes wrong any more
	truth truth
	// memory is what was written last, disk the journal as it was synced last, and old
	// what a copy of the machine had.
	memory, disk []byte
	old          *image
}

// truth counts what happens.
type truth struct {
	now     int
	changed map[string]int // when what is before a command has changed last
	ran     map[string]int // when each command has begun last
}

type image struct {
	memory, disk []byte
	ran, changed map[string]int
}

// underway is an attempt, and the job that it is at.
type underway struct {
	id      uint64
	course  *facts.Course
	at      uint32
	started bool
	left    bool
	again   bool // an earlier agent began the job
}

// commandAt names the command of the step at the position, "" is a file.
func commandAt(at uint32) string { return [...]string{"", "reload", "", "check"}[at] }

const jobsOfStep = 4

func (h *host) ok(errs ...error) {
	for _, err := range errs {
		if err != nil {
			h.rt.Fatal(err)
		}
	}
}

func (h *host) chance(what string, of int) bool {
	return rapid.IntRange(1, of).Draw(h.rt, what) == 1
}

func (h *host) append(add ...func(s *journal.State) (journal.Record, error)) {
	h.ok(h.a.journal.Append(func(s *journal.State, put func(journal.Record)) error {
		for _, f := range add {
			r, err := f(s)
			if err != nil {
				return err
			}
			if r != nil {
				put(r)
			}
		}
		return nil
	}))
}

func (h *host) read(name string) []byte {
	data, err := os.ReadFile(filepath.Join(h.dir, name))
	h.ok(err)
	return data
}

// sync has the journal on disk.
func (h *host) sync() {
	h.ok(h.a.journal.Sync())
	h.disk = h.read(filepath.Join("journal", "log"))
}

// flush has the memory on disk, and what that makes needless in the journal forgotten.
func (h *host) flush() {
	h.ok(h.a.facts.Flush())
	h.memory = h.read("facts.db")
	h.ok(h.a.forgetNotes())
}

func (h *host) start() {
	f, err := facts.Open(filepath.Join(h.dir, "facts.db"))
	h.ok(err)
	j, err := journal.Open(filepath.Join(h.dir, "journal"), strconv.Itoa(h.boots))
	h.ok(err)
	h.a = &agent{facts: f, journal: j}
	h.ok(h.a.recollect())
	h.memory = h.read("facts.db")
}

// kill ends the agent, and starts it again, which goes on with its attempts.
func (h *host) kill() {
	h.ok(h.a.facts.Close(), h.a.journal.Close(), os.WriteFile(filepath.Join(h.dir, "facts.db"), h.memory, 0o600))
	h.start()
	for _, u := range h.open {
		h.begin(u)
		if u.again = u.started; u.started && u.left {
			u.left = h.leaves(u.course, "task", commandAt(u.at), u.id, u.at)
		}
	}
}

// change is a file that changes at the position.
func (h *host) change(at uint32) {
	h.truth.now++
	for _, name := range []string{"reload", "check", "then"} {
		if name != "reload" || at == 0 {
			h.truth.changed[name] = h.truth.now
		}
	}
}

// uncertain: what has begun may have changed.
func (h *host) uncertain() {
	for _, u := range h.open {
		if u.started && commandAt(u.at) == "" {
			h.change(u.at)
		}
	}
}

// down takes the machine down, and starts it with what is on disk, or was once.
func (h *host) down(memory, disk []byte) {
	h.ok(h.a.facts.Close(), h.a.journal.Close())
	h.ok(os.WriteFile(filepath.Join(h.dir, "facts.db"), memory, 0o600), os.WriteFile(filepath.Join(h.dir, "journal", "log"), disk, 0o600))
	h.boots++
	h.open = nil
	h.start()
	h.sync()
}

func (h *host) begin(u *underway) {
	before := facts.NotBegun
	h.a.journal.View(func(s *journal.State) {
		at, _ := s.Attempt(u.id)
		before = begunBefore(at)
	})
	var err error
	u.course, err = h.a.facts.Begin("task", u.id, 0, nil, nil, before)
	h.ok(err)
}

// intend begins an attempt, whose intent is synced.
func (h *host) intend(task string, jobs uint32) uint64 {
	if len(h.ids) == 0 {
		for range 3 {
			h.next++
			h.ids = append(h.ids, h.next)
		}
	}
	i := rapid.IntRange(0, len(h.ids)-1).Draw(h.rt, "attempt")
	id := h.ids[i]
	h.ids = slices.Delete(h.ids, i, i+1)
	h.append(func(s *journal.State) (journal.Record, error) {
		return &journal.Intended{Attempt: id, Jobs: jobs, Window: jobs, Seq: s.Seq + 1, Step: journal.StepName(id, task, "host")}, nil
	})
	h.sync()
	return id
}

// leaves asks whether a command need not run, and compares that with what is true.
func (h *host) leaves(c *facts.Course, task, name string, id uint64, job uint32) bool {
	key := facts.Key{name[0]}
	ran := h.truth.ran[name]
	before := facts.Result{Origin: facts.Origin{Task: task, Attempt: 1}}
	left := ran > 0 && c.Leaves(key, before, facts.Origin{Run: id, Task: task, Attempt: id, Job: job})
	if left && h.truth.changed[name] > ran {
		h.rt.Fatalf("attempt %d leaves %s alone: it ran at %d, and what is before it has changed at %d", id, name, ran, h.truth.changed[name])
	}
	if !left {
		h.truth.now++
		h.truth.ran[name] = h.truth.now
	}
	return left
}

// get lets an attempt get on by half a job.
func (h *host) get(u *underway) {
	if !u.started {
		h.append(func(s *journal.State) (journal.Record, error) { return s.StartJob(u.id, u.at, 1) })
		u.started = true
		if name := commandAt(u.at); name != "" {
			u.left = h.leaves(u.course, "task", name, u.id, u.at)
		}
		return
	}
	e := facts.Ending{Job: u.at, Succeeded: true}
	if name := commandAt(u.at); name != "" {
		e.Key, e.Left, e.Changed = &facts.Key{name[0]}, u.left, !u.left
	} else {
		e.Changed = u.again || !h.calm && h.chance("changes", 3)
	}
	note, err := u.course.Ended(e)
	h.ok(err)
	if !h.calm && h.chance("killed before it is journalled", 8) {
		if h.chance("written", 2) {
			h.ok(h.a.facts.Flush())
			h.memory = h.read("facts.db")
		}
		h.kill() // it counts when it goes on
		return
	}
	if e.Changed && e.Key == nil {
		h.change(u.at)
	}
	h.append(func(*journal.State) (journal.Record, error) {
		if note == nil {
			return nil, nil
		}
		return &journal.Noted{Attempt: u.id, Note: note}, nil
	}, func(s *journal.State) (journal.Record, error) {
		return s.EndJob(wire.Report{Attempt: u.id, Job: u.at, Outcome: journal.OutcomeSucceeded})
	})
	u.started, u.again, u.left = false, false, false
	if u.at++; u.at == jobsOfStep {
		h.end(u, "task", true)
	}
}

// end ends an attempt, well or because its run was cancelled.
func (h *host) end(u *underway, task string, well bool) {
	h.open = slices.DeleteFunc(h.open, func(o *underway) bool { return o == u })
	outcome := map[bool]uint8{true: journal.OutcomeSucceeded, false: journal.OutcomeCancelled}[well]
	r := &attemptRun{agent: h.a, id: u.id, step: &wire.Step{Task: task}, course: u.course}
	h.ok(h.a.journal.Append(func(s *journal.State, add func(journal.Record)) error { return r.end(s, add, outcome, "") }))
}

// then is a step that requires the other one, from its beginning to its end.
func (h *host) then() {
	u := &underway{id: h.intend("then", 1)}
	var err error
	u.course, err = h.a.facts.Begin("then", u.id, 0, []string{"task"}, nil, facts.NotBegun)
	h.ok(err)
	left := h.leaves(u.course, "then", "then", u.id, 0)
	note, err := u.course.Ended(facts.Ending{Key: &facts.Key{'t'}, Left: left, Succeeded: true, Changed: !left})
	h.ok(err)
	h.append(func(s *journal.State) (journal.Record, error) { return s.StartJob(u.id, 0, 1) },
		func(*journal.State) (journal.Record, error) {
			if note == nil {
				return nil, nil
			}
			return &journal.Noted{Attempt: u.id, Note: note}, nil
		},
		func(s *journal.State) (journal.Record, error) {
			return s.EndJob(wire.Report{Attempt: u.id, Outcome: journal.OutcomeSucceeded})
		})
	h.end(u, "then", true)
}

// apply begins an attempt of the step.
func (h *host) apply() {
	u := &underway{id: h.intend("task", jobsOfStep)}
	h.open = append(h.open, u)
	h.begin(u)
}

// act does one thing that may happen.
func (h *host) act() {
	switch n := rapid.IntRange(0, 23).Draw(h.rt, "act"); {
	case n < 4 && len(h.open) < 3:
		h.apply()
	case n < 15 && len(h.open) > 0:
		h.get(h.open[rapid.IntRange(0, len(h.open)-1).Draw(h.rt, "of")])
	case n == 15 && len(h.open) > 0:
		if u := h.open[rapid.IntRange(0, len(h.open)-1).Draw(h.rt, "cancelled")]; !u.started {
			h.end(u, "task", false)
		}
	case n == 16:
		h.flush()
	case n == 17:
		h.sync()
	case n == 18 || n == 19:
		h.kill()
	case n == 20:
		h.uncertain()
		h.down(h.memory, h.disk)
	case n == 21 && h.old == nil:
		changed := maps.Clone(h.truth.changed)
		h.uncertain()
		h.sync()
		h.old = &image{h.memory, h.disk, maps.Clone(h.truth.ran), h.truth.changed}
		h.truth.changed = changed // here it is only copied
	case n == 21:
		h.truth.ran, h.truth.changed = maps.Clone(h.old.ran), maps.Clone(h.old.changed)
		h.down(h.old.memory, h.old.disk)
	default:
		h.then()
	}
}

// TestNoRestartIsLost: over any history of several runs at once that are cancelled, of
// agents that are killed and go on, of machines that go down, and of old disks that are put
// back, a command runs where something before it, in its step or in what that requires,
// has changed since it began last.
func TestNoRestartIsLost(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		h := &host{rt: rt, truth: truth{changed: map[string]int{}, ran: map[string]int{}}, next: 1}
		var err error
		h.dir, err = os.MkdirTemp(dir, "")
		h.ok(err)
		h.start()
		h.sync()
		defer func() { h.ok(h.a.facts.Close(), h.a.journal.Close()) }()
		for range rapid.IntRange(1, 40).Draw(rt, "acts") {
			h.act()
		}
		for h.calm = true; len(h.open) > 0; {
			h.get(h.open[0])
		}
		for h.apply(); len(h.open) > 0; {
			h.get(h.open[0])
		}
		h.then()
	})
}
