package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/internal/job"
	"quorate/planner"
)

// A RunRequest asks for an execution of a plan on record.
type RunRequest struct {
	PlanID string
	// RequestID is the client's; a repeat with the same one gets the same run.
	RequestID string
	By        string
	// StepsMax bounds the steps under way, StepsPerHostMax those on one host; 0
	// is the engine's default.
	StepsMax, StepsPerHostMax uint32
	// AheadMax bounds the attempts that one agent holds when steps are sent ahead of
	// what they wait for on the same host; 0 sends none ahead.
	AheadMax              uint32
	FailFast, IgnoreCache bool
	// Check has the agents say what their jobs would do, and do nothing of it.
	Check bool
	// Controller names the agent for local tasks; empty picks one by label.
	Controller string
}

// CreateRun starts a run and returns its id. Where hosts of the plan have no
// agent that may work, nothing is recorded and the conflict names them.
func (o *Orchestrator) CreateRun(ctx context.Context, req RunRequest) (run uint64, err error) {
	if err := checkRequestID(req.RequestID); err != nil {
		return 0, err
	}
	if run, again, err := o.runByRequest(req.RequestID); again || err != nil {
		return run, err
	}
	if err := o.fresh(ctx, func() error { return o.checkRun(req) }); err != nil {
		return 0, err
	}
	_, err = o.propose(ctx, &eventlog.RunCreated{
		PlanID: req.PlanID, RequestID: req.RequestID, By: req.By, StepsMax: req.StepsMax, StepsPerHostMax: req.StepsPerHostMax,
		FailFast: req.FailFast, IgnoreCache: req.IgnoreCache, ControllerAgent: req.Controller, Check: req.Check, AheadMax: req.AheadMax,
		Lines: true, Asks: o.asks(req.PlanID),
	})
	if err = o.forgiveRepeat(err, req.RequestID); err != nil {
		return 0, err
	}
	run, _, err = o.runByRequest(req.RequestID)
	return run, err
}

// asks reports whether jobs of the plan ask other hosts for values, or may: the plan
// cannot be read.
func (o *Orchestrator) asks(planID string) bool {
	plan, err := o.Plan(planID)
	return err != nil || slices.ContainsFunc(plan.Tasks, func(t planner.Task) bool {
		return slices.ContainsFunc(t.Jobs, func(j planner.Job) bool { return Asks(&j.Spec) })
	})
}

// Asks reports whether the job asks other hosts for a value.
func Asks(spec *job.Job) bool { return spec.Verb == "QUERY" || spec.Verb == "QUERY_WAIT" }

func (o *Orchestrator) runByRequest(requestID string) (run uint64, found bool, err error) {
	o.View(func(s *engine.State) {
		if r, ok := s.RunByRequest(requestID); ok {
			run, found = r.ID, true
		} else if _, used := s.RequestIndex(requestID); used {
			err = conflict("request id %q was used for another request", requestID)
		}
	})
	return run, found, err
}

// checkRun refuses a run that could not go on from its first step.
func (o *Orchestrator) checkRun(req RunRequest) (err error) {
	o.View(func(s *engine.State) {
		graph := s.Plans[req.PlanID]
		if graph == nil {
			err = &Error{Code: NotFound, Message: fmt.Sprintf("no plan %.12s on record", req.PlanID), Hint: "submit the plan first"}
			return
		}
		if req.Controller != "" {
			if a := FindAgent(s, req.Controller); a == nil || a.Pending || a.Revoked {
				err = conflict("no agent %q that may run local tasks", req.Controller)
				return
			}
		}
		missing := s.CheckRun(graph)
		if len(missing) == 0 {
			return
		}
		noun := "hosts without an approved agent"
		if len(missing) == 1 {
			noun = "host without an approved agent"
		}
		hint := `enrol each with "quorate token create --name HOST" and "quorate agent", see "quorate agent ls", or leave them out with --limit`
		if slices.Contains(missing, engine.ControllerLabel) {
			local := `local tasks run on an agent with the label controller: enrol one with "quorate token create --name NAME --label controller" and "quorate agent"`
			if len(missing) > 1 {
				local += "; the others: " + hint
			}
			hint = local
		}
		err = &Error{
			Code: Conflict, Message: fmt.Sprintf("%d %s: %s", len(missing), noun, listed(missing)), Hint: hint,
		}
	})
	return err
}

