package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quorate/internal/job"
	"quorate/nodeagent/facts"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/runner"
	"quorate/nodeagent/verb"
	"quorate/nodeagent/wire"
)

// errCancelled is the cause that a cancelled attempt's context ends for.
var errCancelled = errors.New("attempt is cancelled")

// windowAhead is how many jobs before the end of its window it is extended.
const windowAhead = journal.WindowJobs / 2

// runAttempt runs the jobs of an attempt that have not ended, in order, and
// journals its end. It returns runner.ErrLeave where the agent stops before, and
// journal.ErrEnded where the attempt was ended from elsewhere; any other error is
// the journal's.
func (a *agent) runAttempt(ctx context.Context, id uint64) error {
	var at journal.Attempt
	open := false
	a.journal.View(func(s *journal.State) {
		if p, ok := s.Attempt(id); ok && p.Phase == journal.Intent {
			at, open = *p, true
		}
	})
	if !open {
		return journal.ErrEnded
	}
	// What it waited for may have ended while its own records were being synced.
	if err := a.journal.Permit(id); err != nil {
		return err
	}
	step, err := wire.DecodeStep(at.Spec)
	if err != nil {
		return a.endAttempt(id, journal.OutcomeFailed, "the step cannot be read: "+err.Error())
	}
	r := &attemptRun{
		agent: a, id: id, step: step, inputs: at.Inputs, before: begunBefore(&at),
		window: newWindow(a, id, at.Window, at.Jobs), failed: at.Failed, cancelled: at.Cancelled, unknown: at.Lost,
	}
	defer r.finish(0)
	if !step.Check {
		if err := r.begin(a.facts); err != nil {
			return a.endAttempt(id, journal.OutcomeFailed, err.Error())
		}
	}
	for position := at.Ended; ; position++ {
		started := at.Running && position == at.Ended
		r.unknown = r.unknown || a.doubted(id)
		// What has started comes to its end first: nothing of it may outlive the attempt.
		if outcome, reason, over := r.verdict(ctx, position); over && !started {
			return r.endNow(outcome, reason)
		}
		if err := r.job(ctx, position, started, &at); err != nil || r.ended {
			return err
		}
	}
}

// An attemptRun is what is needed to get through the jobs of an attempt.
type attemptRun struct {
	agent  *agent
	id     uint64
	step   *wire.Step
	window *window
	inputs []wire.Input
	// course is by the step's record; nil where there is none, or it is over. loads are
	// as in verb.Env.
	course *facts.Course
	loads  map[string]bool
	before facts.Before

	failed, cancelled, unknown, ended bool
}

// verdict says how the attempt ends, if it ends before the job at the position.
func (r *attemptRun) verdict(ctx context.Context, position uint32) (outcome uint8, reason string, over bool) {
	last := position >= uint32(len(r.step.Jobs))
	switch {
	case r.unknown:
		return journal.OutcomeUnknown, "the outcome of a job is unknown", true
	case r.cancelled:
		return journal.OutcomeCancelled, "", true
	case r.failed && (last || !r.step.KeepGoing):
		return journal.OutcomeFailed, "", true
	case last:
		return journal.OutcomeSucceeded, "", true
	case errors.Is(context.Cause(ctx), errCancelled) && position > 0:
		return journal.OutcomeCancelled, errCancelled.Error(), true
	}
	return 0, "", false
}

