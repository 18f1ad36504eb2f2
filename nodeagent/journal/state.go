package journal

import (
	"slices"

	"quorate/nodeagent/wire"
)

// Phase is where an attempt is. An attempt that the journal does not hold is in
// none of them.
type Phase uint8

// The phases. All but Intent are terminal.
const (
	Intent    Phase = 1 // accepted; its jobs may be running
	Done      Phase = 2 // ended, with a definite outcome
	Unknown   Phase = 3 // ended, and nobody can say what took effect
	Tombstone Phase = 4 // never started, and never will
)

// Outcomes of reports, numbered as eventlog.Outcome.
const (
	OutcomeSucceeded  uint8 = 1
	OutcomeFailed     uint8 = 2
	OutcomeSkipped    uint8 = 3
	OutcomeCancelled  uint8 = 4
	OutcomeNotStarted uint8 = 5
	OutcomeUnknown    uint8 = 6
)

// WindowJobs is how many jobs of an attempt one synced record lets start. It
// bounds what is unknown after the machine went down.
const WindowJobs = 64

// An Attempt is what the journal knows of one.
type Attempt struct {
	_msgpack struct{} `msgpack:",as_array"`

	ID, Supersedes uint64
	Phase          Phase
	// Hash is of the encoded step; Spec, the step itself, is kept while it may be needed.
	Hash, Spec []byte
	// Step names the step that the attempt is one of, see [Work].
	Step string
	// Jobs is the number of jobs, and jobs at positions below Window may start.
	Jobs, Window uint32
	KeepGoing    bool
	// Ended jobs come first; where Running is set the one after them has started.
	Ended   uint32
	Running bool
	// StartedAt is when the running job started, unix nanoseconds.
	StartedAt int64
	// Process of the running job; Pid is 0 where none was recorded.
	Process Process
	// Failed and Cancelled say that a job ended so.
	Failed, Cancelled bool
	// Digest is over the outputs of the ended jobs.
	Digest []byte
	// EndSeq is the number of the report of the attempt's end, or 0.
	EndSeq uint64
	// BeganSeq is the number of the report that it has begun, or 0 where it never
	// did, or did under a program that made no such report.
	BeganSeq uint64
	// Lost says that a job ended whose outcome nobody knows.
	Lost bool
	// RestartUnder is the boot of the machine that the running job wants to end,
	// or empty, see [RestartAsked].
	RestartUnder string
	// Inputs are those of the dispatch, with what has ended since.
	Inputs []wire.Input
	// Notes are what the agent's memory makes of the ended jobs, until it is on disk.
	Notes [][]byte
}

// State is what the records of a journal amount to. Only Apply changes it.
type State struct {
	JournalID string
	BootID    string
	EpochMax  uint64
	Floor     uint64
	// Seq numbers the newest report, Acked the newest that the cluster has.
	Seq, Acked uint64

	// After a reboot reports may have been sent whose records were not synced, so
	// the numbers behind the last known report may be taken. FreshFrom is the
	// first report made since, 0 where numbers are certain, and SeqBound is the
	// highest number that can have been sent before.
	FreshFrom, SeqBound uint64

	// stopped is true while the newest record is [Stopped].
	stopped bool
	// unnumbered is true while the records of an earlier format are folded, in
	// which the beginning of an attempt has no report.
	unnumbered bool
	// outdated is true for the state of a file of an earlier format.
	outdated bool

	attempts map[uint64]*Attempt
	// waits are what attempts wait for; it outlives those until they are forgotten.
	waits map[uint64]*wait
	// behind are the attempts that wait for each.
	behind map[uint64][]uint64
	// elsewhere are those of them that are attempts of other agents.
	elsewhere map[uint64]wire.Elsewhere
	// yielded are the attempts under way that have given their place on.
	yielded map[uint64]bool
	index   index
	// reports are those above Acked, without holes.
	reports     []wire.Report
	reportBytes int
}

// newState returns a State without any record.
func newState() *State {
	return &State{
		attempts: map[uint64]*Attempt{}, waits: map[uint64]*wait{}, behind: map[uint64][]uint64{},
		elsewhere: map[uint64]wire.Elsewhere{}, yielded: map[uint64]bool{}, index: newIndex(),
	}
}

