package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"quorate/internal/job"
	"quorate/nodeagent/facts"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/runner"
	"quorate/nodeagent/verb"
)

// A jobRun is one job under way: it gives the verb its shell and remembers what
// happened in it that the verb cannot tell.
type jobRun struct {
	agent    *agent
	ref      runner.Ref
	position uint32
	again    bool // the job was begun before

	mu       sync.Mutex
	leaving  bool
	lost     bool
	finding  runner.Finding // of an earlier agent's process; the first command takes it over
	process  runner.Process
	adopting bool
}

var errLost = errors.New("the command was interrupted together with the agent, and left no exit status")

// env is what the job may use.
func (r *attemptRun) env(run *jobRun) *verb.Env {
	a := r.agent
	return &verb.Env{
		Facts: a.facts, Vars: r.step.Vars, WorkDir: a.workDir,
		JobEnv: []string{
			"QUORATE_RUN=" + strconv.FormatUint(r.step.Run, 10),
			"QUORATE_TASK=" + r.step.Task,
			"QUORATE_HOST=" + r.step.Host,
			"QUORATE_ATTEMPT=" + strconv.FormatUint(r.id, 10),
			"QUORATE_JOB=" + strconv.FormatUint(uint64(run.ref.Job), 10),
		},
		Blob: a.blobs.get, Shell: run.shell, Attempt: r.id, IgnoreCache: r.step.IgnoreCache,
		Fleet:  &fleet{run},
		Course: r.course, Loads: r.loads, Again: run.again,
		Provenance: facts.Origin{Run: r.step.Run, Task: r.step.Task, Attempt: r.id, Job: run.ref.Job},
	}
}

// begin journals that the job starts, at the time in unix nanoseconds.
func (run *jobRun) begin(now int64) error {
	return run.agent.journal.Append(func(s *journal.State, add func(journal.Record)) error {
		rec, err := s.StartJob(run.ref.Attempt, run.position, now)
		if err == nil {
			add(rec)
		}
		return err
	})
}

// execute runs the verb. What the shell knows better than the verb wins: a command
// whose end nobody saw has no definite outcome.
func (run *jobRun) execute(ctx context.Context, j *job.Job, env *verb.Env) verb.Result {
	res := run.agent.execute(ctx, env, j)
	run.mu.Lock()
	defer run.mu.Unlock()
	if run.lost {
		res.Outcome, res.Info = verb.Unknown, errLost.Error()
	}
	return res
}

// shell is the verb's way to run a command.
func (run *jobRun) shell(ctx context.Context, c verb.Command) (verb.Exited, error) {
	run.mu.Lock()
	adopt, lost := run.adopting, run.lost
	run.adopting = false
	run.mu.Unlock()
	if lost {
		// A verb that retries must not: what was lost may have taken effect.
		return verb.Exited{Code: -1}, errLost
	}
	if adopt {
		return run.adopt(ctx, c)
	}
	e, err := run.agent.runner.Run(ctx, runner.Command{
		Ref: run.ref, Script: c.Script, Env: c.Env, Dir: c.Dir, Detach: c.Detach, Started: run.seen,
	})
	return run.exited(e, err)
}

// seen journals the process of the command, so that a restarted agent knows it.
func (run *jobRun) seen(p runner.Process) {
	err := run.agent.journal.Append(func(s *journal.State, add func(journal.Record)) error {
		if a, ok := s.Attempt(run.ref.Attempt); ok && a.Phase == journal.Intent {
			add(&journal.ProcessSeen{Attempt: run.ref.Attempt, Position: run.position,
				Process: journal.Process{Pid: p.Pid, StartTicks: p.StartTicks}})
		}
		return nil
	})
	if err != nil {
		run.agent.broken(err)
	}
}

func (run *jobRun) exited(e runner.Exited, err error) (verb.Exited, error) {
	if errors.Is(err, runner.ErrLeave) {
		run.mu.Lock()
		run.leaving = true
		run.mu.Unlock()
	}
	return verb.Exited{Code: e.Code, Signal: e.Signal, Stdout: e.Stdout, Stderr: e.Stderr}, err
}

