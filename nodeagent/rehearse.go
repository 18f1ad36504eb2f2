package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"quorate/internal/job"
	"quorate/nodeagent/facts"
	"quorate/nodeagent/verb"
)

// rehearsalsMax bounds the runs that only check whose memory is kept between steps.
const rehearsalsMax = 8

// A rehearsal is what the jobs of a run that only checks would have left in the
// agent's memory: those behind find it there, and the memory itself does not change.
type rehearsal struct {
	run   uint64
	facts *facts.Store
	users int // steps that use it; guarded by rehearsals.mu

	mu sync.Mutex
	// certain is false from where a job would have changed something on.
	certain bool
}

// rehearsals are the newest of them, oldest first.
type rehearsals struct {
	dir string

	mu  sync.Mutex
	all []*rehearsal
}

// newRehearsals drops what an earlier agent rehearsed: it cannot tell any more what
// jobs it has seen.
func newRehearsals(dir string) (*rehearsals, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("rehearsals: %w", err)
	}
	return &rehearsals{dir: dir}, nil
}

// enter returns the rehearsal of a run. begun is false where jobs of the run may have
// been seen by an earlier agent, so that nothing is certain. The caller leaves it.
func (r *rehearsals) enter(run uint64, memory *facts.Store, begun bool) (*rehearsal, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.all {
		if x.run == run {
			x.users++
			return x, nil
		}
	}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return nil, fmt.Errorf("rehearsal: %w", err)
	}
	store, err := memory.Branch(r.path(run))
	if err != nil {
		return nil, fmt.Errorf("rehearsal: %w", err)
	}
	x := &rehearsal{run: run, facts: store, users: 1, certain: begun}
	r.all = append(r.all, x)
	return x, r.trim(rehearsalsMax)
}

func (r *rehearsals) path(run uint64) string {
	return filepath.Join(r.dir, strconv.FormatUint(run, 10)+".db")
}

func (r *rehearsals) leave(x *rehearsal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x.users--
}

// trim drops the oldest rehearsals that nobody uses.
func (r *rehearsals) trim(most int) (all error) {
	excess := len(r.all) - most
	kept := r.all[:0]
	for _, x := range r.all {
		if excess <= 0 || x.users > 0 {
			kept = append(kept, x)
			continue
		}
		excess--
		all = errors.Join(all, x.facts.Close(), os.Remove(r.path(x.run)))
	}
	r.all = kept
	return all
}

// close ends what is left; whoever still uses one finds it closed.
func (r *rehearsals) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.all {
		x.users = 0
	}
	return errors.Join(r.trim(0), os.RemoveAll(r.dir))
}

// rehearse finds out what a job would do, and does nothing of it.
func (r *attemptRun) rehearse(ctx context.Context, run *jobRun, j *job.Job) verb.Result {
	x, err := r.agent.rehearsals.enter(r.step.Run, r.agent.facts, r.before == facts.NotBegun)
	if err != nil {
		return verb.Result{Outcome: verb.Failed, Exit: -1, Info: err.Error()}
	}
	defer r.agent.rehearsals.leave(x)
	if r.course == nil {
		if err := r.begin(x.facts); err != nil {
			return verb.Result{Outcome: verb.Failed, Exit: -1, Info: err.Error()}
		}
	}
	env := r.env(run)
	env.Facts = x.facts
	x.mu.Lock()
	certain := x.certain
	x.mu.Unlock()
	out := verb.Rehearse(ctx, env, j, certain)
	x.mu.Lock()
	x.certain = x.certain && out.Certain
	x.mu.Unlock()
	return out.Result
}
