package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"quorate/engine"
)

// Analysis is the answer to GET /v1/runs/{id}/analysis (?task=T&job=N): where the
// time of a run, of a task or of one job of a task went. Times are milliseconds.
//
// The execution time is what agents measured of the jobs themselves. The round
// trip is what the log tells: from the record that scheduled an attempt to the one
// that ended it, or the job that is asked for.
type Analysis struct {
	Schema string  `json:"schema"`
	Run    uint64  `json:"run"`
	Task   string  `json:"task,omitempty"`
	Job    *uint32 `json:"job,omitempty"`
	// Jobs counts jobs, Succeeded and Failed their results on hosts.
	Jobs      int `json:"jobs"`
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Nodes     int `json:"nodes"`
	// RuntimeMS is from the first thing scheduled to the last that ended.
	RuntimeMS float64 `json:"runtime_ms"`
	// ExecutionMS is the sum over all results, ExecutionPerJobMS that by Jobs.
	ExecutionMS       float64 `json:"execution_ms"`
	ExecutionPerJobMS float64 `json:"execution_per_job_ms"`
	// The hosts with the least and the most time, summed; nil where nothing ended.
	FastestExecution *NodeTime `json:"fastest_execution,omitempty"`
	SlowestExecution *NodeTime `json:"slowest_execution,omitempty"`
	FastestRoundTrip *NodeTime `json:"fastest_round_trip,omitempty"`
	SlowestRoundTrip *NodeTime `json:"slowest_round_trip,omitempty"`
	// Hosts are by name.
	Hosts []NodeFigures `json:"hosts"`
}

// NodeTime is a time of one host.
type NodeTime struct {
	Host string  `json:"host"`
	MS   float64 `json:"ms"`
}

// NodeFigures are what a host took.
type NodeFigures struct {
	Host        string  `json:"host"`
	Succeeded   int     `json:"succeeded"`
	Failed      int     `json:"failed"`
	ExecutionMS float64 `json:"execution_ms"`
	RoundTripMS float64 `json:"round_trip_ms"`
}

// A timed is one job's on one host, or the rest of an attempt where job is below 0.
type timed struct {
	task, job int64
	host      string
	failed    bool
	execution int64
	// scheduled and ended bound the round trip; ended 0 is not yet known, or that of
	// the record at index.
	scheduled, ended int64
	index            uint64
}

// analysis answers with where the time went.
func (h *Handler) analysis(w http.ResponseWriter, r *http.Request) error {
	id, err := h.runIn(r)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	out := Analysis{Schema: Schema, Run: id, Task: query.Get("task")}
	if text := query.Get("job"); text != "" {
		n, err := strconv.ParseUint(text, 10, 32)
		switch {
		case err != nil:
			return badRequest("job=%.32q: want a number", text)
		case out.Task == "":
			return badRequest("job=%d: want the task too", n)
		}
		job := uint32(n)
		out.Job = &job
	}
	var results []timed
	h.o.View(func(s *engine.State) { results, err = timesOf(s, s.Run(id), out.Task, out.Job) })
	if err != nil {
		return err
	}
	if err := h.addEnds(r.Context(), results); err != nil {
		return err
	}
	out.add(results)
	return answer(w, http.StatusOK, out)
}

// timesOf collects the results of a run, of one task and job where they are given.
func timesOf(s *engine.State, run *engine.Run, task string, job *uint32) ([]timed, error) {
	var out []timed
	found := task == ""
	for t := range run.Tasks {
		if task != "" && run.Graph.Tasks[t].ID != task {
			continue
		}
		found = true
		for _, st := range run.Tasks[t].Steps {
			for at := s.Attempts[st.Attempt]; at != nil; at = s.Attempts[at.Supersedes] {
				out = appendTimes(out, at, run.Graph.HostName(uint32(t), st.Host), job)
			}
		}
	}
	if !found {
		return nil, &Error{Code: "not-found", Message: fmt.Sprintf("run %d has no task %q", run.ID, task), Hint: fmt.Sprintf("\"quorate run show %d\" lists them", run.ID)}
	}
	if job != nil && len(out) == 0 {
		return nil, &Error{Code: "not-found", Message: fmt.Sprintf("task %q of run %d has no result of job %d", task, run.ID, *job), Hint: "jobs are counted from 0"}
	}
	return out, nil
}

