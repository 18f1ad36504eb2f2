package facts

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A history is an agent's, step by step, with what is true of its host beside what its
// files say: two tasks, of which the second requires the first and one on other hosts.
type history struct {
	t    *rapid.T
	path string
	s    *Store
	now  int // counts what happens
	next uint64

	tasks  map[string]*truth
	remote int // what became of the task on the other hosts
	// journal are the attempts of which it has notes.
	journal []*attempted
	// synced is the file as it was written last, when the machine goes down.
	synced []byte
	cut    bool // the machine has gone down: what has to run does, and more may
}

// truth is what has happened to a step, by the clock of the history.
type truth struct {
	seen   map[string]int  // when each job was last done, or rightly left alone
	said   map[string]byte // what a command said when it last succeeded
	failed map[string]bool // since then
	gone   map[string]bool // the step has succeeded without the job
	// stale are the jobs to which no attempt has come since one before them has changed
	// anything, and doubtful those of which that may be: a job that ran behind others that
	// did has said what it said before.
	stale, doubtful    map[string]bool
	changed, perhaps   int // when a job has last changed anything, and when one may have
	based              int // on what became of the task on the other hosts; 0 where it was never told
	follows, mayFollow int // when the inputs were last judged to have changed, or may have been
}

type attempted struct {
	id     uint64
	task   string
	notes  [][]byte
	synced int // how many of the notes are on disk
	ended  bool
	jobs   []string
	at     int
	// interrupted is the end of the job that the attempt is at, of which nobody was told.
	interrupted *Ending
}

func (h *history) open() {
	s, err := Open(h.path)
	if err != nil {
		h.t.Fatal(err)
	}
	h.s = s
}

// drop ends the process without a word.
func (h *history) drop() {
	h.s.mu.Lock()
	h.s.closed = true
	if h.s.timer != nil {
		h.s.timer.Stop()
	}
	h.s.mu.Unlock()
	if err := h.s.db.Close(); err != nil {
		h.t.Fatal(err)
	}
}

// flush is what happens half a second later: the memory is written, and the journal
// forgets what it has noted of attempts that have ended.
func (h *history) flush() {
	if err := h.s.Flush(); err != nil {
		h.t.Fatal(err)
	}
	h.journal = slices.DeleteFunc(h.journal, func(a *attempted) bool { return a.ended })
	var err error
	if h.synced, err = os.ReadFile(h.path); err != nil {
		h.t.Fatal(err)
	}
}

