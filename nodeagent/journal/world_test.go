package journal

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"quorate/nodeagent/wire"
)

// A mutant is a seeded bug. Each has to be caught by an invariant.
type mutant string

const (
	none               mutant = ""
	executeBeforeSync  mutant = "execute before the journal is synced"
	rerunAfterRestart  mutant = "rerun after restart"
	dropWithoutFloor   mutant = "drop journal entries without the floor"
	noTombstone        mutant = "cancel without a tombstone"
	noSupersede        mutant = "successor without superseding"
	guessNotStarted    mutant = "guess not started"
	retryOnTimeout     mutant = "retry on timeout"
	leaveChildren      mutant = "leave children running after a restart"
	noJournalID        mutant = "no journal id"
	ackBeforeCommit    mutant = "acknowledge before commit"
	executeAfterAdopt  mutant = "adopt a job and run it too"
	trustNumbers       mutant = "number reports after a reboot as if none was lost"
	windowNotSynced    mutant = "start jobs behind the window"
	onlyDirect         mutant = "look only at the attempt that is superseded"
	statusFromTheShell mutant = "take a killed command's status"
	begunWithoutNumber mutant = "begun without number"
	stopStays          mutant = "take a stop back without a sync"
	ignoreWaits        mutant = "start what waits"
	ignorePlaces       mutant = "start without a place"
	noticeNotSynced    mutant = "start behind a notice that is not on disk"
	anyNotice          mutant = "start behind whatever has ended elsewhere"
	believeAnyJournal  mutant = "believe an older journal about what has not started"
)

var mutants = []mutant{executeBeforeSync, rerunAfterRestart, dropWithoutFloor, noTombstone, noSupersede,
	guessNotStarted, retryOnTimeout, leaveChildren, noJournalID, ackBeforeCommit, executeAfterAdopt,
	trustNumbers, windowNotSynced, onlyDirect, statusFromTheShell, begunWithoutNumber, stopStays, ignoreWaits, ignorePlaces,
	noticeNotSynced, anyNotice, believeAnyJournal}

const (
	cluster   = "c"
	stepJobs  = 3
	worldWind = 2 // the model's window, so that jobs lie outside of it
)

// A disk is a journal's records and how many of them are synced.
type disk struct {
	id      string
	records []Record
	synced  int
}

// An attempt as the cluster sees it.
type scheduled struct {
	id, supersedes uint64
	step           int
	after          uint64 // what it waits for on the agent, or 0
	elsewhere      uint64 // and on another one
	from           uint32
	outcome        uint8 // 0 while open
	cancel         bool
	began          bool // on record
	told           bool // its outcome is the agent's own word
	settledIn      int  // the connection during which it was settled
	jobs           map[uint32]uint8
}

// A process is a job that runs on the machine. It outlives the agent.
type process struct {
	attempt uint64
	job     uint32
	ended   bool // its status is in its file
	killed  bool // it left no status
}

// world is one agent's machine, its cluster and the network between them, driven
// by chance. The journal's rules are the real ones.
type world struct {
	r      *rand.Rand
	mut    mutant
	disk   *disk
	state  *State
	up     bool
	boot   int
	procs  []*process
	paused map[uint64]bool // attempts with a start effect, being run by the agent

	session   string
	sessions  int
	connected bool
	sent      uint64
	toAgent   []wire.Message
	toCluster []wire.Report

	epoch       uint64
	lastIndex   uint64
	attempts    map[uint64]*scheduled
	byStep      map[int]uint64  // newest attempt
	committed   uint64          // report number
	heard       map[uint64]bool // attempts that some gateway was told of, which is not on record
	quarantined bool
	ended       map[uint64]bool // attempts whose end the agent has known
	old         bool            // a backup of the disk is in the machine

	site    bool // attempts wait for those of other agents, too
	foreign map[uint64]*foreign

	places uint32 // how many attempts may be under way at once, or 0

	effects map[[2]int]int // by step and job
	retries map[int]int    // of a step that an operator decided on
	byTry   map[string]int // attempt/job -> effects
	tried   map[uint64]int // effects by attempt
}

