package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/planner"
)

// An outputRef points to the record of a job's result.
type outputRef struct {
	task, host uint32
	attempt    uint64
	index      uint64
}

// output streams what the jobs of a run printed: all attempts of each step, in
// the order of tasks, hosts and records.
func (h *Handler) output(w http.ResponseWriter, r *http.Request) error {
	run, err := h.runIn(r)
	if err != nil {
		return err
	}
	refs, graph, err := h.outputs(run, r.URL.Query().Get("task"), r.URL.Query().Get("host"))
	if err != nil {
		return err
	}
	// Names of jobs are in the plan's blob. Without it the outputs still count.
	plan, _ := h.o.Plan(graph.PlanID)
	out, err := newLines(w)
	if err != nil {
		return nil // nobody reads it
	}
	for _, ref := range refs {
		view, err := h.outputView(r.Context(), graph, plan, ref)
		if err != nil {
			return out.fail(err)
		}
		if err := out.add(view); err != nil {
			return out.fail(err)
		}
		if len(out.buf) >= blobChunkBytes && out.flush() != nil {
			return nil
		}
	}
	_ = out.flush() // a client that is gone gets nothing
	return nil
}

// outputs finds the results of a run, of one task and host where they are given.
func (h *Handler) outputs(run uint64, task, host string) (refs []outputRef, graph *engine.Graph, err error) {
	h.o.View(func(s *engine.State) {
		r := s.Run(run)
		graph = r.Graph
		found := task == ""
		for t := range r.Tasks {
			if task != "" && graph.Tasks[t].ID != task {
				continue
			}
			found = true
			for _, st := range r.Tasks[t].Steps {
				if host == "" || graph.HostName(uint32(t), st.Host) == host {
					refs = appendOutputs(refs, s, st.Attempt)
				}
			}
		}
		if !found {
			err = &Error{Code: "not-found", Message: fmt.Sprintf("run %d has no task %q", run, task)}
		}
	})
	return refs, graph, err
}

// appendOutputs appends the results of an attempt and of those that it follows.
func appendOutputs(refs []outputRef, s *engine.State, attempt uint64) []outputRef {
	first := len(refs)
	for at := s.Attempts[attempt]; at != nil; at = s.Attempts[at.Supersedes] {
		for j := range at.Jobs.All() {
			refs = append(refs, outputRef{at.Task, at.Host, at.ID, j.Index})
		}
	}
	slices.SortFunc(refs[first:], func(a, b outputRef) int {
		if a.index < b.index {
			return -1
		}
		return 1
	})
	return refs
}

func (h *Handler) outputView(ctx context.Context, graph *engine.Graph, plan *planner.Plan, ref outputRef) (*Output, error) {
	records, err := h.o.Records(ctx, ref.index, 1)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("record %d is not in the log", ref.index)
	}
	event, err := eventlog.Decode(records[0].Kind, records[0].Data)
	if err != nil {
		return nil, err
	}
	e, ok := event.(*eventlog.JobEnded)
	if !ok {
		return nil, fmt.Errorf("record %d is a %s, not a job's result", ref.index, event.Kind())
	}
	return OutputView(graph, plan, ref.task, ref.host, e), nil
}

// OutputView shows a job's result with what it printed. The plan, which may be
// nil, gives the job's verb and name.
func OutputView(graph *engine.Graph, plan *planner.Plan, task, host uint32, e *eventlog.JobEnded) *Output {
	view := &Output{
		Schema: Schema, Task: graph.Tasks[task].ID, Host: graph.HostName(task, host), Attempt: e.Attempt, Job: e.Job,
		Outcome: e.Outcome.String(), Changed: e.Changed, Exit: e.Exit, Info: e.Info, DurationMS: e.Duration / 1e6,
	}
	var cut [2]int64
	view.Stdout, cut[0] = printed(&e.Stdout)
	view.Stderr, cut[1] = printed(&e.Stderr)
	view.Truncated = cut[0] + cut[1]
	if plan != nil && int(task) < len(plan.Tasks) && int(e.Job) < len(plan.Tasks[task].Jobs) {
		spec := &plan.Tasks[task].Jobs[e.Job].Spec
		view.Verb, view.Name = spec.Verb, spec.Name
	}
	return view
}

// printed is an output as text; where its middle was dropped, a line says so.
func printed(o *eventlog.Output) (text string, cut int64) {
	head, tail := string(o.Head), string(o.Tail)
	if cut = max(o.Size-int64(len(head)+len(tail)), 0); cut > 0 {
		head += fmt.Sprintf("\n[... %d bytes left out ...]\n", cut)
	}
	return strings.ToValidUTF8(head+tail, "\uFFFD"), cut
}
