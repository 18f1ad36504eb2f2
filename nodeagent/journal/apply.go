package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"quorate/nodeagent/wire"
)

// ErrInconsistent is wrapped by errors about a record that does not fit the
// records before it.
var ErrInconsistent = errors.New("journal is inconsistent")

// Apply folds one record into the state. An error means that the journal was not
// written by these rules.
func (s *State) Apply(r Record) error {
	id := attemptOf(r)
	from := s.placeOf(id)
	err := s.apply(r)
	s.move(id, from)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInconsistent, err)
	}
	return nil
}

func (s *State) apply(r Record) (err error) {
	switch r := r.(type) {
	case *Summary:
		s.applySummary(r)
	case *Kept:
		a := r.Attempt
		s.hold(&a)
	case *KeptReport:
		s.addReport(r.Report)
	case *Booted:
		s.applyBooted(r)
	case *EpochRaised:
		s.EpochMax = max(s.EpochMax, r.Epoch)
	case *Intended:
		err = s.applyIntended(r)
	case *WindowExtended:
		err = s.withOpen(r.Attempt, func(a *Attempt) { a.Window = max(a.Window, r.Window) })
	case *JobStarted:
		err = s.applyJobStarted(r)
	case *ProcessSeen:
		err = s.withOpen(r.Attempt, func(a *Attempt) {
			if a.Running && a.Ended == r.Position {
				a.Process = r.Process
			}
		})
	case *JobEnded:
		err = s.applyJobEnded(r)
	case *AttemptEnded:
		err = s.applyAttemptEnded(r)
	case *Forbidden:
		err = s.applyForbidden(r.Report)
	case *Acked:
		s.applyAcked(r.Seq, r.Floor)
	case *Rebased:
		s.applyRebased(r.Acked)
	case *Begun:
		err = s.applyBegun(r)
	case *Published:
		err = s.applyPublished(r)
	case *RestartAsked:
		err = s.applyRestartAsked(r)
	case *Awaits:
		err = s.applyAwaits(r)
	case *Stopped:
		s.stopped = true
	case *Doubted:
		s.applyDoubted(r)
	case *EndedElsewhere:
		s.applyEndedElsewhere(r)
	case *Yielded:
		err = s.applyYielded(r.Attempt)
	case *Noted:
		err = s.applyNoted(r)
	case *Remembered:
		s.applyRemembered(r)
	default:
		err = fmt.Errorf("record of type %T", r)
	}
	return err
}

func (s *State) applySummary(r *Summary) {
	s.JournalID, s.BootID = r.JournalID, r.BootID
	s.EpochMax, s.Floor, s.Seq, s.Acked = r.EpochMax, r.Floor, r.Seq, r.Acked
	s.FreshFrom, s.SeqBound = r.FreshFrom, r.SeqBound
	s.unnumbered, s.outdated = r.Version < versionNumbered, r.Version < formatVersion
}

func (s *State) summary() *Summary {
	return &Summary{
		JournalID: s.JournalID, BootID: s.BootID,
		EpochMax: s.EpochMax, Floor: s.Floor, Seq: s.Seq, Acked: s.Acked,
		FreshFrom: s.FreshFrom, SeqBound: s.SeqBound, Version: formatVersion,
	}
}

func (s *State) applyIntended(r *Intended) error {
	if _, ok := s.attempts[r.Attempt]; ok {
		return fmt.Errorf("attempt %d is intended twice", r.Attempt)
	}
	if r.Forbids {
		if err := s.applyForbidden(notStarted(s.Seq+1, r.Supersedes, supersededReason(r.Attempt))); err != nil {
			return err
		}
	}
	a := &Attempt{
		ID: r.Attempt, Supersedes: r.Supersedes, Phase: Intent, Hash: r.Hash, Spec: r.Spec, Step: r.Step,
		Jobs: r.Jobs, Window: r.Window, KeepGoing: r.KeepGoing, Inputs: r.Inputs,
	}
	s.hold(a)
	if s.unnumbered {
		return nil
	}
	return s.begin(a, r.Seq)
}

