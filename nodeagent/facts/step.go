package facts

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/vmihailenco/msgpack/v5"
	bolt "go.etcd.io/bbolt"
)

// stepsMax bounds the steps of which there is a record. Where there are more, stepsSpare
// of them go, those first whose record was written by the lowest attempts: what they
// have done is judged by the remembered results alone.
const (
	stepsMax   = 16 << 10
	stepsSpare = stepsMax / 16
)

// inputsSpare is how many inputs that a plan does not name are kept of a step, the newest.
const inputsSpare = 64

var bucketSteps = []byte("steps")

// A digest stands for the output of a job or step, or for a job.
type digest = [16]byte

// A record is what is remembered of a task's step on this host.
type record struct {
	_msgpack struct{} `msgpack:",as_array"`

	// Attempt is the newest that has changed the record.
	Attempt uint64
	// Output stands for all that attempts have changed, of the host or of what the step
	// is based on. It is zero where none is known to have.
	Output digest
	// Strict is true where jobs that Jobs does not have must run. It is false until the
	// step has changed anything or succeeded: an earlier program kept no records.
	Strict bool
	Jobs   []done
	// Inputs are the outputs of required tasks that the jobs which are not due are based on.
	Inputs []Input
}

// A done job is one that may be skipped and has succeeded in the step.
type done struct {
	_msgpack struct{} `msgpack:",as_array"`

	Key digest
	// Output is of what the command said; zero where that is not known, or noise.
	Output digest
	// Due is true where the job has to run all the same.
	Due bool
	// Attempt is the last that came to the job, at which index of the task's jobs.
	Attempt uint64
	Job     uint32
}

// An Input is the output of a task that a step requires.
type Input struct {
	_msgpack struct{} `msgpack:",as_array"`

	Task   string
	Output [16]byte
}

// A note is what is made of a job's end. The journal has it until the record is written;
// to apply one again changes nothing but the output.
type note struct {
	_msgpack struct{} `msgpack:",as_array"`

	Job uint32
	// Key is empty for a job that looks at the host itself.
	Key, Output []byte
	// Done is true where the job succeeded, or need not run; Dirties where what is behind
	// it, and what requires the step, has to run.
	Done, Dirties bool
	// Judged is true where the step has other inputs than before, and Overtaken where its
	// jobs are due because of that.
	Judged, Overtaken bool
	Inputs            []Input
}

// stamp returns what stands for another change by an attempt. What an attempt changes
// twice differs, since another run's may have looked in between.
func stamp(before digest, attempt uint64) digest {
	h := sha256.Sum256(binary.BigEndian.AppendUint64(append([]byte("attempt "), before[:]...), attempt))
	return digest(h[:])
}

// find returns the record of a job that the attempt comes to: that of before where it
// has been there, or else the first of the same key to which it has not come.
func (r *record) find(attempt uint64, job uint32, key []byte) *done {
	var found *done
	for i := range r.Jobs {
		d := &r.Jobs[i]
		switch {
		case !bytes.Equal(d.Key[:], key):
		case d.Attempt == attempt && d.Job == job:
			return d
		case d.Attempt != attempt && found == nil:
			found = d
		}
	}
	return found
}

// apply takes a note of an attempt into account, and reports whether the record has to
// be written: the order in which an attempt comes to its jobs alone is no reason.
func (r *record) apply(attempt uint64, n *note) (changed bool) {
	if n.Judged {
		changed, r.Inputs = true, n.Inputs
		for i := range r.Jobs {
			r.Jobs[i].Due = r.Jobs[i].Due || n.Overtaken && r.Jobs[i].Attempt != attempt
		}
	}
	if len(n.Key) == len(digest{}) {
		d := r.find(attempt, n.Job, n.Key)
		if d == nil && n.Done {
			r.Jobs = append(r.Jobs, done{Key: digest(n.Key), Due: true})
			d = &r.Jobs[len(r.Jobs)-1]
		}
		if d != nil {
			changed = changed || d.Due == n.Done
			d.Due, d.Attempt, d.Job = !n.Done, attempt, n.Job
			if len(n.Output) == len(digest{}) && d.Output != digest(n.Output) {
				d.Output, changed = digest(n.Output), true
			}
		}
	}
	if n.Dirties {
		changed = true
		r.dirty(attempt)
	}
	if changed {
		r.Attempt = max(r.Attempt, attempt)
	}
	return changed
}

// dirty has what is behind run, and what requires the step.
func (r *record) dirty(attempt uint64) {
	r.Jobs = slices.DeleteFunc(r.Jobs, func(d done) bool { return d.Attempt != attempt })
	r.Strict, r.Output, r.Attempt = true, stamp(r.Output, attempt), max(r.Attempt, attempt)
}

// A stepState is a record in use, or to be written.
type stepState struct {
	record
	beside beside
	// known is false where there is none.
	known     bool
	users     int
	unwritten bool
	version   uint64 // counts changes
	dues      uint64 // counts how often jobs were made due
}

func (st *stepState) changed() {
	st.known, st.unwritten = true, true
	st.version++
}