// kill ends the process and starts it again. Where the machine goes down with it, what
// was not synced is lost, and what was under way is unknown.
func (h *history) kill(machine bool) {
	h.drop()
	if machine {
		h.cut = true
		if err := os.WriteFile(h.path, h.synced, 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
	h.open()
	for _, a := range h.journal {
		unknown := false
		if machine {
			lost := len(a.notes) > a.synced || !a.ended
			a.notes, unknown, a.ended = a.notes[:a.synced], lost || rapid.Bool().Draw(h.t, "the end is lost"), true
		}
		if _, err := h.s.Recollect(a.task, a.id, a.notes, unknown); err != nil {
			h.t.Fatal(err)
		}
	}
	h.flush()
}

// sync is of the journal, at any time.
func (h *history) sync() {
	for _, a := range h.journal {
		a.synced = len(a.notes)
	}
}

func (h *history) tick() int { h.now++; return h.now }

func jobKey(name string) Key { return Key{name[0]} }

// looks reports whether the job looks at the host itself.
func looks(name string) bool { return name[0] >= 'x' }

// step runs a step with the jobs, and reports whether it has succeeded.
func (h *history) step(task string, jobs []string, requires ...string) bool {
	h.next++
	a := &attempted{id: h.next, task: task, jobs: jobs}
	h.journal = append(h.journal, a)
	tr := h.tasks[task]
	for _, required := range requires {
		if h.tasks[required].changed > tr.follows {
			tr.follows = h.tick()
		}
		if h.tasks[required].perhaps > tr.mayFollow {
			tr.mayFollow = h.tick()
		}
	}
	if len(requires) > 0 && h.remote != tr.based {
		tr.based, tr.follows = h.remote, h.tick()
	}
	fails := rapid.IntRange(0, 3*len(jobs)).Draw(h.t, "fails at")
	for {
		outcome := h.course(a, tr, fails, requires)
		switch outcome {
		case "killed":
			continue
		case "down":
			return false
		}
		return outcome == "well"
	}
}

// course takes an attempt on its way until something comes between.
func (h *history) course(a *attempted, tr *truth, fails int, requires []string) string {
	var inputs []Input
	if len(requires) > 0 {
		inputs = []Input{{Task: "elsewhere", Output: [16]byte{byte(h.remote)}}}
	}
	before := NotBegun
	switch {
	case len(a.notes) > 0:
		before = BegunAndNoted
	case a.at > 0:
		before = Begun
	}
	c, err := h.s.Begin(a.task, a.id, 0, requires, inputs, before)
	if err != nil {
		h.t.Fatal(err)
	}
	for a.at < len(a.jobs) {
		if how := h.job(c, a, tr, fails); how != "" {
			return how
		}
	}
	c.End(EndedWell)
	a.ended = true
	for name := range tr.seen {
		tr.gone[name] = tr.gone[name] || !slices.Contains(a.jobs, name)
	}
	return "well"
}

// job takes the next job of an attempt, and says how that ends the attempt, if it does.
func (h *history) job(c *Course, a *attempted, tr *truth, fails int) (over string) {
	e := h.do(c, a, tr, a.at != fails)
	trouble := rapid.IntRange(0, 20).Draw(h.t, "trouble")
	if trouble == 1 {
		a.interrupted = &e
		return h.trouble(a)
	}
	note, err := c.Ended(e)
	if err != nil {
		h.t.Fatal(err)
	}
	if trouble == 2 {
		a.interrupted = &e
		return h.trouble(a)
	}
	a.interrupted = nil
	if note != nil {
		a.notes = append(a.notes, note)
	}
	if !e.Left && !e.Succeeded {
		c.End(EndedOtherwise)
		a.ended = true
		over = "failed"
	}
	a.at++
	switch trouble {
	case 3:
		if over == "" {
			return h.trouble(a)
		}
	case 4, 5:
		h.flush()
	case 6, 7:
		h.sync()
	}
	return over
}

// trouble kills the agent, or has the machine go down.
func (h *history) trouble(a *attempted) string {
	if rapid.IntRange(0, 3).Draw(h.t, "goes down") == 0 {
		h.kill(true)
		return "down"
	}
	h.kill(false)
	return "killed"
}

// do does the next job, or finds that it need not be done, and compares that with what
// is true.
func (h *history) do(c *Course, a *attempted, tr *truth, succeeds bool) Ending {
	name := a.jobs[a.at]
	if e := a.interrupted; e != nil && !e.Left {
		e.Changed = true // nobody knows what it had changed
		h.count(a, tr, name, *e)
		return *e
	}
	e := Ending{Job: uint32(a.at), Succeeded: succeeds}
	if looks(name) {
		e.Changed = rapid.IntRange(0, 3).Draw(h.t, "drifts") == 0
		h.count(a, tr, name, e)
		return e
	}
	key := jobKey(name)
	e.Key, e.Changed = &key, true
	seen := tr.seen[name]
	if must := seen == 0 || tr.failed[name] || tr.stale[name] || tr.follows > seen; seen > 0 {
		e.Left = c.Leaves(key, Result{Origin: Origin{Run: 1, Task: a.task, Attempt: 1}}, Origin{Run: 2, Task: a.task, Attempt: a.id, Job: e.Job})
		may := must || h.cut || tr.gone[name] || tr.doubtful[name] || tr.mayFollow > seen
		if e.Left && must || !e.Left && !may {
			h.t.Fatalf("job %s of %s %v is left alone: %v; %+v", name, a.task, a.jobs, e.Left, *tr)
		}
	}
	if !e.Left {
		e.Output = []byte{byte(rapid.IntRange(0, 4).Draw(h.t, "says") / 4)}
	}
	h.count(a, tr, name, e)
	return e
}

// count takes what a job has done into the truth.
func (h *history) count(a *attempted, tr *truth, name string, e Ending) {
	behind := func(set map[string]bool) {
		for other := range tr.seen {
			set[other] = set[other] || !slices.Contains(a.jobs[:a.at+1], other)
		}
	}
	if e.Key == nil {
		if e.Changed {
			tr.changed = h.tick()
			behind(tr.stale)
		}
		return
	}
	said, before := tr.said[name]
	switch {
	case e.Left:
	case !before || e.Succeeded && said != e.Output[0]:
		tr.changed = h.tick()
		behind(tr.stale)
	case tr.stale[name] || tr.doubtful[name] || tr.gone[name]:
		tr.perhaps = h.tick()
		behind(tr.doubtful)
	}
	if tr.failed[name] = !e.Left && !e.Succeeded; tr.failed[name] {
		return
	}
	tr.seen[name], tr.gone[name], tr.stale[name], tr.doubtful[name] = h.tick(), false, false, false
	if !e.Left {
		tr.said[name] = e.Output[0]
	}
}

// TestLaw: over any history of edits, drift, failures, and ends of the agent and of the
// machine a job runs where something changed before it since it was done, of its step or
// of what the step requires. Where the machine did not go down it runs in no other case.
func TestLaw(t *testing.T) {
	path := filepath.Join(t.TempDir(), "facts.db")
	rapid.Check(t, func(t *rapid.T) {
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		h := &history{t: t, path: path, next: 1, remote: 1, tasks: map[string]*truth{}}
		for _, task := range []string{"first", "second"} {
			h.tasks[task] = &truth{seen: map[string]int{}, said: map[string]byte{}, failed: map[string]bool{}, gone: map[string]bool{},
				stale: map[string]bool{}, doubtful: map[string]bool{}}
		}
		h.open()
		h.flush()
		defer func() { h.drop() }()
		jobs := func(task string) []string {
			return rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "x", "d"}), 1, 4, rapid.ID[string]).Draw(t, task)
		}
		first, second := jobs("first"), jobs("second")
		for range rapid.IntRange(1, 8).Draw(t, "runs") {
			switch rapid.IntRange(0, 5).Draw(t, "edit") {
			case 0:
				first = jobs("first")
			case 1:
				second = jobs("second")
			case 2:
				h.remote++
			}
			if rapid.IntRange(0, 4).Draw(t, "narrowed") == 0 {
				h.step("second", second)
			} else if h.step("first", first) {
				h.step("second", second, "first")
			}
			if rapid.IntRange(0, 5).Draw(t, "killed in between") == 0 {
				h.kill(rapid.IntRange(0, 3).Draw(t, "the machine too") == 0)
			}
		}
	})
}
