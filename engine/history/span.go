package history

import (
	"strconv"
	"time"
)

// A Span is a length of time in nanoseconds. As JSON it is a number of milliseconds
// with six decimals, so that spans that add up do so there too.
type Span int64

// MarshalJSON writes milliseconds.
func (s Span) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(s)/float64(time.Millisecond), 'f', 6, 64), nil
}

// UnmarshalJSON reads milliseconds.
func (s *Span) UnmarshalJSON(b []byte) error {
	ms, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		return err
	}
	*s = Span(time.Duration(ms*float64(time.Millisecond) + 0.5))
	return nil
}

// Duration is the span as Go's library has it.
func (s Span) Duration() time.Duration { return time.Duration(s) }

// A Class says what a step spent its time with.
type Class uint8

// The classes, in the order in which a step goes through them.
const (
	// Dependencies: it waited for other steps.
	Dependencies Class = iota
	// Slot: it was ready, and waited for room in the run or on its host, for an agent
	// that may work, or for an orchestrator that leads.
	Slot
	// Dispatch: from the record that scheduled it until its first job started, or it is
	// known to have begun.
	Dispatch
	// Execution: its jobs ran.
	Execution
	// Between: between two of its jobs, with the agent's own work, or without agent.
	Between
	// Report: from the end of its last job until the record of the end.
	Report
	// Operator: its outcome was unknown, and an operator was waited for.
	Operator

	classes = iota // how many there are
)

var classNames = [classes]string{"dependencies", "slot", "dispatch", "execution", "between", "report", "operator"}

// String returns the name that the JSON has.
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "class_" + strconv.Itoa(int(c))
}

// MarshalJSON writes the name.
func (c Class) MarshalJSON() ([]byte, error) { return strconv.AppendQuote(nil, c.String()), nil }

// A Segment is a part of a step's time, by the log's clock.
type Segment struct {
	Class Class     `json:"class"`
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	// Attempt is the one that it belongs to, or 0.
	Attempt uint64 `json:"attempt,omitempty"`

	from, to int64
}

// Span is how long it took.
func (s *Segment) Span() Span { return Span(s.to - s.from) }

// Parts are how a time was spent. Network is Dispatch and Report.
type Parts struct {
	Dependencies Span `json:"dependencies_ms"`
	Slot         Span `json:"slot_ms"`
	Network      Span `json:"network_ms"`
	Execution    Span `json:"execution_ms"`
	Between      Span `json:"between_ms"`
	Operator     Span `json:"operator_ms"`
	// Dispatch and Report are the two halves of Network.
	Dispatch Span `json:"dispatch_ms"`
	Report   Span `json:"report_ms"`
}

// Sum is all of them together.
func (p *Parts) Sum() Span {
	return p.Dependencies + p.Slot + p.Network + p.Execution + p.Between + p.Operator
}

func (p *Parts) add(c Class, s Span) {
	switch c {
	case Dependencies:
		p.Dependencies += s
	case Slot:
		p.Slot += s
	case Dispatch:
		p.Dispatch += s
		p.Network += s
	case Execution:
		p.Execution += s
	case Between:
		p.Between += s
	case Report:
		p.Report += s
		p.Network += s
	case Operator:
		p.Operator += s
	}
}

func (p *Parts) addAll(segments []Segment) {
	for i := range segments {
		p.add(segments[i].Class, segments[i].Span())
	}
}

func timeOf(nanos int64) time.Time { return time.Unix(0, nanos).UTC() }