// step returns the record of a task, which stays in memory while it has users or is to be
// written. The lock is held.
func (s *Store) step(task string) (*stepState, error) {
	if st := s.steps[task]; st != nil {
		return st, nil
	}
	st := &stepState{}
	if s.evictions > 0 {
		return st, nil
	}
	err := s.db.View(func(tx *bolt.Tx) error {
		data := tx.Bucket(bucketSteps).Get([]byte(task))
		if data == nil {
			return nil
		}
		st.known = true
		if err := readBeside(tx, task, &st.beside); err != nil {
			return err
		}
		return msgpack.Unmarshal(data, &st.record)
	})
	if err != nil {
		return nil, fmt.Errorf("what is remembered of the task %s: %w", task, err)
	}
	return st, nil
}

// output is what the task's step has made of the host, as far as is known. The lock is held.
func (s *Store) output(task string) (digest, error) {
	st, err := s.step(task)
	if err != nil {
		return digest{}, err
	}
	return st.Output, nil
}

// keep has a record written before long. The lock is held.
func (s *Store) keep(task string, st *stepState) {
	s.steps[task] = st
	s.arm()
}

// A stepBatch are records as they are written.
type stepBatch map[string]stepWrite

type stepWrite struct {
	of      *stepState
	version uint64
	data    []byte
	beside  []byte
}

// unwritten returns the records that are to be written. The lock is held.
func (s *Store) unwritten() (stepBatch, error) {
	batch := stepBatch{}
	for task, st := range s.steps {
		if !st.unwritten {
			continue
		}
		data, err := msgpack.Marshal(&st.record)
		if err != nil {
			return nil, err
		}
		more, err := msgpack.Marshal(&st.beside)
		if err != nil {
			return nil, err
		}
		batch[task] = stepWrite{of: st, version: st.version, data: data, beside: more}
	}
	return batch, nil
}

// write puts the records into the file, and drops the oldest where they are too many.
func (batch stepBatch) write(tx *bolt.Tx) error {
	b, more := tx.Bucket(bucketSteps), tx.Bucket(bucketBeside)
	held, added := -1, 0
	for task, w := range batch {
		if b.Get([]byte(task)) == nil {
			if added++; held < 0 {
				held = b.Stats().KeyN // before anything is put
			}
		}
		if err := errors.Join(b.Put([]byte(task), w.data), more.Put([]byte(task), w.beside)); err != nil {
			return err
		}
	}
	if excess := held + added - stepsMax; added > 0 && excess > 0 {
		return dropOldest(b, more, excess+stepsSpare)
	}
	return nil
}

// dropOldest drops so many records of the lowest attempts.
func dropOldest(b, more *bolt.Bucket, count int) error {
	type aged struct {
		task    []byte
		attempt uint64
	}
	var all []aged
	err := b.ForEach(func(k, v []byte) error {
		var r record
		_ = msgpack.Unmarshal(v, &r) // what cannot be read is as old as can be
		all = append(all, aged{bytes.Clone(k), r.Attempt})
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(x, y aged) int {
		return cmp.Or(cmp.Compare(x.attempt, y.attempt), bytes.Compare(x.task, y.task))
	})
	for _, a := range all[:min(count, len(all))] {
		if err := errors.Join(b.Delete(a.task), more.Delete(a.task)); err != nil {
			return err
		}
	}
	return nil
}

// written notes that the records are in the file. The lock is held.
func (s *Store) written(batch stepBatch) {
	for task, w := range batch {
		st := w.of
		if s.steps[task] != st || st.version != w.version {
			continue // it was read anew, or has changed since
		}
		if st.unwritten = false; st.users == 0 {
			delete(s.steps, task)
		}
	}
	if len(batch) > 0 {
		select {
		case s.wrote <- struct{}{}:
		default:
		}
	}
}

// forgetSteps drops all records, also those of steps under way. The lock is held.
func (s *Store) forgetSteps() {
	for task, st := range s.steps {
		st.record, st.beside, st.known, st.unwritten = record{}, beside{}, false, false
		if st.version++; st.users == 0 {
			delete(s.steps, task)
		}
	}
}

// StepsWritten holds a token when records of steps have been written since it was taken.
func (s *Store) StepsWritten() <-chan struct{} { return s.wrote }

// StepWritten reports whether the record of the task's step is on disk as it is.
func (s *Store) StepWritten(task string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.steps[task]
	return st == nil || !st.unwritten
}

// openSteps makes the bucket of the records where there is none. Its sequence is the
// highest attempt of the results that an earlier program remembered, which knew of no
// records.
func openSteps(tx *bolt.Tx) (since uint64, err error) {
	if b := tx.Bucket(bucketSteps); b != nil {
		return b.Sequence(), nil
	}
	b, err := tx.CreateBucket(bucketSteps)
	if err != nil {
		return 0, err
	}
	err = tx.Bucket(bucketResults).ForEach(func(_, data []byte) error {
		var r Result
		if msgpack.Unmarshal(data, &r) == nil {
			since = max(since, r.Origin.Attempt)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return since, b.SetSequence(since)
}
