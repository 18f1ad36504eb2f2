package journal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"

	"quorate/nodeagent/wire"
)

// ErrRolledBack is wrapped by errors about a cluster that has committed reports
// which this journal never made: its files were put back to an earlier state, or
// another agent uses a copy of them.
var ErrRolledBack = errors.New("journal was rolled back or copied")

// ErrEnded says that an attempt has ended or was cancelled meanwhile.
var ErrEnded = errors.New("attempt has ended")

// An Action is what a decision asks for.
type Action uint8

// The actions.
const (
	Start   Action = iota + 1 // run the attempt's jobs, once
	Kill                      // end the attempt's jobs and wait until none is left
	Reply                     // send Effect.Reply
	Resend                    // send the reports that are not acknowledged
	Release                   // look for what need not wait any more
)

// An Effect may happen when the decision's records are durable.
type Effect struct {
	Action  Action
	Attempt uint64
	Reply   wire.Reply
}

// A Decision is what follows from an event: records first, then effects.
type Decision struct {
	Records []Record
	Effects []Effect
}

// Durable reports whether the records have to be synced before the effects.
func (d *Decision) Durable() bool {
	for _, r := range d.Records {
		if r.Kind().Durable() {
			return true
		}
	}
	return false
}

func (d *Decision) effect(a Action, attempt uint64) {
	d.Effects = append(d.Effects, Effect{Action: a, Attempt: attempt})
}

func (d *Decision) reply(attempt uint64, status wire.Status, reason string) {
	d.Effects = append(d.Effects, Effect{Action: Reply, Attempt: attempt,
		Reply: wire.Reply{Attempt: attempt, Status: status, Reason: reason}})
}

// Here is what the agent knows of the connection that a command came by.
type Here struct {
	ClusterID, Session string
}

// fence says why a command is not for this agent, this connection or this time.
func (s *State) fence(h Here, f *wire.Fence) (reason string, ok bool) {
	switch {
	case f.ClusterID != h.ClusterID:
		return "the command is for another cluster", false
	case f.Session != h.Session:
		return "the command is for another connection", false
	case f.JournalID != s.JournalID:
		return "the command is for another journal", false
	case f.Epoch < s.EpochMax:
		return fmt.Sprintf("the command is of epoch %d, the newest is %d", f.Epoch, s.EpochMax), false
	}
	return "", true
}

func (s *State) raise(d *Decision, epoch uint64) {
	if epoch > s.EpochMax {
		d.Records = append(d.Records, &EpochRaised{Epoch: epoch})
	}
}

// Work is what the journal has to know of a step.
type Work struct {
	// Step names it among all steps of the cluster, see [StepName]; empty where it
	// cannot be read.
	Step      string
	Jobs      uint32
	KeepGoing bool
	// FailFast is true where nothing of its run starts behind a failure.
	FailFast bool
}

// Dispatch decides about a dispatch of the work.
//
// Beside the attempt that the message supersedes it looks at all attempts of the
// same step. An agent that was given up may still work on the first of three,
// while the third supersedes a second that never arrived: it has to wait all the
// same. And an attempt that comes after a later one of its step never starts.
func (s *State) Dispatch(h Here, m *wire.Dispatch, w Work) Decision {
	var d Decision
	if reason, ok := s.fence(h, &m.Fence); !ok {
		d.reply(m.Attempt, wire.StatusRejected, reason)
		return d
	}
	if m.Attempt == 0 || m.Supersedes >= m.Attempt {
		d.reply(m.Attempt, wire.StatusRejected, "the attempt does not follow the one it supersedes")
		return d
	}
	s.raise(&d, m.Fence.Epoch)
	hash := wire.SpecHash(m.Spec)
	if a, ok := s.attempts[m.Attempt]; ok {
		switch {
		case a.Phase != Intent:
			d.effect(Resend, m.Attempt)
		case !bytes.Equal(a.Hash, hash[:]) && !spelledBefore(a, m.Spec):
			d.reply(m.Attempt, wire.StatusRejected, "another step came under the same attempt before")
		default:
			d.reply(m.Attempt, wire.StatusRunning, "")
		}
		return d
	}
	if m.Attempt <= s.Floor {
		d.reply(m.Attempt, wire.StatusGone, fmt.Sprintf("everything up to attempt %d is settled", s.Floor))
		return d
	}
	return s.accept(d, m, hash[:], w)
}

