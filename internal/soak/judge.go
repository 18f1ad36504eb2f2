package soak

import (
	"fmt"
	"maps"
	"slices"

	"quorate/engine"
	"quorate/eventlog"
)

// faultsMax bounds how many findings of one kind are told.
const faultsMax = 20

// A Judge compares the state of a log with the effects that were counted on the
// hosts. Every job of the soak has one effect, unless it ends before it.
type Judge struct {
	State   *engine.State
	Effects map[Place]int
	faults  []string
	dropped int
}

// A stepJob is one job of one step, whatever its attempts.
type stepJob struct {
	run             uint64
	task, host, job uint32
}

// Faults returns everything that breaks a promise.
func (j *Judge) Faults() []string {
	j.faults, j.dropped = nil, 0
	byStep := map[stepJob]int{}
	for _, at := range slices.SortedFunc(maps.Keys(j.Effects), func(a, b Place) int {
		return int(a.Attempt) - int(b.Attempt)
	}) {
		count := j.Effects[at]
		a := j.State.Attempts[at.Attempt]
		if a == nil {
			j.fault("G3: attempt %d took effect and is not on record", at.Attempt)
			continue
		}
		byStep[stepJob{a.Run, a.Task, a.Host, at.Job}] += count
		if count > 1 {
			j.fault("G3: job %d of %s took effect %d times", at.Job, j.name(a), count)
		}
		if a.Outcome == eventlog.NotStarted {
			j.fault("G3: %s took effect, and is not started on record", j.name(a))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(j.State.Attempts)) {
		j.attempt(j.State.Attempts[id])
	}
	for _, r := range j.State.Runs {
		j.run(r, byStep)
	}
	if j.dropped > 0 {
		j.faults = append(j.faults, fmt.Sprintf("and %d more", j.dropped))
	}
	return j.faults
}

func (j *Judge) fault(format string, args ...any) {
	if len(j.faults) >= faultsMax {
		j.dropped++
		return
	}
	j.faults = append(j.faults, fmt.Sprintf(format, args...))
}

// attempt checks one attempt against the effects, and against its predecessor.
func (j *Judge) attempt(a *engine.Attempt) {
	if a.Outcome == 0 {
		j.fault("G5: %s never ended", j.name(a))
	}
	for job := range a.Jobs.All() {
		count := j.Effects[Place{a.ID, job.Job}]
		if job.Outcome == eventlog.Succeeded && count != 1 {
			j.fault("G3: job %d of %s succeeded with %d effects", job.Job, j.name(a), count)
		}
		if job.Outcome == eventlog.NotStarted && count != 0 {
			j.fault("G3: job %d of %s is not started on record, with %d effects", job.Job, j.name(a), count)
		}
	}
	p := j.State.Attempts[a.Supersedes]
	if p == nil || p.Outcome != eventlog.Unknown {
		return
	}
	if task := j.task(a); !task.Idempotent && p.Resolved == "" {
		j.fault("G4: %s follows the unknown %d, and nobody decided so", j.name(a), p.ID)
	}
}

// run checks what a run amounts to.
func (j *Judge) run(r *engine.Run, byStep map[stepJob]int) {
	if r.Outcome == 0 {
		j.fault("G5: run %d never ended", r.ID)
	}
	for task := range r.Tasks {
		for _, st := range r.Tasks[task].Steps {
			if st.Attempt == 0 {
				continue
			}
			retries := 0
			for a := j.State.Attempts[st.Attempt]; a != nil; a = j.State.Attempts[a.Supersedes] {
				if a.Resolved == "retry" {
					retries++
				}
			}
			j.step(r, uint32(task), st, retries, byStep)
		}
	}
}

// step checks the effects of a step over all its attempts. The soak's operator
// looks before deciding: a job that may not be repeated took effect once.
func (j *Judge) step(r *engine.Run, task uint32, st engine.Step, retries int, byStep map[stepJob]int) {
	about := &r.Graph.Tasks[task]
	for job := range about.Jobs {
		count := byStep[stepJob{r.ID, task, st.Host, job}]
		if !about.Idempotent && count > 1 {
			j.fault("G4: job %d of %s on host %d of run %d took effect %d times (%d retries were decided)", job, about.ID, st.Host, r.ID, count, retries)
		}
		if st.Status == engine.Done && count == 0 {
			j.fault("G3: %s on host %d of run %d succeeded without the effect of job %d", about.ID, st.Host, r.ID, job)
		}
	}
}

func (j *Judge) task(a *engine.Attempt) *eventlog.PlanTask {
	return &j.State.Runs[a.Run-1].Graph.Tasks[a.Task]
}

func (j *Judge) name(a *engine.Attempt) string {
	return fmt.Sprintf("attempt %d (run %d, %s, host %d)", a.ID, a.Run, j.task(a).ID, a.Host)
}
