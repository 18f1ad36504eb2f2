package journal

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"

	"quorate/nodeagent/wire"
)

const (
	// compactBytesMin is the size below which a file is not rewritten, and
	// compactFactor how much bigger than its live content it may be.
	compactBytesMin = 4 << 20
	compactFactor   = 4
)

// errClosed is the state of a journal after Close.
var errClosed = errors.New("journal is closed")

// A Journal is the durable journal of one agent. Its methods are safe for
// concurrent use. After an error it refuses everything: what is on disk is then
// not known, and the agent has to start again from it.
type Journal struct {
	dir string

	syncing sync.Mutex // held while the file is synced or replaced; taken before mu

	mu    sync.Mutex
	file  *os.File
	state *State
	// base turns positions in the file into positions in all that was ever
	// appended, which are what appended and synced count.
	base, appended, synced int64
	compactAt              int64 // size of the file
	// heldFrom is the first report, or 0, that rests on a record which has to be
	// durable and is not; it is when synced reaches heldTo.
	heldFrom uint64
	heldTo   int64
	// permits are where the records end that are not on disk, by which attempts may
	// start, or have more of their jobs start.
	permits map[uint64]int64
	endings endings
	stopped bool // nothing is appended any more
	err     error
}

// Open opens the journal in dir, makes one where there is none, and decides about
// the attempts under way as [State.Boot] says.
func Open(dir, bootID string) (*Journal, error) {
	f, s, size, err := load(dir)
	if err != nil {
		return nil, err
	}
	j := &Journal{dir: dir, file: f, state: s, appended: size, synced: size, permits: map[uint64]int64{}}
	j.compactAt = max(compactBytesMin, size+compactBytesMin)
	err = j.Commit(func(s *State, add func(Record)) error {
		d := s.Boot(bootID)
		for _, r := range d.Records {
			add(r)
		}
		return nil
	})
	if err != nil {
		f.Close()
		return nil, err
	}
	return j, nil
}

// View calls f with the state, which f must not change or keep.
func (j *Journal) View(f func(*State)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f(j.state)
}

// Append calls f, which decides on the state and adds records. Each is folded as
// it is added, and all are written together before Append returns, also where f
// returns an error, which Append passes on. They survive the process, not the machine.
func (j *Journal) Append(f func(s *State, add func(Record)) error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.append(f)
}

func (j *Journal) append(f func(s *State, add func(Record)) error) error {
	if j.stopped && j.err == nil {
		return errClosed
	}
	if j.err != nil {
		return j.err
	}
	var buf []byte
	add := func(r Record) {
		if j.err != nil {
			return
		}
		b, err := appendFrame(buf, r, j.synced-j.base)
		before, permits := j.state.Seq, slices.Clone(j.state.permits(r))
		if err == nil {
			err = j.state.Apply(r)
		}
		if err != nil {
			j.err = fmt.Errorf("journal: %w", err)
			return
		}
		buf = b
		for _, attempt := range permits {
			j.permits[attempt] = j.appended + int64(len(buf))
		}
		if j.state.Seq > before {
			j.endings.note(j.state, before)
		}
		if r.Kind().Durable() && j.state.Seq > before {
			j.heldTo = j.appended + int64(len(buf))
			if j.heldFrom == 0 {
				j.heldFrom = before + 1
			}
		}
	}
	refused := f(j.state, add)
	if j.err == nil && len(buf) > 0 {
		n, err := j.file.Write(buf)
		j.appended += int64(n)
		if err != nil {
			j.err = fmt.Errorf("journal: %w", err)
		}
	}
	if j.err != nil {
		return j.err
	}
	return refused
}

// Commit is Append and Sync.
func (j *Journal) Commit(f func(s *State, add func(Record)) error) error {
	if err := j.Append(f); err != nil {
		return err
	}
	return j.Sync()
}

