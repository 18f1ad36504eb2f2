package orchestrator

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/nodeagent/wire"
	"quorate/planner"
)

// problemsListedMax bounds how many of many problems an error names.
const problemsListedMax = 5

// dispatchSpareBytes is what a dispatch has beside its jobs.
const dispatchSpareBytes = 64 << 10

// Bounds of the plans kept decoded.
const (
	plansCachedMax    = 16
	planCacheBytesMax = 64 << 20
)

// RecordPlan puts a plan, whose blobs are uploaded, on record. Recording one
// twice is harmless.
func (o *Orchestrator) RecordPlan(ctx context.Context, planID, by string) error {
	if o.planRecorded(planID) {
		return nil
	}
	if !digestLike(planID) {
		return invalid("plan id %.80q: want a SHA-256 in lower-case hex", planID)
	}
	plan, err := o.Plan(planID)
	if err != nil {
		return err
	}
	if err := o.checkBlobs(ctx, plan); err != nil {
		return err
	}
	if err := o.checkVerbs(plan); err != nil {
		return err
	}
	sizes, err := checkJobs(plan)
	if err != nil {
		return err
	}
	if err := o.spread(ctx, plan, planID); err != nil {
		return err
	}
	recorded := engine.NewPlanRecorded(plan, planID, by)
	for i := range recorded.Tasks {
		recorded.Tasks[i].Bytes = sizes[i]
	}
	_, err = o.propose(ctx, recorded)
	switch {
	case isVoid(err) && o.planRecorded(planID):
		return nil
	case errors.Is(err, eventlog.ErrRefused):
		return &Error{Code: Invalid, Message: fmt.Sprintf("plan %.12s does not fit into the log: %v", planID, err), Err: err}
	}
	return err
}

func (o *Orchestrator) planRecorded(planID string) (recorded bool) {
	o.View(func(s *engine.State) { recorded = s.Plans[planID] != nil })
	return recorded
}

// spread puts the plan's blobs onto the disks of a majority, before the log says
// that there is such a plan.
func (o *Orchestrator) spread(ctx context.Context, plan *planner.Plan, planID string) error {
	if o.cfg.Peers == nil {
		return nil
	}
	if o.cfg.Cluster != nil {
		if _, err := o.members(ctx); err != nil {
			return &Error{Code: Unavailable, Message: "members: " + err.Error(), Hint: "try again", Err: err}
		}
	}
	digests := []string{planID}
	for _, b := range blobsOf(plan) {
		digests = append(digests, b.digest)
	}
	if err := o.cfg.Peers.Replicate(ctx, digests); err != nil {
		return &Error{
			Code: Unavailable, Message: fmt.Sprintf("plan %.12s: %v", planID, err), Err: err,
			Hint: "try again when a majority of the orchestrators is there; what was uploaded stays",
		}
	}
	return nil
}

// checkBlobs wants every input and every shipped file of the plan in the store,
// sound: what was uploaded through another orchestrator is fetched from it.
func (o *Orchestrator) checkBlobs(ctx context.Context, plan *planner.Plan) error {
	var missing []string
	for _, b := range blobsOf(plan) {
		err := o.cfg.Blobs.Check(b.digest)
		if err != nil {
			err = o.fetch(ctx, b.digest, err)
		}
		if err != nil {
			missing = append(missing, fmt.Sprintf("%s (%.12s)", b.name, b.digest))
		}
	}
	if len(missing) > 0 {
		return &Error{Code: Invalid, Message: "blobs of the plan are not uploaded: " + listed(missing), Hint: "upload what POST /v1/blobs/missing names, then submit the plan again"}
	}
	return nil
}

// checkVerbs wants every job of the plan to be one that agents can run.
func (o *Orchestrator) checkVerbs(plan *planner.Plan) error {
	var refused []string
	for t := range plan.Tasks {
		task := &plan.Tasks[t]
		if task.Driver == planner.DriverAnsible {
			refused = append(refused, fmt.Sprintf("task %s (driver %s)", task.ID, task.Driver))
			continue
		}
		for j := range task.Jobs {
			verb := task.Jobs[j].Spec.Verb
			if o.cfg.Verbs == nil {
				continue
			}
			decl, known := o.cfg.Verbs(verb)
			if _, _, brought := task.Jobs[j].Spec.Component(); !known && brought {
				continue // a component, which the agents get with the job
			}
			if !known || !decl.Executable {
				refused = append(refused, fmt.Sprintf("task %s job %d (%s)", task.ID, j+1, verb))
			}
		}
	}
	if len(refused) > 0 {
		return &Error{Code: Invalid, Message: "the plan has what agents of this version cannot run: " + listed(refused), Hint: "leave these tasks out with --limit or --restrict"}
	}
	return nil
}

