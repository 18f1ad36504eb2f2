package journal

import (
	"fmt"

	"quorate/nodeagent/wire"
)

// Kind numbers the kinds of records. Numbers are appended and never reused.
type Kind uint8

// The kinds of records.
const (
	KindSummary        Kind = 1
	KindKept           Kind = 2
	KindKeptReport     Kind = 3
	KindBooted         Kind = 4
	KindEpochRaised    Kind = 5
	KindIntended       Kind = 6
	KindWindowExtended Kind = 7
	KindJobStarted     Kind = 8
	KindProcessSeen    Kind = 9
	KindJobEnded       Kind = 10
	KindAttemptEnded   Kind = 11
	KindForbidden      Kind = 12
	KindAcked          Kind = 13
	KindRebased        Kind = 14
	KindBegun          Kind = 15
	KindPublished      Kind = 16
	KindRestartAsked   Kind = 17
	KindAwaits         Kind = 18
	KindStopped        Kind = 19
	KindDoubted        Kind = 20
	KindYielded        Kind = 21
	KindEndedElsewhere Kind = 22
	KindNoted          Kind = 23
	KindRemembered     Kind = 24
)

// A Record is one entry of the journal: a fact in the past tense.
type Record interface {
	Kind() Kind
}

// Summary is the first record of a file. It carries everything that is not part
// of an attempt or a report.
type Summary struct {
	_msgpack struct{} `msgpack:",as_array"`

	JournalID                    string
	BootID                       string
	EpochMax, Floor, Seq, Acked  uint64
	FreshFrom, SeqBound, Version uint64
}

// Kept carries an attempt over when the journal is rewritten.
type Kept struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt Attempt
}

// KeptReport carries a report over that is not acknowledged.
type KeptReport struct {
	_msgpack struct{} `msgpack:",as_array"`

	Report wire.Report
}

// Booted says that what follows was written under this boot of the machine.
type Booted struct {
	_msgpack struct{} `msgpack:",as_array"`

	BootID string
}

// EpochRaised says that a leader of this epoch has spoken.
type EpochRaised struct {
	_msgpack struct{} `msgpack:",as_array"`

	Epoch uint64
}

// Intended says that the attempt's jobs below Window may start from now on. Where
// Forbids is set the attempt that it supersedes, of which nothing was known, will
// never start: one record, so that no crash can separate the two. That the attempt
// has begun is a report, with a number like any other: the cluster sees by the
// number that a copy of the journal is older than that.
type Intended struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt, Supersedes uint64
	Forbids             bool
	Hash                []byte
	Spec                []byte
	Step                string
	Jobs, Window        uint32
	KeepGoing           bool
	// Seq numbers the report that the attempt has begun.
	Seq uint64
	// Inputs are those of the dispatch.
	Inputs []wire.Input
}

// Awaits says that the attempt, once it is intended, waits for others, and then for
// one of so many places of its run, unless Places is 0. It comes before what intends
// it, so that no crash can leave that one alone.
type Awaits struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt uint64
	After   []wire.Predecessor
	Places  uint32
	// Heir is true where it was sent to come behind others, also when those have ended.
	Heir bool
}

// Begun gives the beginning of an attempt its report, where an earlier program
// accepted it without one.
type Begun struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt, Seq uint64
}

// Published holds the report of values that the job which runs publishes. It is
// durable: other hosts go on with what they were told.
type Published struct {
	_msgpack struct{} `msgpack:",as_array"`

	Report wire.Report
}

// RestartAsked says that the job at the position, which runs, is about to have the
// machine restarted, and that nothing of the attempt happens from here on under
// this boot of it. An empty BootID takes that back.
type RestartAsked struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt  uint64
	Position uint32
	BootID   string
}

// WindowExtended says that the jobs below Window may start.
type WindowExtended struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt uint64
	Window  uint32
}

// JobStarted says that the job at the position is about to start.
type JobStarted struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt  uint64
	Position uint32
	At       int64 // unix nanoseconds, by the agent's clock
}

// ProcessSeen identifies the process of the job that runs.
type ProcessSeen struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt  uint64
	Position uint32
	Process  Process
}

// A Process is identified by its start time too, because numbers come back.
type Process struct {
	_msgpack struct{} `msgpack:",as_array"`

	Pid int32
	// StartTicks is the start time of /proc/<pid>/stat, in clock ticks since boot.
	StartTicks uint64
}

// JobEnded holds the report of the job that ran.
type JobEnded struct {
	_msgpack struct{} `msgpack:",as_array"`

	Report wire.Report
}