// Attempt returns what is known of an attempt. It is not to be changed.
func (s *State) Attempt(id uint64) (*Attempt, bool) {
	a, ok := s.attempts[id]
	return a, ok
}

// Attempts returns the ids of the attempts that the journal holds, ascending.
func (s *State) Attempts() []uint64 {
	ids := make([]uint64, 0, len(s.attempts))
	for id := range s.attempts {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Open returns the ids of the attempts that have not ended, ascending.
func (s *State) Open() []uint64 {
	ids := s.Attempts()
	return slices.DeleteFunc(ids, func(id uint64) bool { return s.attempts[id].Phase != Intent })
}

// Forbidden returns the ids of the attempts that have not started and never will,
// ascending, as long as the journal holds them. The report of one is not sent before
// that is on disk: a journal that holds the attempt as anything else is an older copy.
func (s *State) Forbidden() []uint64 {
	return slices.DeleteFunc(s.Attempts(), func(id uint64) bool { return s.attempts[id].Phase != Tombstone })
}

// Unstarted returns the ids of the attempts of which no job has started and some may,
// ascending. A restart of the machine leaves none that can have started without a
// record: a journal that holds one of which there are results is an older copy.
func (s *State) Unstarted() []uint64 {
	return slices.DeleteFunc(s.Open(), func(id uint64) bool {
		a := s.attempts[id]
		return a.Ended > 0 || a.Running || a.Jobs == 0
	})
}

// ShownSeq is the number to introduce a connection with. It is never below what
// the cluster can have committed, so that only a journal that was rolled back
// shows a lower one; nor is it above that, whatever was done since the machine
// restarted, or a journal that was rolled back would not be found out.
func (s *State) ShownSeq() uint64 {
	if s.FreshFrom != 0 {
		return s.SeqBound
	}
	return s.Seq
}

// Certain reports whether the journal is known to be whole. After a reboot it is
// not, until a connection has told what the cluster has: it could be a backup
// that was put back. See [State.Alone] for what may go on before.
func (s *State) Certain() bool { return s.FreshFrom == 0 }

// ReportsAfter returns the reports behind the number, as many as fit into the
// size, but one at least where there is one. Where the numbers are not certain
// there are none to send.
func (s *State) ReportsAfter(seq uint64, bytesMax int) []wire.Report {
	if s.FreshFrom != 0 || len(s.reports) == 0 {
		return nil
	}
	from := 0
	if first := s.reports[0].Seq; seq >= first {
		from = int(min(seq-first+1, uint64(len(s.reports))))
	}
	to, size := from, 0
	for to < len(s.reports) && size < bytesMax {
		size += s.reports[to].Bytes()
		to++
	}
	return slices.Clone(s.reports[from:to])
}

// ReportBytes is about how much the reports take that are not acknowledged.
func (s *State) ReportBytes() int { return s.reportBytes }

// Pristine reports whether nothing was ever done with the journal, so that it may
// serve a new identity.
func (s *State) Pristine() bool {
	return s.EpochMax == 0 && s.Floor == 0 && s.Seq == 0 && len(s.attempts) == 0
}

// rivals looks at the other attempts of a step: one that has not ended, and the
// newest, or 0.
func (s *State) rivals(attempt uint64, step string) (open, newest uint64) {
	if step == "" {
		return 0, 0
	}
	for _, id := range s.index.steps[step] {
		if id == attempt {
			continue
		}
		newest = max(newest, id)
		if s.attempts[id].Phase == Intent {
			open = max(open, id)
		}
	}
	return open, newest
}

// determined reports whether nothing of the attempt can have happened that is not
// in the records, also if the machine went down since: what was synced covers
// nothing that may have started behind the last end. Where a job's outcome is
// unknown, so is the attempt's.
func (a *Attempt) determined() bool {
	return !a.Lost && (a.RestartUnder != "" || a.Ended >= min(a.Window, a.Jobs) || a.Failed && !a.KeepGoing)
}
