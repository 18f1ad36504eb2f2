package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
	"quorate/planner"
)

// predict compares a plan with what is on record of its tasks. Without an orchestrator
// that answers there is nothing to compare with, and that is said.
func (p *program) predict(c *cli.Context, made *compilation, opt planner.Options) ([]planner.Verdict, error) {
	client, err := p.dial()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	h, err := p.history(c.Context, client, made)
	if err != nil && c.Context.Err() == nil {
		p.con.warn("not compared with what has run: %v", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	h.Verbs = opt.Verbs
	return made.plan.Predict(h), nil
}

// history asks the cluster what is on record of the tasks of a plan.
func (p *program) history(ctx context.Context, client *api.Client, made *compilation) (*planner.History, error) {
	q := api.StepsQuery{Hosts: made.plan.Hosts, HostSets: made.plan.HostSets, Tasks: []api.TaskQuery{}}
	for i := range made.plan.Tasks {
		t := &made.plan.Tasks[i]
		ask := api.TaskQuery{ID: t.ID}
		if t.Driver == planner.DriverDirectord {
			ask.HostSet = &t.HostSet
		}
		q.Tasks = append(q.Tasks, ask)
	}
	found, err := client.NewestSteps(ctx, q)
	if err != nil {
		return nil, err
	}
	if len(found.Tasks) != len(q.Tasks) {
		return nil, fmt.Errorf("the orchestrator answers about %d tasks of %d", len(found.Tasks), len(q.Tasks))
	}
	plans := map[string]*planner.Plan{made.plan.ID(): made.plan}
	h := &planner.History{Content: made.contents(ctx, client.Blob)}
	for _, all := range found.Tasks {
		var past []planner.Past
		for _, f := range all {
			plan, known := plans[f.PlanID]
			if !known {
				if plan, err = recordedPlan(ctx, client, f.PlanID); err != nil {
					p.con.warn("plan %.12s of run %d: %v", f.PlanID, f.Run, err)
				}
				plans[f.PlanID] = plan
			}
			past = append(past, planner.Past{Hosts: f.Hosts, Run: f.Run, Status: f.Status, Changed: f.Changed, Plan: plan})
		}
		h.Tasks = append(h.Tasks, past)
	}
	return h, nil
}

// recordedPlan reads a plan that is on record.
func recordedPlan(ctx context.Context, client *api.Client, id string) (*planner.Plan, error) {
	data, err := readBlob(ctx, client.Blob, id)
	if err != nil {
		return nil, err
	}
	return planner.Decode(data)
}

// shippedBytesMax is the size of the largest file that is looked into for arguments.
const shippedBytesMax = 4 << 20

// contents reads what the plan ships here, and what earlier ones did from the cluster.
func (c *compilation) contents(ctx context.Context, open blobOpener) func(digest string) ([]byte, error) {
	here := map[string]planner.Blob{}
	for _, b := range c.inputs.Blobs() {
		here[b.Digest] = b
	}
	read := map[string][]byte{}
	return func(digest string) (data []byte, err error) {
		if data, known := read[digest]; known {
			return data, nil
		}
		b, known := here[digest]
		switch {
		case known && b.Size > shippedBytesMax:
			return nil, errors.New("the file is too large to be looked into")
		case known && b.Path != "":
			data, err = os.ReadFile(b.Path)
		case known:
			data = b.Content
		default:
			data, err = readBlob(ctx, open, digest)
		}
		if err == nil {
			read[digest] = data
		}
		return data, err
	}
}

// printPrediction prints what a run of the plan would do, and why.
func (p *program) printPrediction(view *planner.PlanView) error {
	g := &grid{header: []any{"LEVEL", "TASK", "HOSTS", "JOBS", "ACTION", "WHY"}}
	runs := 0
	for _, t := range view.Tasks {
		hosts := t.Hosts
		if t.Action == planner.ActionRun {
			runs++
			if len(t.RunsOn) > 0 {
				hosts = t.RunsOn
			}
		}
		g.add(t.Level, t.ID, some(hosts, hostsShownMax), t.Jobs, t.Action, t.Reason)
	}
	if err := p.printGrid(g); err != nil {
		return err
	}
	fmt.Fprintln(p.con.out)
	return p.prose("", "plan %.12s: %d of %d tasks would run, by what is on record; agents have the last word", view.PlanID, runs, len(view.Tasks))
}
