package orchestrator_test

import (
	"strings"
	"testing"

	"quorate/engine"
	"quorate/internal/job"
	"quorate/planner"
)

// TestPlanBytes: the log tells of each task what its step takes on the host that has
// most of its jobs, so that what is sent ahead can be bounded by it.
func TestPlanBytes(t *testing.T) {
	o := start(t, newElectable(t), lookup)
	jobs := func(sets ...uint32) (jobs []planner.Job) {
		for i, set := range sets {
			run := job.Job{Index: uint32(i), Verb: "RUN", Text: strings.Repeat("x", 1000), Fingerprint: strings.Repeat("0", 56)}
			jobs = append(jobs, planner.Job{Spec: run, HostSet: set})
		}
		return jobs
	}
	p := &planner.Plan{
		Format: planner.FormatVersion, PlannerVersion: "test", Hosts: []string{"a", "b"}, HostSets: [][]uint32{{0, 1}, {0}, {1}},
		Tasks: []planner.Task{
			{ID: "s-all", Service: "s", Name: "all", Driver: planner.DriverDirectord, Jobs: jobs(0, 0, 0)},
			{ID: "s-apart", Service: "s", Name: "apart", Driver: planner.DriverDirectord, Jobs: jobs(1, 2, 2, 0)},
		},
	}
	id, err := o.Blobs().PutBytes(p.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if err := o.RecordPlan(t.Context(), id, "test"); err != nil {
		t.Fatal(err)
	}
	o.View(func(s *engine.State) {
		for i := range s.Plans[id].Tasks {
			if n := s.Plans[id].Tasks[i].Bytes; n < 3000 || n > 3400 {
				t.Errorf("task %s takes %d bytes of three jobs of 1000", s.Plans[id].Tasks[i].ID, n)
			}
		}
	})
}