// adopt answers the verb's first command with the process that an earlier agent
// started for it.
func (run *jobRun) adopt(ctx context.Context, c verb.Command) (verb.Exited, error) {
	if c.Detach {
		// It was never to be waited for; only whether it started matters.
		if run.finding == runner.Alive {
			return verb.Exited{}, nil
		}
		return verb.Exited{}, run.loseIt()
	}
	if run.finding == runner.Ended {
		run.process = runner.Process{}
	}
	e, lost, err := run.agent.runner.Adopt(ctx, run.ref, run.process)
	if lost {
		return verb.Exited{Code: -1, Stdout: e.Stdout, Stderr: e.Stderr}, run.loseIt()
	}
	return run.exited(e, err)
}

func (run *jobRun) loseIt() error {
	run.mu.Lock()
	run.lost = true
	run.mu.Unlock()
	return errLost
}

// interrupted reports whether the job's result is not its own but comes of the
// agent's stop: the next agent finds out what becomes of it.
func (run *jobRun) interrupted(ctx context.Context, j *job.Job, outcome uint8) bool {
	run.mu.Lock()
	defer run.mu.Unlock()
	if run.leaving {
		return true
	}
	if !errors.Is(context.Cause(ctx), runner.ErrLeave) || outcome == verb.Succeeded || outcome == verb.Skipped {
		return false
	}
	return outcome == verb.Cancelled || j.Verb != verbRun
}

// pickUp finds out what became of a job that an earlier agent started. resume is
// false where the job may simply run (again).
func (run *jobRun) pickUp(ctx context.Context, j *job.Job, r *attemptRun, recorded runner.Process) (res verb.Result, resume bool) {
	finding, process := run.agent.runner.Find(run.ref, recorded)
	v := run.agent.verbs[j.Verb]
	whole := j.Verb == verbRun || verb.IsComponent(j) // its command is all there is to it
	log := run.agent.log.With("attempt", run.ref.Attempt, "job", run.ref.Job, "verb", j.Verb)
	switch {
	case j.Verb == verb.NameReboot:
		before := run.restartUnder()
		if before != "" && before != run.agent.boot {
			return verb.RebootDone(before, run.agent.boot), true
		}
		if before == "" && finding != runner.NotSpawned {
			run.agent.runner.Kill(run.ref, process)
			return verb.Result{Outcome: verb.Failed, Exit: -1, Info: "the host has not restarted"}, true
		}
		log.Info("going on with a restart of the host")
		return verb.Result{}, false
	case v != nil && v.Decl.Idempotent:
		run.agent.runner.Kill(run.ref, process)
		log.Info("running an interrupted job again, which is harmless")
		return verb.Result{}, false
	case !whole:
		run.agent.runner.Kill(run.ref, process)
		return verb.Result{Outcome: verb.Unknown, Exit: -1, Info: fmt.Sprintf("the agent was interrupted while %s was under way", j.Verb)}, true
	case finding == runner.NotSpawned:
		log.Info("running a job whose command had not started")
		return verb.Result{}, false
	}
	log.Info("taking over a command of the agent before", "alive", finding == runner.Alive)
	run.finding, run.process, run.adopting = finding, process, true
	env := r.env(run)
	// What the cache knows of the job it can only know from this very command.
	env.IgnoreCache = true
	res = run.execute(ctx, j, env)
	run.mu.Lock()
	defer run.mu.Unlock()
	if run.lost && !run.adopting && r.repeatable(ctx, env, j) {
		run.lost = false
		log.Info("running an interrupted component again, which is harmless")
		return verb.Result{}, false
	}
	if run.adopting {
		// The verb gave up before its command, so nothing tells how that ended.
		run.agent.runner.Kill(run.ref, process)
		if finding != runner.Alive || res.Outcome != verb.Cancelled {
			res.Outcome, res.Info = verb.Unknown, errLost.Error()
		}
	}
	return res, true
}

// dropCommand ends what a check that was interrupted left running: a question, which
// is put again.
func (run *jobRun) dropCommand(recorded runner.Process) {
	_, process := run.agent.runner.Find(run.ref, recorded)
	run.agent.runner.Kill(run.ref, process)
}

// repeatable reports whether a component may simply run again.
func (r *attemptRun) repeatable(ctx context.Context, env *verb.Env, j *job.Job) bool {
	if !verb.IsComponent(j) {
		return false
	}
	decl, err := verb.Declared(ctx, env, j)
	return err == nil && decl.Idempotent
}

// verbRun is the one built-in verb whose job is exactly one command, which can be
// adopted. Components are the others.
const verbRun = "RUN"
