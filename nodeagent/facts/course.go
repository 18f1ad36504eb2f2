package facts

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"quorate/nodeagent/wire"
)

// A Course is an attempt of a task's step, on its way through its jobs. It decides by the
// step's record which of them have to run, and keeps the record. Its methods may be
// called concurrently with those of others.
type Course struct {
	store   *Store
	task    string
	attempt uint64
	state   *stepState
	// opening is told with the first note.
	opening note
	// ran is true where a job was not left alone.
	ran bool
	// seen is how often jobs had been made due when the last job ended.
	seen uint64
}

// Before is what has become of an attempt when its course begins.
type Before uint8

// What may have become of it.
const (
	NotBegun Before = iota
	// Begun: an earlier agent has begun with its jobs.
	Begun
	// BegunAndNoted: and notes of it are on record, by which its inputs were judged.
	BegunAndNoted
)

// Begin says that the attempt of a task's step begins, or goes on. It compares what
// became of the tasks that the step requires with what the step was based on: where that
// differs all of its jobs are due.
//
// required are tasks that have a step on this host, and inputs are what became of the
// others. Other required tasks are not compared. from is the index of the attempt's first
// job: what is remembered of those before it stays. The caller ends it.
func (s *Store) Begin(task string, attempt uint64, from uint32, required []string, inputs []Input, before Before) (*Course, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.step(task)
	if err != nil {
		return nil, err
	}
	c := &Course{store: s, task: task, attempt: attempt, state: st}
	if st.beside.Overtaken == attempt { // before an earlier agent ended
		c.ran = slices.ContainsFunc(st.Jobs, func(d done) bool { return d.Attempt == attempt && d.Job >= from })
	}
	for i := range st.Jobs {
		if d := &st.Jobs[i]; d.Job < from {
			d.Attempt = attempt
		}
	}
	if before != BegunAndNoted {
		if err := c.judge(required, inputs); err != nil {
			return nil, err
		}
	}
	st.users++
	s.steps[task] = st
	c.seen = st.dues
	goesOn := before == BegunAndNoted || before == Begun && st.beside.has(attempt)
	if goesOn && (c.opening.Overtaken || len(st.beside.behind(attempt)) > 0) {
		c.seen-- // the job that goes on may have begun before that
	}
	if !goesOn || c.opening.Overtaken {
		st.beside.setNoted(st.beside.noted(attempt))
	}
	return c, nil
}

// judge compares the step's inputs with those on record. The lock is held.
func (c *Course) judge(required []string, inputs []Input) error {
	st := c.state
	now := slices.Clone(inputs)
	overtaken := false
	for _, in := range inputs {
		if i := inputOf(st.Inputs, in.Task); i < 0 || st.Inputs[i].Output != in.Output {
			overtaken = true
		}
	}
	for _, task := range required {
		if task == c.task || inputOf(now, task) >= 0 {
			continue
		}
		output, err := c.store.output(task)
		if err != nil {
			return err
		}
		var before digest // nothing has changed yet of what is not known
		if i := inputOf(st.Inputs, task); i >= 0 {
			before = st.Inputs[i].Output
		}
		overtaken = overtaken || before != output
		now = append(now, Input{Task: task, Output: output})
	}
	spare := 0
	for i := len(st.Inputs) - 1; i >= 0 && spare < inputsSpare; i-- {
		if inputOf(now, st.Inputs[i].Task) < 0 {
			now = append(now, st.Inputs[i])
			spare++
		}
	}
	slices.Reverse(now) // what is named now comes last, and goes last
	if sameInputs(st.Inputs, now) {
		return nil
	}
	c.opening = note{Judged: true, Overtaken: overtaken && st.known, Inputs: now}
	c.apply(&c.opening)
	return nil
}

// apply takes a note into account. The lock is held.
func (c *Course) apply(n *note) {
	if n.Dirties || n.Overtaken {
		c.state.dues++
	}
	if c.state.apply(c.attempt, n) {
		c.state.changed()
		c.store.keep(c.task, c.state)
	}
}

func inputOf(inputs []Input, task string) int {
	return slices.IndexFunc(inputs, func(in Input) bool { return in.Task == task })
}

// sameInputs compares inputs in any order.
func sameInputs(a, b []Input) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(in Input) bool { return !slices.Contains(b, in) })
}