// checkJobs wants every step to fit into a message, since one that does not could
// be scheduled and never sent, and jobs to be counted from 0: results name them
// by their index. It returns what the step of each task takes at most, in bytes.
func checkJobs(plan *planner.Plan) (sizes []uint32, err error) {
	sizes = make([]uint32, len(plan.Tasks))
	for t := range plan.Tasks {
		task := &plan.Tasks[t]
		for j := range task.Jobs {
			if index := task.Jobs[j].Spec.Index; int(index) != j {
				return nil, invalid("task %s: job %d has index %d", task.ID, j, index)
			}
		}
		names := followedBytes(plan, uint32(t))
		all, err := stepBytes(plan, task.Jobs)
		if err != nil {
			return nil, invalid("task %s: %v", task.ID, err)
		}
		if all += names; all > wire.OrchestratorFrameBytesMax-dispatchSpareBytes {
			return nil, invalid("task %s: its jobs, and what it requires, take %d bytes, more than the %d of a message", task.ID, all, wire.OrchestratorFrameBytesMax)
		}
		if sizes[t], err = largestStep(plan, task, all-names); err != nil {
			return nil, invalid("task %s: %v", task.ID, err)
		}
		sizes[t] += uint32(names)
	}
	return sizes, nil
}

// inputBytes is more than what a dispatch tells of a task that its step requires, beside
// the task's name and the attempts that it waits for.
const inputBytes = 32

// followedBytes is what a dispatch tells at most of what the task's step requires.
func followedBytes(plan *planner.Plan, task uint32) (n int) {
	for _, provider := range plan.Follows(task) {
		n += len(plan.Tasks[provider].ID) + inputBytes
	}
	return n
}

// stepBytes is what a step of the jobs takes, but for its names.
func stepBytes(plan *planner.Plan, jobs []planner.Job) (int, error) {
	step := wire.Step{Vars: plan.Vars}
	for i := range jobs {
		step.Jobs = append(step.Jobs, jobs[i].Spec)
	}
	spec, err := wire.EncodeStep(&step)
	return len(spec), err
}

// largestStep is what the task's step takes on the host that has most of its jobs, where
// one of all of them takes so much.
func largestStep(plan *planner.Plan, task *planner.Task, all int) (uint32, error) {
	elsewhere := func(j planner.Job) bool { return j.HostSet != task.Jobs[0].HostSet }
	if !slices.ContainsFunc(task.Jobs, elsewhere) {
		return uint32(all), nil
	}
	rest, err := stepBytes(plan, nil)
	if err != nil {
		return 0, err
	}
	hosts, most := make([]int, len(plan.Hosts)), 0
	for i := range task.Jobs {
		with, err := stepBytes(plan, task.Jobs[i:i+1])
		if err != nil {
			return 0, err
		}
		for _, h := range plan.HostSets[task.Jobs[i].HostSet] {
			hosts[h] += with - rest
			most = max(most, hosts[h])
		}
	}
	return uint32(rest + most), nil
}

// listed joins the first few of the items.
func listed(items []string) string {
	if more := len(items) - problemsListedMax; more > 0 {
		return strings.Join(items[:problemsListedMax], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(items, ", ")
}

// Plan returns the plan with an id, decoded from its blob. It is shared: nobody
// may change it. A blob that is missing or damaged here is fetched from another
// orchestrator, for which the call waits.
func (o *Orchestrator) Plan(id string) (*planner.Plan, error) {
	plan, err := o.plans.get(id)
	if err == nil || o.fetch(context.Background(), id, err) != nil {
		return plan, err
	}
	return o.plans.get(id)
}

// planCache keeps the plans that were used last, decoded.
type planCache struct {
	blobs *eventlog.Blobs

	mu    sync.Mutex
	byID  map[string]*list.Element
	used  list.List // of *cachedPlan, most recent first
	bytes int
}

type cachedPlan struct {
	plan *planner.Plan
	id   string
	size int
}

// get decodes under the lock: two that want the same plan at once must not both
// pay for it.
func (c *planCache) get(id string) (*planner.Plan, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byID[id]; e != nil {
		c.used.MoveToFront(e)
		return e.Value.(*cachedPlan).plan, nil
	}
	size, err := c.blobs.Size(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{Code: NotFound, Message: fmt.Sprintf("no blob of plan %.12s here", id), Hint: "upload the plan before it is recorded", Err: err}
	}
	if err == nil && size > planner.PlanBytesMax {
		return nil, invalid("plan %.12s: %d bytes are more than %d", id, size, planner.PlanBytesMax)
	}
	// Get checks the digest and Decode that no other bytes encode the same plan.
	data, err := c.blobs.Get(id)
	if err != nil {
		return nil, &Error{Code: Internal, Message: fmt.Sprintf("blob of plan %.12s: %v", id, err), Err: err}
	}
	plan, err := planner.Decode(data)
	if err != nil {
		return nil, &Error{Code: Invalid, Message: fmt.Sprintf("plan %.12s: %v", id, err), Err: err}
	}
	c.keep(&cachedPlan{plan: plan, id: id, size: len(data)})
	return plan, nil
}

// keep adds a plan and drops the ones unused for longest.
func (c *planCache) keep(p *cachedPlan) {
	if c.byID == nil {
		c.byID = map[string]*list.Element{}
	}
	c.byID[p.id] = c.used.PushFront(p)
	c.bytes += p.size
	for len(c.byID) > 1 && (len(c.byID) > plansCachedMax || c.bytes > planCacheBytesMax) {
		last := c.used.Back()
		old := c.used.Remove(last).(*cachedPlan)
		delete(c.byID, old.id)
		c.bytes -= old.size
	}
}

// digestLike reports whether s looks like a SHA-256 in lower-case hex.
func digestLike(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}
