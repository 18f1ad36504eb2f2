package api_test

import (
	"math"
	"testing"
	"time"

	"quorate/engine/api"
	"quorate/engine/gateway/gatewaytest"
	"quorate/nodeagent/wire"
)

// TestAnalysis runs two jobs on two hosts that take what the test says.
func TestAnalysis(t *testing.T) {
	rig, c, _ := serve(t)
	took := map[string][]time.Duration{"n1": {2 * time.Millisecond, 3 * time.Millisecond}, "n2": {10 * time.Millisecond, 0}}
	for host, durations := range took {
		rig.Enrol(t, host).MustConnect(t).ServeOn(t, func(d *wire.Dispatch, step *wire.Step) []wire.Report {
			reports := gatewaytest.Succeed(d.Attempt, step)
			for i := range reports {
				if r := &reports[i]; !r.End && !r.Began {
					r.Duration = int64(durations[r.Job])
					if host == "n2" && r.Job == 1 {
						r.Outcome = 2
					}
				}
			}
			return reports
		})
	}
	p := rig.Plan(t, []string{"n1", "n2"}, gatewaytest.Task{ID: "svc-a", Jobs: 2}, gatewaytest.Task{ID: "svc-b", Jobs: 1, After: []uint32{0}})
	submit(t, c, p, "one")
	collect(t, c, "latest", 0)

	a := gatewaytest.Must(c.Analyze(t.Context(), "latest", "svc-a", nil))
	if a.Run != 1 || a.Task != "svc-a" || a.Jobs != 2 || a.Nodes != 2 || a.Succeeded != 3 || a.Failed != 1 {
		t.Errorf("%+v", a)
	}
	if math.Abs(a.ExecutionMS-15) > 1e-9 || math.Abs(a.ExecutionPerJobMS-7.5) > 1e-9 {
		t.Errorf("execution %v, per job %v", a.ExecutionMS, a.ExecutionPerJobMS)
	}
	if *a.FastestExecution != (api.NodeTime{Host: "n1", MS: 5}) || *a.SlowestExecution != (api.NodeTime{Host: "n2", MS: 10}) {
		t.Errorf("fastest %v, slowest %v", a.FastestExecution, a.SlowestExecution)
	}
	if a.FastestRoundTrip.MS <= 0 || a.FastestRoundTrip.MS > a.SlowestRoundTrip.MS || a.RuntimeMS < a.SlowestRoundTrip.MS {
		t.Errorf("round trips %v and %v in %v", a.FastestRoundTrip, a.SlowestRoundTrip, a.RuntimeMS)
	}
	job := uint32(0)
	one := gatewaytest.Must(c.Analyze(t.Context(), "1", "svc-a", &job))
	if one.Jobs != 1 || one.Succeeded != 2 || one.ExecutionMS != 12 || one.SlowestRoundTrip.MS <= 0 || one.RuntimeMS > a.RuntimeMS {
		t.Errorf("%+v", one)
	}
	whole := gatewaytest.Must(c.Analyze(t.Context(), "1", "", nil))
	if whole.Jobs < 2 || whole.RuntimeMS < a.RuntimeMS || whole.Hosts[0].Host != "n1" {
		t.Errorf("%+v", whole)
	}
	job = 9
	for _, tc := range []struct {
		run, task string
		job       *uint32
		code      string
	}{{"2", "", nil, "not-found"}, {"1", "nope", nil, "not-found"}, {"1", "svc-a", &job, "not-found"}, {"1", "", &job, "invalid"}} {
		if _, err := c.Analyze(t.Context(), tc.run, tc.task, tc.job); code(err) != tc.code {
			t.Errorf("%+v: %v", tc, err)
		}
	}
}