// Leaves reports whether a job of the key need not run, whose success is remembered.
// now is the job's own origin.
func (c *Course) Leaves(key Key, before Result, now Origin) bool {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	if d := c.state.find(c.attempt, now.Job, key.short()); d != nil {
		return !d.Due
	}
	switch o := before.Origin; {
	case c.state.Strict:
		return false
	case o.Task != now.Task && o.Attempt > c.store.since:
		return false // another task's: this one has never run here
	default:
		return Repeats(o, now)
	}
}

// Repeats reports whether an earlier success makes an execution needless that no record
// is kept of. Within one run only that of the very same job does: a file that restarts a
// service twice wants two restarts.
func Repeats(before, now Origin) bool {
	return before.Run != now.Run || before.Task == now.Task && before.Job == now.Job
}

func (k Key) short() []byte { return k[:len(digest{})] }

// An Ending is how a job has come to its end.
type Ending struct {
	Job uint32
	// Key is nil for a job that is never left alone, since it looks at the host itself.
	Key *Key
	// Left is true where the job need not run; otherwise Succeeded may be.
	Left, Succeeded bool
	// Changed is false where the job found the host as it wants it.
	Changed bool
	// Output is what the job said, and Noise is true where another output says nothing.
	Output []byte
	Noise  bool
	// Expected is true for what a job would do, in a copy of the memory: it says what it
	// said before.
	Expected bool
	// Memory is true where the job changes nothing but the agent's memory, which is no
	// reason for others to run: what it stores is in the keys of those that use it.
	Memory bool
}

// Ended takes the end of a job into account. It returns what the journal is to hold of
// it before the end; nil is nothing. A job stays due where another run's attempt has made
// it so since the job before it ended: it may have seen the host as it was before that.
func (c *Course) Ended(e Ending) ([]byte, error) {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	c.ran = c.ran || !e.Left && e.Key != nil
	n := c.opening
	n.Job, n.Done = e.Job, (e.Left || e.Succeeded) && c.seen == c.state.dues
	defer func() { c.seen = c.state.dues }()
	switch {
	case e.Key == nil:
		n.Dirties = e.Changed && !e.Memory
	default:
		n.Key = e.Key.short()
		before := c.state.find(c.attempt, e.Job, n.Key)
		if !e.Left && e.Succeeded {
			output := digest{}
			if !e.Noise {
				sum := sha256.Sum256(e.Output)
				output = digest(sum[:])
			}
			if n.Output = output[:]; e.Expected && before != nil {
				n.Output = before.Output[:]
			}
			n.Dirties = e.Changed && (before == nil || !bytes.Equal(before.Output[:], n.Output))
		} else if !e.Left {
			n.Dirties = before == nil // it may have done some of what it has never done before
		}
		n.Dirties = n.Dirties && !e.Memory
	}
	if n.Key == nil && !n.Dirties && !n.Judged {
		return nil, nil
	}
	c.opening = note{}
	taken := c.state.beside.noted(c.attempt)
	taken.Notes++
	c.state.beside.setNoted(taken)
	c.apply(&n)
	data, err := wire.Marshal(&n)
	if err != nil {
		return nil, fmt.Errorf("note of a job: %w", err)
	}
	return data, nil
}

// An End is how an attempt has come to its end.
type End uint8

// The ends. One that says nothing more of the step is any other.
const (
	EndedOtherwise End = iota
	// EndedWell: all jobs have succeeded.
	EndedWell
	// EndedUnknown: nobody can tell what the jobs have done to which the attempt came last.
	EndedUnknown
)

// End ends the course, and returns what stands for what the step has made of the host.
func (c *Course) End(how End) [16]byte {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	st := c.state
	switch how {
	case EndedWell:
		jobs := slices.DeleteFunc(slices.Clone(st.Jobs), func(d done) bool { return d.Attempt < c.attempt }) // a newer one may be under way
		if len(jobs) != len(st.Jobs) || !st.Strict {
			st.Jobs, st.Strict, st.Attempt = jobs, true, max(st.Attempt, c.attempt)
			st.changed()
			c.store.keep(c.task, st)
		}
	case EndedUnknown:
		taken := st.beside.noted(c.attempt)
		taken.Unknown = true
		st.beside.setNoted(taken)
		st.dirty(c.attempt)
		st.changed()
		c.store.keep(c.task, st)
	}
	if st.users--; st.users == 0 && !st.unwritten && c.store.steps[c.task] == st {
		delete(c.store.steps, c.task)
	}
	return st.Output
}

// Summary is the bytes by which the output of a job is compared: its head and tail, and
// its size in bytes.
func Summary(head, tail []byte, size int64) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(size))
	b = binary.BigEndian.AppendUint64(b, uint64(len(head)))
	return append(append(b, head...), tail...)
}