// Cancel asks for the end of a run: nothing new starts and what is under way is
// told to stop.
func (o *Orchestrator) Cancel(ctx context.Context, run uint64, change Change) error {
	if err := checkRequestID(change.RequestID); err != nil {
		return err
	}
	if err := checkReason(change.Reason, false); err != nil {
		return err
	}
	if o.repeated(change.RequestID) {
		return nil
	}
	var again bool
	err := o.fresh(ctx, func() (err error) {
		o.View(func(s *engine.State) {
			r := s.Run(run)
			switch {
			case r == nil:
				err = noRun(run)
			case r.Outcome != 0:
				err = &Error{Code: Conflict, Message: fmt.Sprintf("run %d has ended: %s", run, r.Status()), Hint: fmt.Sprintf("see \"quorate run show %d\"", run)}
			case r.Cancelled != nil:
				again = true
			}
		})
		return err
	})
	if err != nil || again {
		return err
	}
	_, err = o.propose(ctx, &eventlog.RunCancelled{Run: run, By: change.By, Reason: change.Reason, RequestID: change.RequestID})
	return o.forgiveRepeat(err, change.RequestID)
}

// noRun is the error for a run that does not exist.
func noRun(run uint64) error {
	return &Error{Code: NotFound, Message: fmt.Sprintf("no run %d", run), Hint: `"quorate run ls" lists them`}
}

// Resolve decides on the step "<task>@<host>" whose outcome is unknown: as
// succeeded, failed or retry.
func (o *Orchestrator) Resolve(ctx context.Context, run uint64, step, as string, change Change) error {
	if err := checkRequestID(change.RequestID); err != nil {
		return err
	}
	if err := checkReason(change.Reason, true); err != nil {
		return err
	}
	if !slices.Contains([]string{"succeeded", "failed", "retry"}, as) {
		return invalid("resolution %.32q: want succeeded, failed or retry", as)
	}
	if o.repeated(change.RequestID) {
		return nil
	}
	var attempt uint64
	err := o.fresh(ctx, func() (err error) {
		o.View(func(s *engine.State) {
			if r := s.Run(run); r == nil {
				err = noRun(run)
			} else {
				attempt, err = unknownAttempt(r, step)
			}
		})
		return err
	})
	if err != nil {
		return err
	}
	_, err = o.propose(ctx, &eventlog.StepResolved{Attempt: attempt, As: as, Reason: change.Reason, By: change.By, RequestID: change.RequestID})
	return o.forgiveRepeat(err, change.RequestID)
}

// unknownAttempt finds the attempt that a resolution of the step is about.
func unknownAttempt(r *engine.Run, step string) (uint64, error) {
	at := strings.LastIndexByte(step, '@')
	if at < 0 {
		return 0, &Error{Code: Invalid, Message: fmt.Sprintf("step %.80q: want TASK@HOST", step), Hint: fmt.Sprintf("\"quorate run resume %d\" names those that wait for a decision", r.ID)}
	}
	id, host := step[:at], step[at+1:]
	for t := range r.Tasks {
		if r.Graph.Tasks[t].ID != id {
			continue
		}
		for i := range r.Tasks[t].Steps {
			st := &r.Tasks[t].Steps[i]
			if r.Graph.HostName(uint32(t), st.Host) != host {
				continue
			}
			if st.Status != engine.Waiting {
				return 0, &Error{
					Code: Conflict, Message: fmt.Sprintf("step %s of run %d does not wait for a decision: only a step whose outcome is unknown does", step, r.ID),
					Hint: fmt.Sprintf("\"quorate run resume %d\" names those that do", r.ID),
				}
			}
			return st.Attempt, nil
		}
	}
	return 0, &Error{Code: NotFound, Message: fmt.Sprintf("run %d has no step %s", r.ID, step), Hint: fmt.Sprintf("\"quorate run show %d\" lists them", r.ID)}
}

func isVoid(err error) bool { return errors.Is(err, errVoid) }
