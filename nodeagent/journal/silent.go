package journal

import (
	"fmt"

	"quorate/nodeagent/wire"
)

// The records of format version 2 that have changed since: their reports carry no
// values, and none of their jobs restarts the machine.

type reportV2 struct {
	_msgpack struct{} `msgpack:",as_array"`

	Seq, Attempt        uint64
	Began, End          bool
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

func (r *reportV2) report() wire.Report {
	return wire.Report{
		Seq: r.Seq, Attempt: r.Attempt, Began: r.Began, End: r.End, Outcome: r.Outcome, Job: r.Job, Changed: r.Changed,
		Exit: r.Exit, StartedAt: r.StartedAt, Duration: r.Duration, Info: r.Info, Stdout: r.Stdout, Stderr: r.Stderr,
		Reason: r.Reason, OutputDigest: r.OutputDigest,
	}
}

// reportedV2 is a record that is nothing but a report.
type reportedV2 struct {
	_msgpack struct{} `msgpack:",as_array"`

	Report reportV2
}

type attemptV2 struct {
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
	EndSeq, BeganSeq  uint64
	Lost              bool
}

type keptV2 struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt attemptV2
}

// decodeSilent is decodeRecord for a file of format version 2.
func decodeSilent(data []byte) (Record, error) {
	if len(data) == 0 {
		return decodeMute(data)
	}
	kept, reported := new(keptV2), new(reportedV2)
	var old any = reported
	switch Kind(data[0]) {
	case KindKept:
		old = kept
	case KindKeptReport, KindJobEnded, KindAttemptEnded, KindForbidden:
	default:
		return decodeMute(data)
	}
	if err := wire.Unmarshal(data[1:], old); err != nil {
		return nil, fmt.Errorf("journal record: %w", err)
	}
	r := reported.Report.report()
	switch Kind(data[0]) {
	case KindKept:
		a := &kept.Attempt
		return &Kept{Attempt: Attempt{
			ID: a.ID, Supersedes: a.Supersedes, Phase: a.Phase, Hash: a.Hash, Spec: a.Spec, Step: a.Step,
			Jobs: a.Jobs, Window: a.Window, KeepGoing: a.KeepGoing, Ended: a.Ended, Running: a.Running,
			StartedAt: a.StartedAt, Process: a.Process, Failed: a.Failed, Cancelled: a.Cancelled,
			Digest: a.Digest, EndSeq: a.EndSeq, BeganSeq: a.BeganSeq, Lost: a.Lost,
		}}, nil
	case KindKeptReport:
		return &KeptReport{Report: r}, nil
	case KindJobEnded:
		return &JobEnded{Report: r}, nil
	case KindAttemptEnded:
		return &AttemptEnded{Report: r}, nil
	}
	return &Forbidden{Report: r}, nil
}