// spelledBefore reports whether the attempt came as this step before the agent was
// upgraded, to which an orchestrator says more of it now.
func spelledBefore(a *Attempt, spec []byte) bool {
	step, err := wire.DecodeStep(spec)
	if err != nil {
		return false
	}
	known, err := wire.EncodeStep(wire.Previous.Step(step))
	if err != nil {
		return false
	}
	hash := wire.SpecHash(known)
	return bytes.Equal(a.Hash, hash[:])
}

// accept decides about a dispatch that is new and for this agent.
func (s *State) accept(d Decision, m *wire.Dispatch, hash []byte, w Work) Decision {
	open, newest := s.rivals(m.Attempt, w.Step)
	before, known := s.attempts[m.Supersedes]
	if known && before.Phase == Intent {
		open = m.Supersedes
	}
	waits, stranded, missing := s.waitsFor(m)
	held := false
	switch {
	case newest > m.Attempt:
		d.Records = append(d.Records, &Forbidden{Report: notStarted(s.Seq+1, m.Attempt, supersededReason(newest))})
		d.effect(Resend, m.Attempt)
	case open != 0:
		s.giveWay(&d, open, m.Attempt)
	case missing != 0:
		d.reply(m.Attempt, wire.StatusBusy, fmt.Sprintf("attempt %d, which it waits for, is not known here", missing))
	case stranded:
		d.Records = append(d.Records, &Forbidden{Report: notStarted(s.Seq+1, m.Attempt, strandedReason)})
		d.effect(Resend, m.Attempt)
	case w.FailFast && s.failedIn(poolOf(w.Step)):
		d.Records = append(d.Records, &Forbidden{Report: notStarted(s.Seq+1, m.Attempt, failFastReason)})
		d.effect(Resend, m.Attempt)
	default:
		places := m.Places
		if w.Step == "" {
			places = 0
		}
		if held = len(waits) > 0 || s.taken(w.Step, places); held {
			d.Records = append(d.Records, &Awaits{Attempt: m.Attempt, After: waits, Places: places, Heir: len(m.After) > 0})
		}
		// At or below the floor it can never start anyway.
		forbids := m.Supersedes > s.Floor && !known
		seq := s.Seq + 1
		if forbids {
			seq++
		}
		d.Records = append(d.Records, &Intended{Attempt: m.Attempt, Supersedes: m.Supersedes,
			Forbids: forbids, Hash: hash, Spec: m.Spec, Step: w.Step, Seq: seq,
			Jobs: w.Jobs, Window: s.firstWindow(w.Jobs, held), KeepGoing: w.KeepGoing, Inputs: inputsOf(m)})
		d.effect(Start, m.Attempt)
	}
	return d
}

// Cancel decides about a cancel.
func (s *State) Cancel(h Here, m *wire.Cancel) Decision {
	var d Decision
	if reason, ok := s.fence(h, &m.Fence); !ok {
		d.reply(m.Attempt, wire.StatusRejected, reason)
		return d
	}
	if m.Attempt == 0 {
		d.reply(0, wire.StatusRejected, "there is no attempt 0")
		return d
	}
	s.raise(&d, m.Fence.Epoch)
	a, ok := s.attempts[m.Attempt]
	switch {
	case !ok && m.Attempt <= s.Floor:
		d.reply(m.Attempt, wire.StatusGone, fmt.Sprintf("everything up to attempt %d is settled", s.Floor))
	case !ok:
		d.Records = append(d.Records, &Forbidden{Report: notStarted(s.Seq+1, m.Attempt, m.Reason)})
		d.effect(Resend, m.Attempt)
	case a.Phase != Intent:
		d.effect(Resend, m.Attempt)
	case a.Ended == 0 && !a.Running:
		d.Records = append(d.Records, &Forbidden{Report: notStarted(s.Seq+1, m.Attempt, m.Reason)})
		d.effect(Kill, m.Attempt)
	case m.Unstarted:
		d.reply(m.Attempt, wire.StatusRunning, "")
	default:
		d.effect(Kill, m.Attempt)
	}
	return d
}