func (s *State) applyBegun(r *Begun) error {
	a, err := s.open(r.Attempt)
	if err != nil {
		return err
	}
	if a.BeganSeq != 0 {
		return fmt.Errorf("attempt %d begins twice", a.ID)
	}
	return s.begin(a, r.Seq)
}

// begin makes the report that the attempt has begun.
func (s *State) begin(a *Attempt, seq uint64) error {
	if seq != s.Seq+1 {
		return fmt.Errorf("report %d of the beginning of attempt %d is out of turn", seq, a.ID)
	}
	a.BeganSeq = seq
	s.Seq++
	s.addReport(wire.Report{Seq: seq, Attempt: a.ID, Began: true})
	return nil
}

func (s *State) applyJobStarted(r *JobStarted) error {
	a, err := s.open(r.Attempt)
	if err != nil {
		return err
	}
	// A job may start again that is known to have had no effect, or whose verb
	// bears a repeat.
	if r.Position != a.Ended || r.Position >= a.Window || r.Position >= a.Jobs {
		return fmt.Errorf("job %d of attempt %d starts out of turn", r.Position, a.ID)
	}
	a.Running, a.StartedAt, a.Process = true, r.At, Process{}
	return nil
}

func (s *State) applyJobEnded(r *JobEnded) error {
	a, err := s.open(r.Report.Attempt)
	if err != nil {
		return err
	}
	if !a.Running || r.Report.Seq != s.Seq+1 {
		return fmt.Errorf("report %d of attempt %d is out of turn", r.Report.Seq, a.ID)
	}
	a.Running, a.Process, a.RestartUnder = false, Process{}, ""
	a.Ended++
	switch r.Report.Outcome {
	case OutcomeFailed:
		a.Failed = true
	case OutcomeCancelled:
		a.Cancelled = true
	case OutcomeUnknown:
		a.Lost = true
	}
	a.Digest = chainDigest(a.Digest, &r.Report)
	s.Seq++
	s.addReport(r.Report)
	return nil
}

func (s *State) applyPublished(r *Published) error {
	a, err := s.open(r.Report.Attempt)
	if err != nil {
		return err
	}
	if !a.Running || r.Report.Seq != s.Seq+1 {
		return fmt.Errorf("values of attempt %d, report %d, are out of turn", a.ID, r.Report.Seq)
	}
	if r.Report.Waits {
		s.yielded[a.ID] = true
	}
	s.Seq++
	s.addReport(r.Report)
	return nil
}

func (s *State) applyRestartAsked(r *RestartAsked) error {
	a, err := s.open(r.Attempt)
	if err != nil {
		return err
	}
	if !a.Running || r.Position != a.Ended {
		return fmt.Errorf("job %d of attempt %d, which does not run, asks for a restart", r.Position, a.ID)
	}
	a.RestartUnder = r.BootID
	return nil
}

func (s *State) applyAttemptEnded(r *AttemptEnded) error {
	a, err := s.open(r.Report.Attempt)
	if err != nil {
		return err
	}
	if r.Report.Seq != s.Seq+1 {
		return fmt.Errorf("report %d is out of turn", r.Report.Seq)
	}
	phase := Done
	if r.Report.Outcome == OutcomeUnknown {
		phase = Unknown
	}
	s.settle(a, phase, r.Report)
	return nil
}

func (s *State) applyForbidden(r wire.Report) error {
	a, ok := s.attempts[r.Attempt]
	if !ok {
		a = &Attempt{ID: r.Attempt}
		s.attempts[r.Attempt] = a
	} else if a.Phase != Intent || a.Ended > 0 || a.Running {
		return fmt.Errorf("attempt %d is forbidden after it started", r.Attempt)
	}
	if r.Seq != s.Seq+1 {
		return fmt.Errorf("report %d is out of turn", r.Seq)
	}
	s.settle(a, Tombstone, r)
	return nil
}