// job runs the job at the position, or finds out what became of it where an
// earlier agent started it, and journals its end. Where that ends the attempt too,
// both ends are journalled and reported together.
func (r *attemptRun) job(ctx context.Context, position uint32, started bool, at *journal.Attempt) error {
	a := r.agent
	if err := a.admit(ctx); err != nil {
		return err
	}
	defer func() { <-a.slots }()
	if err := r.window.wait(ctx, position); err != nil {
		return err
	}
	j := &r.step.Jobs[position]
	ref := runner.Ref{Attempt: r.id, Job: j.Index}
	run := &jobRun{agent: a, ref: ref, position: position}
	begin := time.Now().UnixNano()
	var res verb.Result
	resume := false
	if started && r.step.Check {
		run.dropCommand(runner.Process{Pid: at.Process.Pid, StartTicks: at.Process.StartTicks})
	} else if started {
		begin = at.StartedAt
		res, resume = run.pickUp(ctx, j, r, runner.Process{Pid: at.Process.Pid, StartTicks: at.Process.StartTicks})
	}
	if !resume {
		if errors.Is(context.Cause(ctx), runner.ErrLeave) {
			return runner.ErrLeave
		}
		if outcome, reason, over := r.verdict(ctx, position); over {
			r.ended = true
			return r.endNow(outcome, reason)
		}
		begin = time.Now().UnixNano()
		if err := run.begin(begin); err != nil {
			return err
		}
		var err error
		run.again = started
		if res, err = r.perform(ctx, run, j); err != nil {
			return err
		}
	} else if err := r.unseen(j.Index, &res); err != nil {
		return err
	}
	if run.interrupted(ctx, j, res.Outcome) {
		return runner.ErrLeave
	}
	if err := r.afterwards(run, &res); err != nil {
		return err
	}
	r.count(&res)
	return r.journalEnd(ctx, run, position, jobReport(r.id, j.Index, begin, &res), res.Note)
}

// journalEnd puts the end of a job into the journal, with its note before it, and with it
// that of the attempt where nothing follows.
func (r *attemptRun) journalEnd(ctx context.Context, run *jobRun, position uint32, report wire.Report, note []byte) error {
	a := r.agent
	write := a.journal.Append
	if run.restartUnder() != "" {
		// A machine that goes down again would find the restart to be the evidence for
		// all that comes behind it.
		write = a.journal.Commit
	}
	err := write(func(s *journal.State, add func(journal.Record)) error {
		rec, err := s.EndJob(report)
		if err != nil {
			return err
		}
		r.note(note, add)
		add(rec)
		if outcome, reason, over := r.verdict(ctx, position+1); over {
			r.ended = true
			return r.end(s, add, outcome, reason)
		}
		return nil
	})
	if err != nil {
		return err
	}
	a.notify(r.ended)
	if r.ended {
		a.forget(r.id)
	}
	return nil
}

// perform executes the job, unless another one has said that it is to be omitted.
func (r *attemptRun) perform(ctx context.Context, run *jobRun, j *job.Job) (verb.Result, error) {
	if r.step.Check {
		return r.rehearse(ctx, run, j), nil
	}
	by, omitted, err := r.agent.facts.Omitted(r.id)
	if err != nil {
		return verb.Result{}, err
	}
	if omitted {
		return verb.Result{Outcome: verb.Failed, Exit: -1, Info: fmt.Sprintf("Omitted due to sentinel from %d", by)}, nil
	}
	return run.execute(ctx, j, r.env(run)), nil
}

// afterwards is what is journalled of a job before its end: what others may know of
// it, and that it waits for no restart of the host any more that did not come. A
// restart that comes from here on is none of its doing.
func (r *attemptRun) afterwards(run *jobRun, res *verb.Result) error {
	if r.step.Check {
		return nil
	}
	if err := run.publishChanges(r.step, res); err != nil {
		return err
	}
	if under := run.restartUnder(); under == "" || under != r.agent.boot {
		return nil
	}
	return run.askRestart(true)
}

// count takes the outcome of a job into account for the attempt's.
func (r *attemptRun) count(res *verb.Result) {
	switch res.Outcome {
	case verb.Succeeded, verb.Skipped:
	case verb.Cancelled:
		r.cancelled = true
	case verb.Unknown:
		r.unknown = true
	default:
		res.Outcome = verb.Failed
		r.failed = true
	}
}

func jobReport(attempt uint64, index uint32, begin int64, res *verb.Result) wire.Report {
	return wire.Report{
		Attempt: attempt, Job: index, Outcome: res.Outcome, Changed: res.Changed, Exit: res.Exit,
		StartedAt: begin, Duration: max(0, time.Now().UnixNano()-begin),
		Info:   bounded(res.Info, wire.InfoBytesMax),
		Stdout: boundedOutput(res.Stdout), Stderr: boundedOutput(res.Stderr),
	}
}