// Forsake decides that an attempt never starts, since the cluster has given up on the
// agent. It is false where the attempt has started, or is over.
func (s *State) Forsake(attempt uint64) (Record, bool) {
	a, err := s.open(attempt)
	if err != nil || a.Ended > 0 || a.Running {
		return nil, false
	}
	return &Forbidden{Report: notStarted(s.Seq+1, attempt, "the cluster has given up on the agent")}, true
}

// Ack decides about an acknowledgement.
func (s *State) Ack(m *wire.Ack) (Decision, error) {
	if m.Seq > s.Seq || s.fresh(m.Seq) {
		return Decision{}, fmt.Errorf("%w: report %d is acknowledged, the newest is %d", ErrRolledBack, m.Seq, s.Seq)
	}
	if m.Seq <= s.Acked && m.Floor <= s.Floor {
		return Decision{}, nil
	}
	d := Decision{Records: []Record{&Acked{Seq: m.Seq, Floor: m.Floor}}}
	if m.Floor > s.Floor && len(s.overdue(m.Floor)) > 0 {
		d.effect(Release, m.Floor)
	}
	return d, nil
}

// Welcome decides about the newest report that the cluster has committed. After a
// reboot it settles the numbers: the reports made since follow on what the cluster
// has, whatever of the lost ones that is.
func (s *State) Welcome(m *wire.Welcome) (Decision, error) {
	if m.Acked > s.ShownSeq() {
		return Decision{}, fmt.Errorf("%w: the cluster has report %d, the newest is %d", ErrRolledBack, m.Acked, s.ShownSeq())
	}
	var d Decision
	if s.FreshFrom != 0 {
		d.Records = append(d.Records, s.doubts(m.Acked)...)
		d.Records = append(d.Records, &Rebased{Acked: m.Acked})
		d.Records = append(d.Records, s.overtaken(m)...)
	}
	if m.Acked > s.Acked || m.Floor > s.Floor {
		d.Records = append(d.Records, &Acked{Seq: m.Acked, Floor: m.Floor})
	}
	return d, nil
}

// overtaken ends the attempts whose restart of the machine is no evidence: where the
// cluster has reports that the journal lacks, or has settled the attempt, the journal
// may be a copy from before the restart, and what comes behind that may be done.
func (s *State) overtaken(m *wire.Welcome) (records []Record) {
	seq := s.Seq + max(s.FreshFrom-1, m.Acked) - (s.FreshFrom - 1) // as the numbers are once they are rebased
	for _, id := range s.Open() {
		a := s.attempts[id]
		if a.RestartUnder == "" || a.RestartUnder == s.BootID || m.Acked < s.FreshFrom && id > m.Floor {
			continue
		}
		seq++
		records = append(records, &AttemptEnded{Report: wire.Report{
			Seq: seq, Attempt: id, End: true, Outcome: OutcomeUnknown,
			Reason: "the machine has restarted, and the cluster has heard more of it than its journal holds",
		}})
	}
	return records
}

// Boot decides what to make of the journal when the agent starts. Under another
// boot of the machine the attempts become unknown of which something may have
// happened without a record; all that are open after it go on. What an earlier
// program accepted is reported as begun.
func (s *State) Boot(bootID string) Decision {
	var d Decision
	another := s.BootID != "" && s.BootID != bootID
	if s.BootID != bootID || s.stopped {
		d.Records = append(d.Records, &Booted{BootID: bootID})
	}
	seq := s.Seq
	for _, id := range s.Open() {
		a := s.attempts[id]
		if !another || s.determined(a) || s.undisturbed(a) {
			if a.BeganSeq == 0 {
				seq++
				d.Records = append(d.Records, &Begun{Attempt: id, Seq: seq})
			}
			continue
		}
		seq++
		d.Records = append(d.Records, &AttemptEnded{Report: wire.Report{
			Seq: seq, Attempt: id, End: true, Outcome: OutcomeUnknown,
			Reason: "the machine went down while the attempt was under way",
		}})
	}
	return d
}

