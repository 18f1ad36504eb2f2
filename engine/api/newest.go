package api

import (
	"context"
	"net/http"

	"quorate/engine"
)

// StepsQuery is the body of POST /v1/steps/newest: the steps of a plan, which need not
// be on record. Sets of hosts are shared, as in the plan itself.
type StepsQuery struct {
	Schema string   `json:"schema"`
	Hosts  []string `json:"hosts"`
	// HostSets are ascending positions in Hosts.
	HostSets [][]uint32  `json:"host_sets"`
	Tasks    []TaskQuery `json:"tasks"`
}

// TaskQuery is a task of a [StepsQuery].
type TaskQuery struct {
	ID string `json:"id"`
	// HostSet is a position in HostSets; null stands for a task without hosts.
	HostSet *uint32 `json:"host_set"`
}

// StepsNewest answers it: what became of each step in the newest run that did anything
// of it. Runs that only checked do not count, nor does what an agent did that has been
// replaced by another one of its name.
type StepsNewest struct {
	Schema string `json:"schema"`
	// LookedBack is the oldest run that was looked at, 0 where there is none.
	LookedBack uint64 `json:"looked_back"`
	// Tasks are parallel to those of the question.
	Tasks [][]StepsPast `json:"tasks"`
}

// StepsPast are steps of one task that were last touched by the same run, and ended alike.
type StepsPast struct {
	Run    uint64 `json:"run"`
	PlanID string `json:"plan_id"`
	// Status is as of [Step].
	Status string `json:"status"`
	// Changed is true where one of their jobs changed something.
	Changed bool `json:"changed"`
	// Hosts are positions in the question's hosts, ascending. They are left out where
	// they are all of the task's, and of a task without hosts.
	Hosts []uint32 `json:"hosts,omitempty"`
}

// How many runs are looked at for one question, of how many steps it may be, and how
// many are looked at before the log may go on.
const (
	runsLookedBackMax = 100
	stepsAskedMax     = 20_000_000
	stepsAtOnceMax    = 20_000
)

// newestSteps answers with what became of steps in the newest runs that touched them.
func (h *Handler) newestSteps(w http.ResponseWriter, r *http.Request) error {
	var in StepsQuery
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if err := checkSchema(in.Schema); err != nil {
		return err
	}
	l, err := newLookBack(&in)
	if err != nil {
		return err
	}
	var run uint64
	h.o.View(func(s *engine.State) { run = uint64(len(s.Runs)) })
	oldest := uint64(0)
	for looked := 0; run > 0 && looked < runsLookedBackMax && l.open > 0 && r.Context().Err() == nil; run-- {
		if l.through(r.Context(), h.o.View, run) {
			looked++
		}
		oldest = run
	}
	return answer(w, http.StatusOK, StepsNewest{Schema: Schema, LookedBack: oldest, Tasks: l.answer()})
}

// NewestSteps asks what became of steps in the newest runs that touched them.
func (c *Client) NewestSteps(ctx context.Context, q StepsQuery) (*StepsNewest, error) {
	q.Schema = Schema
	return post[StepsNewest](ctx, c, "/v1/steps/newest", &q)
}
