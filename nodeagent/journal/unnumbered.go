package journal

import (
	"fmt"

	"quorate/nodeagent/wire"
)

// The records of format version 1 that have changed since. Their reports do not
// know of beginnings.

type reportV1 struct {
	_msgpack struct{} `msgpack:",as_array"`

	Seq, Attempt        uint64
	End                 bool
	Outcome             uint8
	Job                 uint32
	Changed             bool
	Exit                int32
	StartedAt, Duration int64
	Info                string
	Stdout, Stderr      wire.Output
	Reason              string
	OutputDigest        string
}

func (r *reportV1) report() wire.Report {
	return wire.Report{
		Seq: r.Seq, Attempt: r.Attempt, End: r.End, Outcome: r.Outcome, Job: r.Job, Changed: r.Changed, Exit: r.Exit,
		StartedAt: r.StartedAt, Duration: r.Duration, Info: r.Info, Stdout: r.Stdout, Stderr: r.Stderr,
		Reason: r.Reason, OutputDigest: r.OutputDigest,
	}
}

// reportedV1 is a record that is nothing but a report.
type reportedV1 struct {
	_msgpack struct{} `msgpack:",as_array"`

	Report reportV1
}

type intendedV1 struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt, Supersedes uint64
	Forbids             bool
	Hash, Spec          []byte
	Step                string
	Jobs, Window        uint32
	KeepGoing           bool
}

type attemptV1 struct {
	_msgpack struct{} `msgpack:",as_array"`

	ID, Supersedes    uint64
	Phase             Phase
	Hash, Spec        []byte
	Step              string
	Jobs, Window      uint32
	KeepGoing         bool
	Ended             uint32
	Running           bool
	StartedAt         int64
	Process           Process
	Failed, Cancelled bool
	Digest            []byte
	EndSeq            uint64
}

type keptV1 struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt attemptV1
}

// decodeUnnumbered is decodeRecord for a file of format version 1.
func decodeUnnumbered(data []byte) (Record, error) {
	if len(data) == 0 {
		return decodeMute(data)
	}
	var old any
	switch Kind(data[0]) {
	case KindKept:
		old = new(keptV1)
	case KindIntended:
		old = new(intendedV1)
	case KindKeptReport, KindJobEnded, KindAttemptEnded, KindForbidden:
		old = new(reportedV1)
	default:
		return decodeMute(data)
	}
	if err := wire.Unmarshal(data[1:], old); err != nil {
		return nil, fmt.Errorf("journal record: %w", err)
	}
	switch old := old.(type) {
	case *keptV1:
		a := &old.Attempt
		return &Kept{Attempt: Attempt{
			ID: a.ID, Supersedes: a.Supersedes, Phase: a.Phase, Hash: a.Hash, Spec: a.Spec, Step: a.Step,
			Jobs: a.Jobs, Window: a.Window, KeepGoing: a.KeepGoing, Ended: a.Ended, Running: a.Running,
			StartedAt: a.StartedAt, Process: a.Process, Failed: a.Failed, Cancelled: a.Cancelled,
			Digest: a.Digest, EndSeq: a.EndSeq,
		}}, nil
	case *intendedV1:
		return &Intended{
			Attempt: old.Attempt, Supersedes: old.Supersedes, Forbids: old.Forbids, Hash: old.Hash, Spec: old.Spec,
			Step: old.Step, Jobs: old.Jobs, Window: old.Window, KeepGoing: old.KeepGoing,
		}, nil
	}
	r := old.(*reportedV1).Report.report()
	switch Kind(data[0]) {
	case KindKeptReport:
		return &KeptReport{Report: r}, nil
	case KindJobEnded:
		return &JobEnded{Report: r}, nil
	case KindAttemptEnded:
		return &AttemptEnded{Report: r}, nil
	}
	return &Forbidden{Report: r}, nil
}
