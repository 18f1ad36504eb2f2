package orchestrator

import (
	"context"
	"fmt"

	"quorate/engine"
	"quorate/eventlog"
)

// A RetryRequest asks for a run that does what another one has left.
type RetryRequest struct {
	// RequestID is the client's; a repeat with the same one gets the same run.
	RequestID, By, Reason string
	// Unknown says that steps whose outcome nobody knows are done once more, too.
	Unknown bool
	// IgnoreCache runs jobs that were done before.
	IgnoreCache bool
}

// Retry starts a run of the same plan, with the same limits, in which all that has
// succeeded in the other one counts as done, and returns its id.
func (o *Orchestrator) Retry(ctx context.Context, run uint64, req RetryRequest) (retry uint64, err error) {
	if err := checkRequestID(req.RequestID); err != nil {
		return 0, err
	}
	if err := checkReason(req.Reason, req.Unknown); err != nil {
		return 0, err
	}
	if retry, again, err := o.runByRequest(req.RequestID); again || err != nil {
		return retry, err
	}
	var e *eventlog.RunCreated
	err = o.fresh(ctx, func() (err error) {
		o.View(func(s *engine.State) { e, err = retryOf(s, run, req) })
		return err
	})
	if err != nil {
		return 0, err
	}
	e.Lines, e.Asks = true, o.asks(e.PlanID)
	_, err = o.propose(ctx, e)
	if err = o.forgiveRepeat(err, req.RequestID); err != nil {
		return 0, err
	}
	retry, _, err = o.runByRequest(req.RequestID)
	return retry, err
}

// retryOf is the run that retries the other one, or why there can be none.
func retryOf(s *engine.State, run uint64, req RetryRequest) (*eventlog.RunCreated, error) {
	r := s.Run(run)
	if r == nil {
		return nil, noRun(run)
	}
	if r.Outcome == 0 {
		return nil, &Error{
			Code: Conflict, Message: fmt.Sprintf("run %d goes on: it is %s", run, r.Status()),
			Hint: fmt.Sprintf("wait for its end with \"quorate run wait %d\", or end it with \"quorate run cancel %d\"", run, run),
		}
	}
	if by := s.RetriedBy(run); by != 0 {
		return nil, &Error{
			Code: Conflict, Message: fmt.Sprintf("run %d retries run %d already", by, run), Hint: fmt.Sprintf("see \"quorate run show %d\", and retry that one", by),
		}
	}
	left := s.Leftover(r)
	switch {
	case left.Steps == 0:
		return nil, &Error{
			Code: Conflict, Message: fmt.Sprintf("run %d leaves nothing to be done: all of its steps have succeeded", run),
			Hint: "\"quorate apply\" of the same files runs what has changed since, and with --ignore-cache everything",
		}
	case len(left.Unknown) > 0 && !req.Unknown:
		return nil, &Error{
			Code: Conflict, Message: fmt.Sprintf("nobody knows whether %d of the steps of run %d had their effect: %s", len(left.Unknown), run, listed(left.Unknown)),
			Hint: fmt.Sprintf("look at the hosts; \"quorate run retry %d --unknown --reason TEXT\" does them once more", run),
		}
	case len(left.Missing) > 0:
		return nil, &Error{
			Code: Conflict, Message: fmt.Sprintf("no approved agent for %s", listed(left.Missing)),
			Hint: `enrol each with "quorate token create --name HOST" and "quorate agent", see "quorate agent ls"`,
		}
	}
	e := r.RunCreated
	e.RequestID, e.By, e.RetryOf = req.RequestID, req.By, run
	e.RetryUnknown, e.RetryReason = req.Unknown && len(left.Unknown) > 0, req.Reason
	e.IgnoreCache = e.IgnoreCache || req.IgnoreCache
	return &e, nil
}