func (s *State) settle(a *Attempt, p Phase, r wire.Report) {
	spec := a.Spec
	a.Phase, a.EndSeq = p, r.Seq
	a.Spec, a.Running, a.Process, a.RestartUnder, a.Inputs = nil, false, Process{}, "", nil
	delete(s.yielded, a.ID)
	s.Seq++
	s.addReport(r)
	s.leaveQueues(a.ID)
	s.release(a.ID, r.Outcome)
	s.failFast(a, spec, r.Outcome)
}

// applyAcked forgets what the cluster has. An entry goes when it is below the
// floor and its end is acknowledged; until then it answers repeats.
func (s *State) applyAcked(seq, floor uint64) {
	s.Acked = max(s.Acked, seq)
	if floor > s.Floor {
		s.Floor = floor
		s.strandOverdue()
	}
	n := 0
	for n < len(s.reports) && s.reports[n].Seq <= s.Acked && !s.fresh(s.reports[n].Seq) {
		s.reportBytes -= s.reports[n].Bytes()
		n++
	}
	if s.reports = s.reports[n:]; len(s.reports) == 0 {
		s.reports = nil
	}
	for _, a := range s.attempts {
		if s.forgettable(a) {
			s.drop(a)
		}
	}
}

// forgettable reports whether nobody asks for the attempt any more: it is below the
// floor, its end is acknowledged, and what it has done is remembered.
func (s *State) forgettable(a *Attempt) bool {
	return a.ID <= s.Floor && a.Phase != Intent && a.EndSeq <= s.Acked && !s.fresh(a.EndSeq) && len(a.Notes) == 0
}

func (s *State) applyRebased(acked uint64) {
	if s.FreshFrom == 0 {
		return
	}
	shift := max(s.FreshFrom-1, acked) - (s.FreshFrom - 1)
	for i := range s.reports {
		if s.fresh(s.reports[i].Seq) {
			s.reports[i].Seq += shift
		}
	}
	for _, a := range s.attempts {
		if s.fresh(a.EndSeq) {
			a.EndSeq += shift
		}
		if s.fresh(a.BeganSeq) {
			a.BeganSeq += shift
		}
	}
	s.Seq += shift
	s.FreshFrom, s.SeqBound = 0, 0
	s.applyAcked(acked, 0)
}

// fresh reports whether the number was given out after a reboot and is not certain.
func (s *State) fresh(seq uint64) bool { return s.FreshFrom != 0 && seq >= s.FreshFrom }

func (s *State) addReport(r wire.Report) {
	s.reports = append(s.reports, r)
	s.reportBytes += r.Bytes()
}

func (s *State) open(id uint64) (*Attempt, error) {
	a, ok := s.attempts[id]
	if !ok || a.Phase != Intent {
		return nil, fmt.Errorf("attempt %d is not open", id)
	}
	return a, nil
}

func (s *State) withOpen(id uint64, f func(*Attempt)) error {
	a, err := s.open(id)
	if err == nil {
		f(a)
	}
	return err
}

// chainDigest continues the digest over an attempt's outputs by one job.
func chainDigest(before []byte, r *wire.Report) []byte {
	h := sha256.New()
	h.Write(before)
	var n [8]byte
	for _, v := range []uint64{uint64(r.Job), uint64(r.Outcome), uint64(uint32(r.Exit))} {
		binary.BigEndian.PutUint64(n[:], v)
		h.Write(n[:])
	}
	for _, o := range []*wire.Output{&r.Stdout, &r.Stderr} {
		for _, b := range [][]byte{o.Head, o.Tail} {
			binary.BigEndian.PutUint64(n[:], uint64(len(b)))
			h.Write(n[:])
			h.Write(b)
		}
		binary.BigEndian.PutUint64(n[:], uint64(o.Size))
		h.Write(n[:])
	}
	return h.Sum(nil)
}