// StartJob decides to start the job at the position, at the time in unix nanoseconds.
func (s *State) StartJob(attempt uint64, position uint32, now int64) (Record, error) {
	a, err := s.open(attempt)
	if err != nil || s.Waits(attempt) {
		return nil, ErrEnded
	}
	if position != a.Ended || position >= a.Window || position >= a.Jobs || a.Failed && !a.KeepGoing {
		return nil, fmt.Errorf("%w: job %d of attempt %d is not the next in its window", ErrInconsistent, position, attempt)
	}
	return &JobStarted{Attempt: attempt, Position: position, At: now}, nil
}

// Publish gives a report of values of the job that runs its number.
func (s *State) Publish(r wire.Report) (Record, error) {
	a, err := s.open(r.Attempt)
	if err != nil {
		return nil, ErrEnded
	}
	if !a.Running {
		return nil, fmt.Errorf("%w: no job of attempt %d is running", ErrInconsistent, r.Attempt)
	}
	r.Seq, r.Published = s.Seq+1, true
	return &Published{Report: r}, nil
}

// AskRestart decides that the job that runs may have the machine restarted, whose
// boot is the journal's; with take, that it will not after all.
func (s *State) AskRestart(attempt uint64, take bool) (Record, error) {
	a, err := s.open(attempt)
	if err != nil {
		return nil, ErrEnded
	}
	if !a.Running {
		return nil, fmt.Errorf("%w: no job of attempt %d is running", ErrInconsistent, attempt)
	}
	r := &RestartAsked{Attempt: attempt, Position: a.Ended, BootID: s.BootID}
	if take {
		r.BootID = ""
	}
	return r, nil
}

// EndJob gives the report of the job that runs its number. Where the attempt is in
// doubt its outcome is unknown.
func (s *State) EndJob(r wire.Report) (Record, error) {
	a, err := s.open(r.Attempt)
	if err != nil {
		return nil, ErrEnded
	}
	if !a.Running {
		return nil, fmt.Errorf("%w: no job of attempt %d is running", ErrInconsistent, r.Attempt)
	}
	r.Seq, r.End = s.Seq+1, false
	if a.Lost {
		r.Outcome = OutcomeUnknown
	}
	return &JobEnded{Report: r}, nil
}

// End decides the end of an attempt, which is unknown where it is in doubt. output is
// what its step has made of the host, where it succeeds.
func (s *State) End(attempt uint64, outcome uint8, reason string, output []byte) (Record, error) {
	a, err := s.open(attempt)
	if err != nil {
		return nil, ErrEnded
	}
	if a.Lost && outcome != OutcomeUnknown {
		outcome, reason = OutcomeUnknown, doubtReason
	}
	if outcome != OutcomeSucceeded {
		output = nil
	}
	return &AttemptEnded{Report: wire.Report{Seq: s.Seq + 1, Attempt: attempt, End: true,
		Outcome: outcome, Reason: reason, OutputDigest: hex.EncodeToString(a.Digest), Output: output}}, nil
}

// Extend decides to let more of the attempt's jobs start, where there are more.
func (s *State) Extend(attempt uint64) (*WindowExtended, bool) {
	a, err := s.open(attempt)
	if err != nil || a.Window >= a.Jobs {
		return nil, false
	}
	return &WindowExtended{Attempt: attempt, Window: min(a.Jobs, a.Window+WindowJobs)}, true
}

func notStarted(seq, attempt uint64, reason string) wire.Report {
	return wire.Report{Seq: seq, Attempt: attempt, End: true, Outcome: OutcomeNotStarted, Reason: reason}
}

func supersededReason(by uint64) string { return fmt.Sprintf("superseded by attempt %d", by) }