func appendTimes(out []timed, at *engine.Attempt, host string, job *uint32) []timed {
	for j := range at.Jobs.All() {
		if job != nil && j.Job != *job {
			continue
		}
		one := timed{task: int64(at.Task), job: int64(j.Job), host: host, failed: j.Outcome.String() != "succeeded", execution: j.Duration}
		if job != nil {
			one.scheduled, one.index = at.ScheduledAt, j.Index
		}
		out = append(out, one)
	}
	if job == nil {
		out = append(out, timed{job: -1, host: host, scheduled: at.ScheduledAt, ended: at.EndedAt})
	}
	return out
}

// addEnds looks up when jobs ended by the log.
func (h *Handler) addEnds(ctx context.Context, results []timed) error {
	for i := range results {
		if results[i].index == 0 {
			continue
		}
		records, err := h.o.Records(ctx, results[i].index, 1)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			return fmt.Errorf("record %d is not in the log", results[i].index)
		}
		results[i].ended = records[0].Time
	}
	return nil
}

// add works out the figures.
func (a *Analysis) add(results []timed) {
	hosts := map[string]*NodeFigures{}
	jobs := map[[2]int64]bool{}
	var first, last int64
	for _, r := range results {
		n := hosts[r.host]
		if n == nil {
			n = &NodeFigures{Host: r.host}
			hosts[r.host] = n
		}
		if r.job >= 0 {
			jobs[[2]int64{r.task, r.job}] = true
			if r.failed {
				n.Failed++
			} else {
				n.Succeeded++
			}
			n.ExecutionMS += millis(r.execution)
		}
		if r.scheduled == 0 {
			continue
		}
		if first == 0 || r.scheduled < first {
			first = r.scheduled
		}
		if r.ended != 0 {
			last = max(last, r.ended)
			n.RoundTripMS += millis(r.ended - r.scheduled)
		}
	}
	a.Jobs, a.Nodes, a.Hosts = len(jobs), len(hosts), []NodeFigures{}
	for _, n := range hosts {
		a.Hosts = append(a.Hosts, *n)
		a.Succeeded, a.Failed, a.ExecutionMS = a.Succeeded+n.Succeeded, a.Failed+n.Failed, a.ExecutionMS+n.ExecutionMS
	}
	slices.SortFunc(a.Hosts, func(x, y NodeFigures) int { return strings.Compare(x.Host, y.Host) })
	if len(jobs) > 0 {
		a.ExecutionPerJobMS = a.ExecutionMS / float64(len(jobs))
	}
	if last > first {
		a.RuntimeMS = millis(last - first)
	}
	a.FastestExecution, a.SlowestExecution = a.extremes(func(n *NodeFigures) float64 { return n.ExecutionMS })
	a.FastestRoundTrip, a.SlowestRoundTrip = a.extremes(func(n *NodeFigures) float64 { return n.RoundTripMS })
}

// extremes are the hosts with the least and the most of a time, of those that have a
// result; of equals the first by name.
func (a *Analysis) extremes(of func(*NodeFigures) float64) (least, most *NodeTime) {
	for i := range a.Hosts {
		n := &a.Hosts[i]
		if n.Succeeded+n.Failed == 0 {
			continue
		}
		ms := of(n)
		if least == nil || cmp.Less(ms, least.MS) {
			least = &NodeTime{n.Host, ms}
		}
		if most == nil || cmp.Less(most.MS, ms) {
			most = &NodeTime{n.Host, ms}
		}
	}
	return least, most
}

func millis(nanos int64) float64 { return float64(nanos) / float64(time.Millisecond) }