func newWorld(r *rand.Rand, m mutant) *world {
	w := &world{r: r, mut: m, attempts: map[uint64]*scheduled{}, byStep: map[int]uint64{},
		effects: map[[2]int]int{}, retries: map[int]int{}, byTry: map[string]int{}, tried: map[uint64]int{}, ended: map[uint64]bool{}, foreign: map[uint64]*foreign{}, heard: map[uint64]bool{}, epoch: 1, lastIndex: 1}
	w.disk = &disk{id: "j1", records: []Record{w.beginning("j1")}, synced: 1}
	if err := w.start(); err != nil {
		panic(err)
	}
	return w
}

// beginning is the first record of a journal. The mutant's is of the format that
// had no numbers for what has begun.
func (w *world) beginning(id string) Record {
	if w.mut == begunWithoutNumber {
		return &Summary{JournalID: id, Version: versionOldest}
	}
	return &Summary{JournalID: id, Version: formatVersion}
}

// write appends records; durable ones sync the disk, but for the mutant.
func (w *world) write(records []Record) error {
	durable, before := false, w.state.BootID
	for _, r := range records {
		if i, ok := r.(*Intended); ok {
			i.Window = min(i.Window, worldWind)
			if w.mut == windowNotSynced {
				i.Window = min(i.Jobs, 1)
			}
			if w.state.Waits(i.Attempt) && w.r.IntN(2) == 0 {
				i.Window = 0 // the windows of those that wait are used up
			}
		}
		if err := w.state.Apply(r); err != nil {
			return err
		}
		w.disk.records = append(w.disk.records, r)
		if e, ok := r.(*AttemptEnded); ok && e.Report.Outcome != OutcomeUnknown {
			w.ended[e.Report.Attempt] = true
		}
		durable = durable || r.Kind().Durable()
		if b, ok := r.(*Booted); ok && w.mut == stopStays && b.BootID == before {
			durable = false
		}
		if _, ok := r.(*EndedElsewhere); ok && w.mut == noticeNotSynced {
			durable = false
		}
	}
	if durable && w.mut != executeBeforeSync {
		w.disk.synced = len(w.disk.records)
	}
	return nil
}

// start is the agent's start: the journal is replayed and its attempts go on.
func (w *world) start() error {
	s := newState()
	for _, r := range w.disk.records {
		if err := s.Apply(r); err != nil {
			return err
		}
	}
	w.state, w.up, w.paused = s, true, map[uint64]bool{}
	if w.mut == begunWithoutNumber {
		for _, id := range s.Open() {
			s.attempts[id].BeganSeq = 1 // so that it is not made up for
		}
	}
	if err := w.write(s.Boot(fmt.Sprint("boot", w.boot)).Records); err != nil {
		return err
	}
	if w.mut == trustNumbers {
		s.FreshFrom, s.SeqBound = 0, 0
	}
	if s.Certain() {
		w.resume()
	}
	for _, id := range s.Open() {
		a := s.attempts[id]
		if !a.Running {
			continue
		}
		if err := w.pickUp(a); err != nil {
			return err
		}
	}
	return nil
}

// resume goes on with the attempts under way.
func (w *world) resume() {
	for _, id := range w.state.Open() {
		w.paused[id] = true
	}
}

// pickUp is what the agent does about a job that ran when it ended.
func (w *world) pickUp(a *Attempt) error {
	job := a.Ended
	p := w.proc(a.ID, job)
	switch {
	case w.mut == rerunAfterRestart:
		w.procs = slices.DeleteFunc(w.procs, func(q *process) bool { return q == p })
		w.spawn(a.ID, job)
		return nil
	case w.mut == executeAfterAdopt && p != nil:
		w.spawn(a.ID, job)
		return nil
	case p != nil && !p.killed && w.mut != leaveChildren:
		return nil // adopted, or its status is found: it ends like any other
	case w.mut == guessNotStarted:
		return w.report(a.ID, job, OutcomeSucceeded)
	case w.mut == statusFromTheShell:
		return w.report(a.ID, job, OutcomeSucceeded)
	}
	if w.mut != leaveChildren {
		w.procs = slices.DeleteFunc(w.procs, func(q *process) bool { return q == p })
	}
	if err := w.report(a.ID, job, OutcomeUnknown); err != nil {
		return err
	}
	return w.end(a.ID, OutcomeUnknown)
}

