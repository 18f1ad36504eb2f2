package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"quorate/engine/api"
)

// A following is what it takes to follow a run.
type following struct {
	client  *api.Client
	run     uint64
	timeout time.Duration // 0 is no limit
	// embedded is set where the run lives in this process.
	embedded *embedded
	// quiet follows without showing the way there.
	quiet bool
	// outputs shows what all jobs printed, not only those that failed.
	outputs bool
	// diffs shows how the files of a check would change.
	diffs bool
}

func (f *following) id() string { return strconv.FormatUint(f.run, 10) }

// errWaiting says that a run goes on only after an operator's word.
var errWaiting = errors.New("waiting for an operator")

// follow shows a run's events until it ends, or until it needs an operator, and
// then what became of it.
func (p *program) follow(ctx context.Context, f following) error {
	limited := ctx
	if f.timeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, f.timeout)
		defer cancel()
	}
	show := p.reporter(f.quiet)
	err := f.events(limited, show)
	show.close()
	switch {
	case ctx.Err() != nil:
		return p.detached(f)
	case limited.Err() != nil:
		return fail(exitTimeout, fmt.Errorf("run %d has not ended after %s; it goes on", f.run, f.timeout), comeBack(f))
	case err != nil && !errors.Is(err, errWaiting):
		return hinted(err, "%s", comeBack(f))
	}
	return p.conclude(ctx, f)
}

// events watches until the run ends or waits for an operator. A lost connection
// is made again: the client goes on behind the last event it saw.
func (f *following) events(ctx context.Context, show reporter) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	events, failed := f.watch(ctx)
	redraw := time.NewTicker(redrawEvery)
	defer redraw.Stop()
	absent := f.watchAbsence()
	defer absent.timer.Stop()
	for {
		select {
		case <-redraw.C:
			show.tick()
		case <-absent.timer.C:
			absent.due(ctx)
		case why := <-absent.found:
			if why = absent.news(why); why != "" {
				if err := show.waiting(why); err != nil {
					return err
				}
			}
		case event, more := <-events:
			if !more {
				select {
				case err := <-failed:
					return err
				default:
					return ctx.Err()
				}
			}
			absent.event(event)
			if err := show.event(event); err != nil {
				return err
			}
			if event.Type == "run-waiting" && f.needsOperator(ctx) {
				return errWaiting
			}
		}
	}
}

// watch gives the run's events until they end, which closes events; where they end for an
// error, that is in failed before.
func (f *following) watch(ctx context.Context) (events chan api.RunEvent, failed chan error) {
	events, failed = make(chan api.RunEvent), make(chan error, 1)
	go func() {
		defer close(events)
		seen := false
		err := persist(ctx, func() error {
			for event, err := range f.client.Watch(ctx, f.id(), 0) {
				if err != nil && seen {
					return final{err} // the client has tried again for long enough
				}
				if err != nil {
					return err
				}
				seen = true
				select {
				case events <- event:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
		if err != nil {
			failed <- err
		}
	}()
	return events, failed
}

// show returns the run as it is, from an orchestrator that may just be restarting.
func (f *following) show(ctx context.Context) (run *api.Run, err error) {
	err = persist(ctx, func() error {
		run, err = f.client.Run(ctx, f.id())
		return err
	})
	return run, err
}

// needsOperator tells a run that waits now from one that did when the event was
// written, and an unknown outcome from an agent that is away for a while.
func (f *following) needsOperator(ctx context.Context) bool {
	run, err := f.show(ctx)
	return err == nil && run.Status == "waiting" && len(stepsOf(run, "waiting")) > 0
}

// detached says how to come back to a run that this process leaves.
func (p *program) detached(f following) error {
	if f.embedded != nil {
		return fail(exitInterrupted, fmt.Errorf("interrupted: run %d is suspended; jobs under way are left to finish", f.run),
			fmt.Sprintf("the same command with --embedded --data-dir %s resumes it", f.embedded.dir))
	}
	return fail(exitInterrupted, fmt.Errorf("detached: run %d goes on", f.run), comeBack(f))
}

func comeBack(f following) string {
	return fmt.Sprintf("come back with %q, or end it with %q", fmt.Sprintf("quorate run watch %d", f.run), fmt.Sprintf("quorate run cancel %d", f.run))
}

// conclude prints the summary of a run and returns its exit code.
func (p *program) conclude(ctx context.Context, f following) error {
	run, err := f.show(ctx)
	if err != nil {
		return err
	}
	switch p.format() {
	case formatNDJSON: // the events said it
	case formatTable:
		if run.Check && (f.diffs || !f.quiet) {
			if err := p.printChecked(ctx, f.client, run, f.diffs); err != nil {
				return err
			}
		} else if f.outputs && !run.Check {
			if err := p.printOutputs(ctx, f.client, f.id(), "", ""); err != nil {
				return err
			}
		}
		if err := p.printSummary(ctx, f.client, run, !f.outputs && !run.Check); err != nil {
			return err
		}
	default:
		if err := p.emit(run, nil); err != nil {
			return err
		}
	}
	err = p.verdict(run)
	if f.embedded != nil && run.Status == "waiting" {
		return fail(exitWaiting, err, append([]string{fmt.Sprintf(
			"nobody serves this run now: do it with \"quorate dev --agents 0 --data-dir %s\", and in another terminal with --server %s",
			f.embedded.dir, f.embedded.node.address())}, classify(err).hints...)...)
	}
	return err
}

// verdict is the exit code of a run.
func (p *program) verdict(run *api.Run) error {
	switch run.Status {
	case "succeeded":
		return nil
	case "failed":
		return fail(exitRunFailed, fmt.Errorf("run %d ended with failures", run.ID), fmt.Sprintf("see %q", fmt.Sprintf("quorate run output %d", run.ID)))
	case "cancelled":
		return fail(exitRunFailed, fmt.Errorf("run %d was cancelled", run.ID))
	case "waiting":
		steps := stepsOf(run, "waiting")
		if len(steps) == 0 {
			return fail(exitWaiting, fmt.Errorf("run %d is waiting: %s", run.ID, some(run.WaitingFor, hostsShownMax)))
		}
		noun := "steps"
		if len(steps) == 1 {
			noun = "step"
		}
		hints := []string{"find out on the host whether it took effect, and say so:"}
		for _, s := range steps[:min(len(steps), stepsShownMax)] {
			hints = append(hints, fmt.Sprintf("quorate run resolve %d %s --as succeeded|failed|retry --reason TEXT", run.ID, s.ID))
		}
		return fail(exitWaiting, fmt.Errorf("run %d is waiting for an operator: the outcome of %d %s is unknown", run.ID, len(steps), noun), hints...)
	}
	return fail(exitError, fmt.Errorf("run %d is %s", run.ID, run.Status))
}

// stepsOf are the steps of a run with a status.
func stepsOf(run *api.Run, status string) []api.Step {
	var out []api.Step
	for _, t := range run.Tasks {
		for _, s := range t.Steps {
			if s.Status == status {
				out = append(out, s)
			}
		}
	}
	return out
}

// final is an error that repeating the command would not mend.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// transient reports whether a command may yet succeed when it is repeated.
func transient(err error) bool {
	var answered *api.Error
	if errors.As(err, new(final)) {
		return false
	}
	if errors.As(err, &answered) {
		// Who says that nothing was recorded has waited for a majority already.
		return answered.Code == "unavailable" && !answered.Unrecorded
	}
	return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}
