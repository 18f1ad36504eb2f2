package wire

// Messages as the previous protocol has them, where they differ. When a protocol is
// added these make room for the forms of the one that is newest now.

// A form is a message, or a part of one, as the previous protocol has it.
type form interface {
	Message
	newest() Message
}

// told returns what the peer is told instead of the message.
func (p Protocol) told(m Message) Message {
	if p != Previous {
		return m
	}
	switch m := m.(type) {
	case *Hello:
		return &previousHello{Version: m.Version, JournalID: m.JournalID, JournalSeq: m.JournalSeq, BootID: m.BootID, Floor: m.Floor,
			EpochMax: m.EpochMax, Attempts: m.Attempts, Acked: m.Acked, Seen: m.Seen, Asked: m.Asked}
	case *Dispatch:
		return &previousDispatch{Fence: m.Fence, Attempt: m.Attempt, Supersedes: m.Supersedes, Spec: m.Spec, After: m.After, Places: m.Places}
	case *Ended:
		return &previousEnded{Fence: m.Fence, Attempt: m.Attempt, Outcome: m.Outcome}
	case *Results:
		return previousOf(m)
	}
	return m
}

// empty returns a message of the type to decode into.
func (p Protocol) empty(t Type) Message {
	if p == Previous {
		switch t {
		case TypeHello:
			return new(previousHello)
		case TypeDispatch:
			return new(previousDispatch)
		case TypeEnded:
			return new(previousEnded)
		case TypeResults:
			return new(previousResults)
		}
	}
	m, _ := newMessage(t)
	return m
}

// Step is the step as a peer that speaks the protocol understands it. To the previous one
// a service's step is any step, whose jobs are left alone where one of the same text has
// succeeded; and it is not told that its run fails fast, so that nothing may be sent to
// wait for a place in such a run.
func (p Protocol) Step(s *Step) *Step {
	if p != Previous {
		return s
	}
	known := *s
	known.Service, known.Requires, known.FailFast = false, nil, false
	return &known
}

// previousHello says nothing of which attempts have not started.
type previousHello struct {
	_msgpack struct{} `msgpack:",as_array"`

	Version    string
	JournalID  string
	JournalSeq uint64
	BootID     string
	Floor      uint64
	EpochMax   uint64
	Attempts   []uint64
	Acked      uint64
	Seen       []Seen
	Asked      bool
}

// Type implements [Message].
func (*previousHello) Type() Type { return TypeHello }

func (m *previousHello) newest() Message {
	return &Hello{Version: m.Version, JournalID: m.JournalID, JournalSeq: m.JournalSeq, BootID: m.BootID, Floor: m.Floor,
		EpochMax: m.EpochMax, Attempts: m.Attempts, Acked: m.Acked, Seen: m.Seen, Asked: m.Asked}
}

// previousDispatch has no inputs.
type previousDispatch struct {
	_msgpack struct{} `msgpack:",as_array"`

	Fence      Fence
	Attempt    uint64
	Supersedes uint64
	Spec       []byte
	After      []Predecessor
	Places     uint32
}

// Type implements [Message].
func (*previousDispatch) Type() Type { return TypeDispatch }

func (m *previousDispatch) newest() Message {
	return &Dispatch{Fence: m.Fence, Attempt: m.Attempt, Supersedes: m.Supersedes, Spec: m.Spec, After: m.After, Places: m.Places}
}

// previousEnded has no output.
type previousEnded struct {
	_msgpack struct{} `msgpack:",as_array"`

	Fence   Fence
	Attempt uint64
	Outcome uint8
}

// Type implements [Message].
func (*previousEnded) Type() Type { return TypeEnded }

func (m *previousEnded) newest() Message {
	return &Ended{Fence: m.Fence, Attempt: m.Attempt, Outcome: m.Outcome}
}

// previousResults has reports without outputs of steps.
type previousResults struct {
	_msgpack struct{} `msgpack:",as_array"`

	Reports []previousReport
}

// A previousReport says nothing of what its step has made of the host.
type previousReport struct {
	_msgpack struct{} `msgpack:",as_array"`

	Seq, Attempt        uint64
	Began, End          bool
	Outcome             uint8
	Job                 uint32
	Changed             bool
	Exit                int32
	StartedAt, Duration int64
	Info                string
	Stdout, Stderr      Output
	Reason              string
	OutputDigest        string
	Published, Waits    bool
	Values              []Value
}

// Type implements [Message].
func (*previousResults) Type() Type { return TypeResults }

func (m *previousResults) newest() Message {
	out := &Results{Reports: make([]Report, len(m.Reports))}
	for i := range m.Reports {
		r := &m.Reports[i]
		out.Reports[i] = Report{Seq: r.Seq, Attempt: r.Attempt, Began: r.Began, End: r.End, Outcome: r.Outcome, Job: r.Job,
			Changed: r.Changed, Exit: r.Exit, StartedAt: r.StartedAt, Duration: r.Duration, Info: r.Info, Stdout: r.Stdout, Stderr: r.Stderr,
			Reason: r.Reason, OutputDigest: r.OutputDigest, Published: r.Published, Waits: r.Waits, Values: r.Values}
	}
	return out
}

func previousOf(m *Results) *previousResults {
	out := &previousResults{Reports: make([]previousReport, len(m.Reports))}
	for i := range m.Reports {
		r := &m.Reports[i]
		out.Reports[i] = previousReport{Seq: r.Seq, Attempt: r.Attempt, Began: r.Began, End: r.End, Outcome: r.Outcome, Job: r.Job,
			Changed: r.Changed, Exit: r.Exit, StartedAt: r.StartedAt, Duration: r.Duration, Info: r.Info, Stdout: r.Stdout, Stderr: r.Stderr,
			Reason: r.Reason, OutputDigest: r.OutputDigest, Published: r.Published, Waits: r.Waits, Values: r.Values}
	}
	return out
}