// AttemptEnded holds the report of the attempt's end.
type AttemptEnded struct {
	_msgpack struct{} `msgpack:",as_array"`

	Report wire.Report
}

// Forbidden says that the attempt has not started and never will.
type Forbidden struct {
	_msgpack struct{} `msgpack:",as_array"`

	Report wire.Report
}

// Acked says what the cluster has committed, as wire.Ack.
type Acked struct {
	_msgpack struct{} `msgpack:",as_array"`

	Seq, Floor uint64
}

// Rebased renumbers the reports that were made after a reboot, see
// [State.Welcome].
type Rebased struct {
	_msgpack struct{} `msgpack:",as_array"`

	Acked uint64
}

// Kind implements Record.
func (*Summary) Kind() Kind        { return KindSummary }
func (*Kept) Kind() Kind           { return KindKept }
func (*KeptReport) Kind() Kind     { return KindKeptReport }
func (*Booted) Kind() Kind         { return KindBooted }
func (*EpochRaised) Kind() Kind    { return KindEpochRaised }
func (*Intended) Kind() Kind       { return KindIntended }
func (*WindowExtended) Kind() Kind { return KindWindowExtended }
func (*JobStarted) Kind() Kind     { return KindJobStarted }
func (*ProcessSeen) Kind() Kind    { return KindProcessSeen }
func (*JobEnded) Kind() Kind       { return KindJobEnded }
func (*AttemptEnded) Kind() Kind   { return KindAttemptEnded }
func (*Forbidden) Kind() Kind      { return KindForbidden }
func (*Acked) Kind() Kind          { return KindAcked }
func (*Rebased) Kind() Kind        { return KindRebased }
func (*Begun) Kind() Kind          { return KindBegun }
func (*Published) Kind() Kind      { return KindPublished }
func (*RestartAsked) Kind() Kind   { return KindRestartAsked }
func (*Awaits) Kind() Kind         { return KindAwaits }

// Durable reports whether nothing may follow from records of the kind before
// they are synced. The others are exact after a crash of the process and may be
// missing after one of the machine.
func (k Kind) Durable() bool {
	switch k {
	case KindJobStarted, KindProcessSeen, KindJobEnded, KindAttemptEnded, KindAcked, KindNoted, KindRemembered:
		return false
	}
	return true
}

func newRecord(k Kind) (Record, bool) {
	switch k {
	case KindSummary:
		return new(Summary), true
	case KindKept:
		return new(Kept), true
	case KindKeptReport:
		return new(KeptReport), true
	case KindBooted:
		return new(Booted), true
	case KindEpochRaised:
		return new(EpochRaised), true
	case KindIntended:
		return new(Intended), true
	case KindWindowExtended:
		return new(WindowExtended), true
	case KindJobStarted:
		return new(JobStarted), true
	case KindProcessSeen:
		return new(ProcessSeen), true
	case KindJobEnded:
		return new(JobEnded), true
	case KindAttemptEnded:
		return new(AttemptEnded), true
	case KindForbidden:
		return new(Forbidden), true
	case KindAcked:
		return new(Acked), true
	case KindRebased:
		return new(Rebased), true
	case KindBegun:
		return new(Begun), true
	case KindPublished:
		return new(Published), true
	case KindRestartAsked:
		return new(RestartAsked), true
	case KindAwaits:
		return new(Awaits), true
	case KindStopped:
		return new(Stopped), true
	case KindDoubted:
		return new(Doubted), true
	case KindEndedElsewhere:
		return new(EndedElsewhere), true
	case KindYielded:
		return new(Yielded), true
	case KindNoted:
		return new(Noted), true
	case KindRemembered:
		return new(Remembered), true
	}
	return nil, false
}

// encodeRecord returns the kind and the record's canonical encoding.
func encodeRecord(r Record) ([]byte, error) {
	body, err := wire.Marshal(r)
	if err != nil {
		return nil, err
	}
	return append([]byte{byte(r.Kind())}, body...), nil
}

func decodeRecord(data []byte) (Record, error) {
	if len(data) == 0 {
		return nil, fmt.Errorf("journal record: %w: empty", wire.ErrMalformed)
	}
	r, ok := newRecord(Kind(data[0]))
	if !ok {
		return nil, fmt.Errorf("journal record: %w: kind %d", wire.ErrMalformed, data[0])
	}
	if err := wire.Unmarshal(data[1:], r); err != nil {
		return nil, fmt.Errorf("journal record: %w", err)
	}
	return r, nil
}