// Sync returns when everything is on disk that was appended before the call. Calls
// that wait at the same time share one sync.
func (j *Journal) Sync() error {
	j.mu.Lock()
	target := j.appended
	j.mu.Unlock()

	j.syncing.Lock()
	defer j.syncing.Unlock()
	j.mu.Lock()
	if j.err != nil || j.synced >= target {
		err := j.err
		j.mu.Unlock()
		return err
	}
	reached, file := j.appended, j.file
	j.mu.Unlock()

	err := file.Sync()

	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil && j.err == nil {
		j.err = fmt.Errorf("journal: %w", err)
	}
	if j.err == nil {
		j.reached(reached)
	}
	return j.err
}

// Permit returns when the records are on disk by which the attempt may start, as far
// as the state was seen before the call. What the state says may be ahead of the disk:
// somebody else may be waiting for the sync.
func (j *Journal) Permit(attempt uint64) error {
	if j.Permitted(attempt) {
		return nil
	}
	return j.Sync()
}

// Permitted reports whether they are.
func (j *Journal) Permitted(attempt uint64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, due := j.permits[attempt]
	return !due
}

// permits returns the attempts that must not start before the record is on disk, as
// far as it lets them.
func (s *State) permits(r Record) []uint64 {
	switch r := r.(type) {
	case *Intended:
		return []uint64{r.Attempt}
	case *WindowExtended:
		return []uint64{r.Attempt}
	case *EndedElsewhere:
		return s.behind[r.Attempt]
	// Without these records, a restart of the machine would prove that nothing has
	// started behind the job that asks for one, or in the place of what never started.
	case *JobEnded:
		return s.heldByRestart(r.Report.Attempt)
	case *AttemptEnded:
		return s.heldByRestart(r.Report.Attempt)
	case *Forbidden:
		if s.placeOf(r.Report.Attempt).under {
			return s.heldUp(s.attempts[r.Report.Attempt])
		}
	}
	return nil
}

// reached says that everything up to the position is on disk.
func (j *Journal) reached(position int64) {
	j.synced = position
	maps.DeleteFunc(j.permits, func(_ uint64, end int64) bool { return end <= position })
	if position >= j.heldTo {
		j.heldFrom = 0
	}
}

// ReportsAfter is [State.ReportsAfter] without the reports that the disk might not
// hold after a reboot though the cluster relies on the journal to: that an attempt
// has begun, or never will.
func (j *Journal) ReportsAfter(seq uint64, bytesMax int) []wire.Report {
	j.mu.Lock()
	defer j.mu.Unlock()
	reports := j.state.ReportsAfter(seq, bytesMax)
	for i := range reports {
		if j.heldFrom != 0 && reports[i].Seq >= j.heldFrom {
			return reports[:i]
		}
	}
	return reports
}

// Compact rewrites the file where most of it is history.
func (j *Journal) Compact() error {
	j.mu.Lock()
	due := j.err == nil && j.appended-j.base >= j.compactAt
	j.mu.Unlock()
	if !due {
		return nil
	}
	j.syncing.Lock()
	defer j.syncing.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return j.err
	}
	f, size, err := rewrite(j.dir, j.state)
	if err != nil {
		j.err = err
		return err
	}
	j.file.Close()
	j.file = f
	j.base = j.appended - size
	j.reached(j.appended)
	j.compactAt = max(compactBytesMin, compactFactor*size)
	return nil
}

// Stop is Close for an agent that has ended in order, of which nothing starts any more
// and nothing is sent. Where attempts are under way it says so on disk, so that the
// machine may restart and only what was running is unknown.
func (j *Journal) Stop() error {
	j.mu.Lock()
	err := j.append(func(s *State, add func(Record)) error {
		if len(s.Open()) > 0 {
			add(&Stopped{})
		}
		return nil
	})
	if err == nil {
		j.stopped = true
	}
	j.mu.Unlock()
	if e := j.Close(); err == nil {
		err = e
	}
	return err
}

// Close syncs and closes the file.
func (j *Journal) Close() error {
	err := j.Sync()
	j.mu.Lock()
	defer j.mu.Unlock()
	if errors.Is(j.err, errClosed) {
		return nil
	}
	if e := j.file.Close(); err == nil {
		err = e
	}
	if j.err == nil {
		j.err = errClosed
	}
	return err
}
