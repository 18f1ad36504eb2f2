package gateway

import (
	"fmt"
	"slices"

	"quorate/engine"
	"quorate/internal/job"
	"quorate/nodeagent/wire"
	"quorate/planner"
)

// step makes what an attempt does out of the plan. It depends on nothing but the
// attempt and the plan: the agent compares the bytes when it is sent again.
func (g *gateway) step(c *command) (*wire.Step, error) {
	plan, err := g.o.Plan(c.run.PlanID)
	if err != nil {
		return nil, err
	}
	at := &c.attempt
	if int(at.Task) >= len(plan.Tasks) {
		return nil, fmt.Errorf("plan %.12s has no task %d", c.run.PlanID, at.Task)
	}
	task := &plan.Tasks[at.Task]
	step := &wire.Step{
		Run: at.Run, Task: task.ID, Host: c.graph.HostName(at.Task, at.Host),
		Jobs: jobsFor(plan, task, at.Host, at.FromJob), Vars: plan.Vars,
		KeepGoing: task.KeepGoing, IgnoreCache: c.run.IgnoreCache, Check: c.run.Check,
		// A step that lacks jobs says nothing of the whole one.
		Service:  task.Service != "" && !task.Partial,
		FailFast: c.run.FailFast && c.run.Lines,
	}
	if task.Always {
		for i := range step.Jobs {
			step.Jobs[i].SkipCache = true
		}
	}
	if step.Service {
		for _, provider := range plan.Follows(at.Task) {
			if c.graph.Beside(provider, at.Task, at.Host) {
				step.Requires = append(step.Requires, plan.Tasks[provider].ID)
			}
		}
		slices.Sort(step.Requires)
	}
	if !step.Check { // a check tells nobody of anything
		step.Publish = g.keys.of(c.run.PlanID, plan)
	}
	return step, nil
}

// inputs are what the step follows from on other hosts. What it only comes after is not
// told.
func (g *gateway) inputs(c *command) ([]wire.Input, error) {
	if len(c.Inputs) == 0 {
		return nil, nil
	}
	plan, err := g.o.Plan(c.run.PlanID)
	if err != nil {
		return nil, err
	}
	follows := plan.Follows(c.attempt.Task)
	var out []wire.Input
	for _, in := range c.Inputs {
		if _, ok := slices.BinarySearch(follows, in.Task); ok {
			out = append(out, wire.Input{Task: plan.Tasks[in.Task].ID, Output: in.Output, Open: in.Open})
		}
	}
	return out, nil
}

// jobsFor returns the task's jobs for a host, from a job on; for a step without
// host, all of them.
func jobsFor(plan *planner.Plan, task *planner.Task, host, from uint32) []job.Job {
	var jobs []job.Job
	for i := range task.Jobs {
		j := &task.Jobs[i]
		if j.Spec.Index < from {
			continue
		}
		if host != engine.NoHost {
			if _, member := slices.BinarySearch(plan.HostSets[j.HostSet], host); !member {
				continue
			}
		}
		jobs = append(jobs, j.Spec)
	}
	return jobs
}