func (w *world) proc(attempt uint64, job uint32) *process {
	for _, p := range w.procs {
		if p.attempt == attempt && p.job == job {
			return p
		}
	}
	return nil
}

// spawn is the moment of the effect.
func (w *world) spawn(attempt uint64, job uint32) {
	w.procs = append(w.procs, &process{attempt: attempt, job: job})
	s := w.attempts[attempt]
	w.effects[[2]int{s.step, int(s.from + job)}]++
	w.byTry[fmt.Sprint(attempt, "/", job)]++
	w.tried[attempt]++
}

func (w *world) report(attempt uint64, job uint32, outcome uint8) error {
	rec, err := w.state.EndJob(wire.Report{Attempt: attempt, Job: job, Outcome: outcome})
	if err != nil {
		return err
	}
	return w.write([]Record{rec})
}

func (w *world) end(attempt uint64, outcome uint8) error {
	delete(w.paused, attempt)
	rec, err := w.state.End(attempt, outcome, "", nil)
	if err != nil {
		return err
	}
	return w.write([]Record{rec})
}

func (w *world) perform(effects []Effect) error {
	for _, e := range effects {
		switch e.Action {
		case Start:
			w.paused[e.Attempt] = true
		case Resend:
			w.sent = w.state.Acked
		case Kill:
			a, ok := w.state.Attempt(e.Attempt)
			delete(w.paused, e.Attempt)
			if !ok || a.Phase != Intent {
				continue
			}
			w.procs = slices.DeleteFunc(w.procs, func(p *process) bool { return p.attempt == e.Attempt })
			if a.Running {
				if err := w.report(e.Attempt, a.Ended, OutcomeCancelled); err != nil {
					return err
				}
			}
			if err := w.end(e.Attempt, OutcomeCancelled); err != nil {
				return err
			}
		}
	}
	return nil
}

// check is the invariants, after every move.
func (w *world) check() error {
	for k, n := range w.byTry {
		if n > 1 {
			return fmt.Errorf("invariant 1: job %s took effect %d times", k, n)
		}
	}
	for k, n := range w.effects {
		if n > 1+w.retries[k[0]] {
			return fmt.Errorf("invariant 5: job %d of step %d took effect %d times, an operator allowed %d", k[1], k[0], n, 1+w.retries[k[0]])
		}
	}
	live := map[int]uint64{}
	for _, p := range w.procs {
		if p.ended || p.killed {
			continue
		}
		step := w.attempts[p.attempt].step
		if other, ok := live[step]; ok && other != p.attempt {
			return fmt.Errorf("invariant 4: attempts %d and %d of a step overlap", other, p.attempt)
		}
		live[step] = p.attempt
	}
	for id, a := range w.attempts {
		if a.outcome == OutcomeNotStarted && w.tried[id] > 0 {
			return fmt.Errorf("invariant 3: attempt %d is not_started and took effect", id)
		}
		if a.outcome == OutcomeSucceeded && uint32(w.tried[id]) != stepJobs-a.from {
			return fmt.Errorf("invariant 2: attempt %d succeeded with %d effects", id, w.tried[id])
		}
		for job, outcome := range a.jobs {
			if n := w.byTry[fmt.Sprint(id, "/", job)]; outcome == OutcomeSucceeded && n != 1 {
				return fmt.Errorf("invariant 2: job %d of attempt %d succeeded with %d effects", job, id, n)
			}
			if p := w.proc(id, job); outcome == OutcomeSucceeded && p != nil && p.killed {
				return fmt.Errorf("invariant 2: job %d of attempt %d succeeded and was killed", job, id)
			}
		}
	}
	return nil
}

func TestInvariants(t *testing.T) {
	runs := 6000
	if testing.Short() {
		runs = 1000
	}
	for seed := range runs {
		if err := simulate(uint64(seed), none, 150, true); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// TestMutants seeds one bug after the other: the check has to find each.
func TestMutants(t *testing.T) {
	for _, m := range mutants {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			// These take what is rare; the first such seed is near.
			first := map[mutant]uint64{onlyDirect: 54000, believeAnyJournal: 105000}[m]
			for seed := first; seed < first+100000; seed++ {
				if err := simulate(seed, m, 150, true); err != nil {
					t.Logf("seed %d: %v", seed, err)
					return
				}
			}
			t.Error("the bug was not found")
		})
	}
}
