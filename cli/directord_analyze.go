package cli

import (
	"fmt"
	"strconv"

	"quorate/engine/api"
)

// An oldAnalysis has Directord's figures, in seconds, by its names.
type oldAnalysis struct {
	ID                    string `json:"id"`
	TotalJobs             int    `json:"total_jobs"`
	ActualRuntime         string `json:"actual_runtime"`
	FastestNodeExecution  string `json:"fastest_node_execution"`
	SlowestNodeExecution  string `json:"slowest_node_execution"`
	FastestNodeRoundtrip  string `json:"fastest_node_roundtrip"`
	SlowestNodeRoundtrip  string `json:"slowest_node_roundtrip"`
	CombinedExecutionTime string `json:"combined_execution_time"`
	TotalAvgExecutionTime string `json:"total_avg_execution_time"`
	TotalSuccesses        int    `json:"total_successes"`
	TotalFailures         int    `json:"total_failures"`
	TotalNodeCount        int    `json:"total_node_count"`
}

func oldAnalysisOf(id string, a *api.Analysis) *oldAnalysis {
	name := func(n *api.NodeTime) string {
		if n == nil {
			return "None"
		}
		return n.Host
	}
	seconds := func(ms float64) string { return fmt.Sprintf("%.8f", ms/1000) }
	return &oldAnalysis{
		ID: id, TotalJobs: a.Jobs, ActualRuntime: seconds(a.RuntimeMS),
		FastestNodeExecution: name(a.FastestExecution), SlowestNodeExecution: name(a.SlowestExecution),
		FastestNodeRoundtrip: name(a.FastestRoundTrip), SlowestNodeRoundtrip: name(a.SlowestRoundTrip),
		CombinedExecutionTime: seconds(a.ExecutionMS), TotalAvgExecutionTime: seconds(a.ExecutionPerJobMS),
		TotalSuccesses: a.Succeeded, TotalFailures: a.Failed, TotalNodeCount: a.Nodes,
	}
}

// analyzeParent answers for a parent, RUN/TASK, or for a whole run. One that there
// is none of is no failure: Directord's scripts read the table.
func (m *oldManager) analyzeParent(id string) error {
	run, task, index, ok := oldID(id)
	if ok && index == nil {
		a, err := m.client.Analyze(m.ctx, run, task, nil)
		if err == nil {
			return m.printObject(oldAnalysisOf(id, a))
		}
		if !notFound(err) {
			return err
		}
	}
	return m.printObject(map[string]string{"id": "PARENT_ID_NOT_FOUND"})
}

func (m *oldManager) analyzeJob(id string) error {
	run, task, index, ok := oldID(id)
	if !ok || index == nil {
		return m.noData()
	}
	a, err := m.client.Analyze(m.ctx, run, task, index)
	if notFound(err) {
		return m.noData()
	}
	if err != nil {
		return err
	}
	return m.printObject(oldAnalysisOf(id, a))
}

// analyzeAll has a row for each parent of each run.
func (m *oldManager) analyzeAll() error {
	jobs, err := m.allJobs()
	if err != nil {
		return err
	}
	if len(jobs) == 0 {
		return m.noData()
	}
	t := &oldTable{header: []string{"ID", "TOTAL_JOBS", "ACTUAL_RUNTIME", "COMBINED_EXECUTION_TIME", "TOTAL_SUCCESSES", "TOTAL_FAILURES", "TOTAL_NODE_COUNT"}}
	seen := map[string]bool{}
	for _, j := range jobs {
		if seen[j.parent()] {
			continue
		}
		seen[j.parent()] = true
		a, err := m.client.Analyze(m.ctx, strconv.FormatUint(j.run.ID, 10), j.task, nil)
		if err != nil {
			return err
		}
		o := oldAnalysisOf(j.parent(), a)
		t.rows = append(t.rows, []string{o.ID, strconv.Itoa(o.TotalJobs), o.ActualRuntime, o.CombinedExecutionTime,
			strconv.Itoa(o.TotalSuccesses), strconv.Itoa(o.TotalFailures), strconv.Itoa(o.TotalNodeCount)})
	}
	if err := m.printOld(t); err != nil {
		return err
	}
	_, err = fmt.Fprintf(m.con.out, "\nTotal Items: %d\n", len(t.rows))
	return err
}
