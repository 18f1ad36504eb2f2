package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"quorate/engine/api"
	"quorate/internal/job"
	"quorate/planner"
)

// The states of a job on a node, as Directord's scripts name them.
const (
	oldProcessing = "processing"
	oldSuccess    = "success"
	oldFailed     = "failed"
	oldSkipped    = "skipped" // not run, because something before it failed
	oldUnknown    = "unknown"
)

// An oldJob is one job of a run, as Directord has jobs: with its nodes.
type oldJob struct {
	run  *api.Run
	task string
	spec *job.Job
	// states is what became of it on each node.
	states map[string]string
}

// id is what the job is called: RUN/TASK/JOB. Scripts take it as it is.
func (j *oldJob) id() string { return j.parent() + "/" + strconv.FormatUint(uint64(j.spec.Index), 10) }

// parent is what its orchestration is called: RUN/TASK.
func (j *oldJob) parent() string { return strconv.FormatUint(j.run.ID, 10) + "/" + j.task }

// nodes are the nodes in a state, sorted.
func (j *oldJob) nodes(state string) []string {
	out := []string{}
	for name, s := range j.states {
		if s == state {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// state is that of the whole job: the worst of its nodes that says something.
func (j *oldJob) state() string {
	for _, s := range []string{oldProcessing, oldUnknown, oldFailed, oldSuccess} {
		if len(j.nodes(s)) > 0 {
			return s
		}
	}
	return oldSkipped
}

// planOf fetches a plan.
func planOf(ctx context.Context, client *api.Client, id string) (*planner.Plan, error) {
	r, err := client.Blob(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("plan %.12s: %w", id, err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, planner.PlanBytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("plan %.12s: %w", id, err)
	}
	return planner.Decode(data)
}

// oldJobs are the jobs of a run, in the order in which they are written.
func oldJobs(run *api.Run, plan *planner.Plan) []*oldJob {
	tasks := make([]int, len(plan.Tasks))
	for i := range tasks {
		tasks[i] = i
	}
	slices.SortStableFunc(tasks, func(a, b int) int {
		x, y := plan.Tasks[a].Source, plan.Tasks[b].Source
		return cmp.Or(cmp.Compare(x.File, y.File), cmp.Compare(x.Line, y.Line))
	})
	unknown := unknownHosts(plan)
	var out []*oldJob
	for _, t := range tasks {
		task := &plan.Tasks[t]
		steps := map[string]*api.Step{}
		if t < len(run.Tasks) {
			for i := range run.Tasks[t].Steps {
				steps[run.Tasks[t].Steps[i].Host] = &run.Tasks[t].Steps[i]
			}
		}
		for i := range task.Jobs {
			j := &oldJob{run: run, task: task.ID, spec: &task.Jobs[i].Spec, states: map[string]string{}}
			for _, h := range plan.HostSets[task.Jobs[i].HostSet] {
				j.states[plan.Hosts[h]] = oldState(run, steps[plan.Hosts[h]], j.spec.Index)
			}
			if task.Driver == planner.DriverLocal {
				j.states[controllerName] = oldState(run, steps[controllerName], j.spec.Index)
			}
			for _, h := range unknown[task.Source] {
				j.states[h] = oldSkipped
				if i == 0 { // as on a host where the first one fails
					j.states[h] = oldFailed
				}
			}
			out = append(out, j)
		}
	}
	return out
}

// unknownHosts are the targets that nobody knows, by the orchestration that names them:
// a task beside its own stands for them, with a message for each.
func unknownHosts(plan *planner.Plan) map[planner.Pos][]string {
	hosts := map[planner.Pos][]string{}
	for i := range plan.Tasks {
		if t := &plan.Tasks[i]; t.Driver == planner.DriverMissing {
			for _, m := range t.Messages {
				host, _, _ := strings.Cut(m, " ")
				hosts[t.Source] = append(hosts[t.Source], host)
			}
		}
	}
	return hosts
}

// oldState is what became of a job on the node of a step.
func oldState(run *api.Run, step *api.Step, index uint32) string {
	if step == nil {
		if run.Done() {
			return oldSkipped
		}
		return oldProcessing
	}
	for _, r := range step.Jobs {
		if r.Job != index {
			continue
		}
		switch r.Outcome {
		case "succeeded", "skipped":
			return oldSuccess
		case "unknown":
			return oldUnknown
		}
		return oldFailed
	}
	switch step.Status {
	case "succeeded": // by an attempt before the newest, or by an operator's word
		return oldSuccess
	case "waiting":
		return oldUnknown
	case "pending", "ready", "running":
		if !run.Done() {
			return oldProcessing
		}
	}
	return oldSkipped
}

// oldID reads an ID: RUN, RUN/TASK or RUN/TASK/JOB.
func oldID(text string) (run, task string, index *uint32, ok bool) {
	run, rest, _ := strings.Cut(text, "/")
	if n, err := strconv.ParseUint(run, 10, 64); err != nil || n == 0 {
		return "", "", nil, false
	}
	task, last, hasJob := strings.Cut(rest, "/")
	if hasJob {
		n, err := strconv.ParseUint(last, 10, 32)
		if err != nil {
			return "", "", nil, false
		}
		number := uint32(n)
		index = &number
	}
	return run, task, index, true
}
