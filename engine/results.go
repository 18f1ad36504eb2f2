package engine

import (
	"encoding/binary"
	"iter"
	"slices"

	"quorate/eventlog"
)

// A JobResult points to the record that holds the whole of it.
type JobResult struct {
	Job      uint32
	Outcome  eventlog.Outcome
	Changed  bool
	Exit     int32
	Index    uint64
	Duration int64 // nanoseconds
}

// JobResults are results in the order of their records. There is one for nearly
// every record of a log, so they are packed: one takes about 8 bytes, a quarter
// of a [JobResult].
type JobResults struct {
	packed []byte
	n      int
	// What the next result is packed against.
	lastJob   uint32
	lastIndex uint64
}

// The first byte of a packed result is its outcome and these.
const (
	resultChanged = 0x40
	resultExit    = 0x80 // the exit status is not 0, and follows
	resultOutcome = 0x3f
)

// ResultsOf returns these results, in their order.
func ResultsOf(results ...JobResult) (r JobResults) {
	for _, j := range results {
		r.add(j)
	}
	return r
}

// Len returns how many there are.
func (r *JobResults) Len() int { return r.n }

// Newest returns the index of the newest one's record, or 0.
func (r *JobResults) Newest() uint64 { return r.lastIndex }

// All yields the results.
func (r *JobResults) All() iter.Seq[JobResult] {
	return func(yield func(JobResult) bool) {
		var j JobResult
		for rest := r.packed; len(rest) > 0; {
			rest = j.unpack(rest)
			if !yield(j) {
				return
			}
		}
	}
}

// add appends a result. An outcome above resultOutcome does not fit.
func (r *JobResults) add(j JobResult) {
	head := byte(j.Outcome) & resultOutcome
	if j.Changed {
		head |= resultChanged
	}
	if j.Exit != 0 {
		head |= resultExit
	}
	b := append(r.packed, head)
	b = binary.AppendVarint(b, int64(j.Job)-int64(r.lastJob))
	b = binary.AppendUvarint(b, j.Index-r.lastIndex)
	b = binary.AppendVarint(b, j.Duration)
	if j.Exit != 0 {
		b = binary.AppendVarint(b, int64(j.Exit))
	}
	r.packed, r.lastJob, r.lastIndex = b, j.Job, j.Index
	r.n++
}

// unpack makes the result before, or a zero one, the next one, and returns what
// is packed behind it.
func (j *JobResult) unpack(b []byte) []byte {
	head := b[0]
	b = b[1:]
	signed := func() int64 {
		v, n := binary.Varint(b)
		b = b[max(n, 0):]
		return v
	}
	j.Outcome = eventlog.Outcome(head & resultOutcome)
	j.Changed = head&resultChanged != 0
	j.Job = uint32(int64(j.Job) + signed())
	index, n := binary.Uvarint(b)
	b = b[max(n, 0):]
	j.Index += index
	j.Duration, j.Exit = signed(), 0
	if head&resultExit != 0 {
		j.Exit = int32(signed())
	}
	return b
}

// has reports whether there is a result of the job. Results come in the order of
// the jobs, so the search is for the exception.
func (r *JobResults) has(job uint32) bool {
	if r.n == 0 || r.lastJob < job {
		return false
	}
	for j := range r.All() {
		if j.Job == job {
			return true
		}
	}
	return false
}

// clip gives back what was kept for further results.
func (r *JobResults) clip() { r.packed = slices.Clone(r.packed) }