// bounded cuts text to size.
func bounded(s string, bytesMax int) string {
	if len(s) > bytesMax {
		return s[:bytesMax]
	}
	return s
}

func boundedOutput(o wire.Output) wire.Output {
	o.Size = max(o.Size, int64(len(o.Head)+len(o.Tail)))
	if len(o.Head) > wire.OutputHeadBytesMax {
		o.Head = o.Head[:wire.OutputHeadBytesMax]
	}
	if n := len(o.Tail); n > wire.OutputTailBytesMax {
		o.Tail = o.Tail[n-wire.OutputTailBytesMax:]
	}
	return o
}

// endNow journals the end of the attempt.
func (r *attemptRun) endNow(outcome uint8, reason string) error {
	return r.agent.ending(r.id, func(s *journal.State, add func(journal.Record)) error {
		return r.end(s, add, outcome, bounded(reason, wire.InfoBytesMax))
	})
}

// endAttempt journals the end of an attempt of which nothing runs.
func (a *agent) endAttempt(id uint64, outcome uint8, reason string) error {
	return a.ending(id, func(s *journal.State, add func(journal.Record)) error {
		rec, err := s.End(id, outcome, bounded(reason, wire.InfoBytesMax), nil)
		if err == nil {
			add(rec)
		}
		return err
	})
}

func (a *agent) ending(id uint64, end func(s *journal.State, add func(journal.Record)) error) error {
	if err := a.journal.Append(end); err != nil {
		return err
	}
	a.notify(true)
	a.forget(id)
	return nil
}

// forget gives the files of an attempt up that has ended.
func (a *agent) forget(id uint64) {
	a.provisions.ended(id)
	if err := a.runner.Forget(id); err != nil {
		a.log.Warn("could not remove files of a job", "attempt", id, "error", err)
	}
}

// admit waits for a slot, and for room for another report. The caller gives the
// slot back.
func (a *agent) admit(ctx context.Context) error {
	for {
		acked := a.ackWait()
		full := false
		a.journal.View(func(s *journal.State) { full = s.ReportBytes() >= unackedBytesMax })
		if !full {
			break
		}
		select {
		case <-acked:
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), runner.ErrLeave) {
				return runner.ErrLeave
			}
			full = false
		}
		if !full {
			break
		}
	}
	select {
	case a.slots <- struct{}{}:
		return nil
	case <-a.jobsCtx.Done():
		return runner.ErrLeave
	}
}

// A window follows how many jobs of an attempt may start.
type window struct {
	agent *agent
	id    uint64
	jobs  uint32
	until uint32
	next  chan windowResult // of the extension under way, or nil
}

type windowResult struct {
	until uint32
	err   error
}

func newWindow(a *agent, id uint64, until, jobs uint32) *window {
	return &window{agent: a, id: id, jobs: jobs, until: until}
}

// wait returns when the job at the position may start. It extends the window
// early, so that usually the disk is not waited for.
func (w *window) wait(ctx context.Context, position uint32) error {
	if w.next == nil && w.until < w.jobs && position+windowAhead >= w.until {
		w.next = make(chan windowResult, 1)
		next := w.next
		w.agent.jobs.Go(func() {
			var r windowResult
			r.err = w.agent.journal.Commit(func(s *journal.State, add func(journal.Record)) error {
				// It may have been extended together with others, while it waited.
				if at, ok := s.Attempt(w.id); ok && at.Phase == journal.Intent && at.Window > w.until {
					r.until = at.Window
					return nil
				}
				rec, ok := s.Extend(w.id)
				if !ok {
					return journal.ErrEnded
				}
				add(rec)
				r.until = rec.Window
				return nil
			})
			next <- r
		})
	}
	if position < w.until {
		if w.next == nil {
			return nil
		}
		select {
		case r := <-w.next:
			return w.take(r)
		default:
			return nil
		}
	}
	if w.next == nil {
		return fmt.Errorf("%w: job %d of attempt %d lies behind its window", journal.ErrInconsistent, position, w.id)
	}
	return w.take(<-w.next)
}

func (w *window) take(r windowResult) error {
	w.next = nil
	w.until = max(w.until, r.until)
	return r.err
}
