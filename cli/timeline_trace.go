package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"quorate/engine/history"
)

// A traceFile is what ui.perfetto.dev and chrome://tracing read, in the Trace Event
// Format's JSON object form.
type traceFile struct {
	TraceEvents     []traceEvent      `json:"traceEvents"`
	DisplayTimeUnit string            `json:"displayTimeUnit"`
	OtherData       map[string]string `json:"otherData"`
}

// A traceEvent is one event: X a span, i a moment, M the name of a process or a thread,
// s, t and f the beginning, middle and end of an arrow. Times are microseconds from the
// run's beginning.
type traceEvent struct {
	Name  string         `json:"name"`
	Cat   string         `json:"cat,omitempty"`
	Ph    string         `json:"ph"`
	TS    float64        `json:"ts"`
	Dur   *float64       `json:"dur,omitempty"`
	PID   int            `json:"pid"`
	TID   int            `json:"tid"`
	ID    int            `json:"id,omitempty"`
	Scope string         `json:"s,omitempty"`
	Bind  string         `json:"bp,omitempty"`
	Args  map[string]any `json:"args,omitempty"`
}

// tracePath is the process of the critical path; hosts follow.
const tracePath = 1

// timelineTrace writes the run with a process for each host, in which steps that
// overlap have threads of their own, and one for the critical path.
func timelineTrace(w io.Writer, t *history.Timeline) error {
	b := &tracing{t: t, pids: map[string]int{}, lanes: map[string][]int64{}, places: map[string]tracePlace{}}
	b.name(tracePath, 0, "process_name", fmt.Sprintf("run %d: critical path", t.Run))
	b.name(tracePath, 1, "thread_name", "steps")
	for _, l := range t.Leaders {
		b.add(traceEvent{
			Name: fmt.Sprintf("orchestrator %d leads", l.Replica), Cat: "leader", Ph: "i", Scope: "g",
			TS: b.micros(l.At.UnixNano()), PID: tracePath, TID: 1, Args: map[string]any{"seq": l.Seq},
		})
	}
	for _, s := range byReady(t) {
		b.step(s)
	}
	b.path()
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(traceFile{b.events, "ms", map[string]string{
		"run": fmt.Sprint(t.Run), "plan": t.PlanID, "status": t.Status, "created_at": stamp(t.CreatedAt),
	}})
}

// byReady are the steps that became ready, in that order.
func byReady(t *history.Timeline) (steps []*history.StepTime) {
	for i := range t.Steps {
		if s := &t.Steps[i]; s.Ready != nil { // the others only waited
			steps = append(steps, s)
		}
	}
	slices.SortStableFunc(steps, func(a, b *history.StepTime) int { return a.Ready.Time.Compare(b.Ready.Time) })
	return steps
}

type tracing struct {
	t      *history.Timeline
	events []traceEvent
	pids   map[string]int
	lanes  map[string][]int64 // by host, until when each thread is taken
	places map[string]tracePlace
}

// A tracePlace is where a step was drawn.
type tracePlace struct{ pid, tid int }

func (b *tracing) add(e traceEvent) { b.events = append(b.events, e) }

func (b *tracing) micros(nanos int64) float64 {
	return float64(nanos-b.t.CreatedAt.UnixNano()) / 1000
}

func (b *tracing) name(pid, tid int, what, name string) {
	b.add(traceEvent{Name: what, Ph: "M", PID: pid, TID: tid, Args: map[string]any{"name": name}})
}

func (b *tracing) span(name, cat string, at tracePlace, from, to int64, args map[string]any) {
	dur := float64(to-from) / 1000
	b.add(traceEvent{Name: name, Cat: cat, Ph: "X", TS: b.micros(from), Dur: &dur, PID: at.pid, TID: at.tid, Args: args})
}

// step draws a step from when it was ready, with what its time went into inside of it.
func (b *tracing) step(s *history.StepTime) {
	from, to := s.Ready.Time.UnixNano(), b.t.Until.UnixNano()
	if s.Committed != nil {
		to = s.Committed.Time.UnixNano()
	}
	at := b.place(s.Host, from, to)
	b.places[s.Step] = at
	args := map[string]any{"status": s.Status, "ready_seq": s.Ready.Seq, "waited_for": s.Behind, "critical": s.Critical}
	if s.Committed != nil {
		args["settled_seq"] = s.Committed.Seq
	}
	if s.Reason != "" {
		args["reason"] = s.Reason
	}
	b.span(s.Step, "step", at, from, to, args)
	for i := range s.Segments {
		g := &s.Segments[i]
		if g.Class != history.Dependencies {
			b.span(g.Class.String(), "part", at, g.From.UnixNano(), g.To.UnixNano(), nil)
		}
	}
	for _, a := range s.Attempts {
		for _, j := range a.Jobs {
			start := j.StartedAt.UnixNano()
			b.span(fmt.Sprintf("job %d", j.Job), "job", at, start, start+int64(j.Duration), map[string]any{
				"seq": j.Seq, "attempt": a.Attempt, "outcome": j.Outcome, "exit": j.Exit, "changed": j.Changed,
			})
		}
	}
}

// place finds a thread of the host that is free in that time.
func (b *tracing) place(host string, from, to int64) tracePlace {
	pid, known := b.pids[host]
	if !known {
		pid = tracePath + 1 + len(b.pids)
		b.pids[host] = pid
		name := host
		if name == "" {
			name = "orchestrator"
		}
		b.name(pid, 0, "process_name", name)
	}
	lanes := b.lanes[host]
	lane := slices.IndexFunc(lanes, func(taken int64) bool { return taken <= from })
	if lane < 0 {
		lane = len(lanes)
		lanes = append(lanes, 0)
		b.name(pid, lane+1, "thread_name", fmt.Sprintf("steps %d", lane+1))
	}
	lanes[lane] = max(to, from+1)
	b.lanes[host] = lanes
	return tracePlace{pid, lane + 1}
}

// path draws the critical path once more by itself, and arrows along it.
func (b *tracing) path() {
	for i, l := range b.t.Critical {
		parts := map[string]any{}
		text, err := json.Marshal(l.Parts)
		if err == nil {
			err = json.Unmarshal(text, &parts)
		}
		if err != nil {
			parts = nil
		}
		maps.DeleteFunc(parts, func(_ string, v any) bool { return v == 0.0 })
		b.span(l.Step, "critical", tracePlace{tracePath, 1}, l.From.UnixNano(), l.To.UnixNano(), parts)
		at, drawn := b.places[l.Step]
		if !drawn || len(b.t.Critical) < 2 {
			continue
		}
		e := traceEvent{Name: "critical path", Cat: "critical", Ph: "t", ID: 1, TS: b.micros(l.From.UnixNano()), PID: at.pid, TID: at.tid, Bind: "e"}
		switch i {
		case 0:
			e.Ph, e.Bind = "s", ""
		case len(b.t.Critical) - 1:
			e.Ph = "f"
		}
		b.add(e)
	}
}
