package history

import (
	"time"

	"quorate/engine"
	"quorate/eventlog"
)

// A Timeline says where the time of a run went. Times are by the log's clock.
type Timeline struct {
	Schema string `json:"schema"`
	Run    uint64 `json:"run"`
	PlanID string `json:"plan_id"`
	By     string `json:"by"`
	Check  bool   `json:"check,omitempty"`
	Status string `json:"status"`
	// Seq is the last record that it is made of.
	Seq       uint64     `json:"seq"`
	CreatedAt time.Time  `json:"created_at"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
	// Until is the run's end, or the time of Seq where it has none yet.
	Until   time.Time `json:"until"`
	Elapsed Span      `json:"elapsed_ms"`
	// Totals are over all steps, so they may be many times the elapsed time.
	Totals Parts `json:"totals"`
	// Critical is the chain of steps without whose time the run would have been
	// shorter. Its spans and Tail are all of the elapsed time.
	Critical []Link `json:"critical_path"`
	// Tail is behind the last step of the chain: what is left is skipped, and the end
	// recorded.
	Tail    Span       `json:"tail_ms"`
	Hosts   []HostTime `json:"hosts"`
	Steps   []StepTime `json:"steps"`
	Leaders []LeaderAt `json:"leaders"`
	// Clocks are the agents whose clocks were found off the log's.
	Clocks []ClockNote `json:"clocks"`

	from, until int64
}

// A Link is a step of the critical path, from when it became ready, and the run's
// beginning for the first, until it was settled.
type Link struct {
	Step  string    `json:"step"`
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Span  Span      `json:"span_ms"`
	Parts Parts     `json:"parts"`

	at *StepTime
}

// HostTime is the time of all steps of a host; the host of a task that the
// orchestrator does itself is empty.
type HostTime struct {
	Host  string `json:"host"`
	Steps int    `json:"steps"`
	Parts Parts  `json:"parts"`
}

// LeaderAt is a change of leader within the run.
type LeaderAt struct {
	Seq     uint64    `json:"seq"`
	At      time.Time `json:"at"`
	Replica uint64    `json:"replica"`
}

// ClockNote is an agent whose times did not fit the log's.
type ClockNote struct {
	Agent string `json:"agent"`
	// Attempts counts those whose times were moved, or left aside.
	Attempts int `json:"attempts"`
	// Ahead is how far the clock was ahead at most; negative is behind.
	Ahead Span `json:"ahead_ms"`
	// Jumped counts the attempts within which the clock jumped.
	Jumped int `json:"jumped,omitempty"`
}

// A StepTime is the time of one step, from the run's beginning until it was settled.
type StepTime struct {
	Step   string `json:"step"`
	Task   string `json:"task"`
	Host   string `json:"host,omitempty"`
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
	// Critical says that it is on the critical path.
	Critical bool `json:"critical,omitempty"`
	// Behind is the step whose end made it ready; empty where it waited for none.
	Behind string `json:"behind,omitempty"`
	// The records of its way; nil where it did not come there. Of several attempts
	// Scheduled and Begun are the first's and Committed is the record that settled it.
	// One that was sent ahead of what it waited for is scheduled before it is ready.
	Created   *At `json:"created"`
	Ready     *At `json:"ready,omitempty"`
	Scheduled *At `json:"scheduled,omitempty"`
	Begun     *At `json:"begun,omitempty"`
	// EndedAt is when its last job ended.
	EndedAt   *time.Time    `json:"ended_at,omitempty"`
	Committed *At           `json:"committed,omitempty"`
	Span      Span          `json:"span_ms"`
	Parts     Parts         `json:"parts"`
	Attempts  []AttemptTime `json:"attempts,omitempty"`
	Segments  []Segment     `json:"segments"`

	key      stepKey
	from, to int64 // ready and settled, for the critical path
}

// At is a record with its time.
type At struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
}

// An AttemptTime is one try.
type AttemptTime struct {
	Attempt     uint64 `json:"attempt"`
	Agent       string `json:"agent"`
	Outcome     string `json:"outcome,omitempty"`
	Reason      string `json:"reason,omitempty"`
	ScheduledAt At     `json:"scheduled"`
	Begun       *At    `json:"begun,omitempty"`
	Ended       *At    `json:"ended,omitempty"`
	// Ahead says that it was sent while what it had to wait for on its host was under way.
	Ahead bool `json:"ahead,omitempty"`
	// ClockAhead is what was taken off the agent's times, and ClockJumped that only
	// their lengths could be used.
	ClockAhead  Span      `json:"clock_ahead_ms,omitempty"`
	ClockJumped bool      `json:"clock_jumped,omitempty"`
	Jobs        []JobTime `json:"jobs,omitempty"`
}

// A JobTime is one job of an attempt.
type JobTime struct {
	Job uint32 `json:"job"`
	// Seq is the record of its result.
	Seq       uint64    `json:"seq"`
	StartedAt time.Time `json:"started_at"`
	Duration  Span      `json:"duration_ms"`
	Outcome   string    `json:"outcome"`
	Changed   bool      `json:"changed"`
	Exit      int32     `json:"exit"`
}

// Schema is that of the documents of the API, of which a [Timeline] and an
// [Explanation] are two.
const Schema = "quorate/v1"

// Timeline works out where the run's time went.
func (r *Run) Timeline() *Timeline {
	t := &Timeline{
		Schema: Schema, Run: r.ID, PlanID: r.Graph.PlanID, By: r.By, Check: r.Check, Status: r.Status, Seq: r.At.Index,
		CreatedAt: timeOf(r.Created.Time), Critical: []Link{}, Hosts: []HostTime{}, Steps: []StepTime{}, Leaders: []LeaderAt{}, Clocks: []ClockNote{},
		from: r.Created.Time, until: r.At.Time,
	}
	if r.Ended.Index != 0 {
		t.until = r.Ended.Time
		end := timeOf(t.until)
		t.EndedAt = &end
	}
	t.Until, t.Elapsed = timeOf(t.until), Span(t.until-t.from)
	for _, l := range r.Leaders {
		t.Leaders = append(t.Leaders, LeaderAt{l.Index, timeOf(l.Time), l.Replica})
	}
	w := &timing{r: r, t: t, clocks: map[string]int{}, hosts: map[string]int{}}
	r.each(w.step)
	t.critical(r)
	return t
}

// timing is the making of a timeline.
type timing struct {
	r             *Run
	t             *Timeline
	clocks, hosts map[string]int // positions in the timeline's
}

func (w *timing) step(k stepKey, st *step) {
	r, t := w.r, w.t
	v := StepTime{
		Step: r.name(k), Task: r.Graph.Tasks[k.task].ID, Host: r.hostOf(k), Status: st.status().String(), Created: at(r.Created),
		key: k, from: t.from, to: t.until, Segments: []Segment{},
	}
	if st != nil {
		w.marks(&v, st)
	}
	w.divide(&v, st)
	v.Span = Span(v.to - t.from)
	v.Parts.addAll(v.Segments)
	t.Totals.addAll(v.Segments)
	i, known := w.hosts[v.Host]
	if !known {
		i = len(t.Hosts)
		w.hosts[v.Host] = i
		t.Hosts = append(t.Hosts, HostTime{Host: v.Host})
	}
	t.Hosts[i].Steps++
	t.Hosts[i].Parts.addAll(v.Segments)
	t.Steps = append(t.Steps, v)
}

// marks notes the records of the step's way.
func (w *timing) marks(v *StepTime, st *step) {
	if ready, behind, ok := st.ready(); ok {
		v.Ready, v.from = at(ready), ready.Time
		if behind != nil {
			v.Behind = w.r.name(behind.key)
		}
	}
	if m := st.settled(); m != nil {
		v.Committed, v.Reason, v.to = at(m.Mark), m.reason, m.Time
	}
	if len(st.attempts) > 0 {
		first := st.attempts[0]
		v.Scheduled = at(first.Mark)
		v.Begun = at(first.began)
	}
}

func at(m Mark) *At {
	if m.Index == 0 {
		return nil
	}
	return &At{m.Index, timeOf(m.Time)}
}

// divide divides the step's time, from the run's beginning until it was settled.
func (w *timing) divide(v *StepTime, st *step) {
	pos := w.t.from
	until := func(c Class, to int64) {
		if to > pos {
			v.Segments = append(v.Segments, Segment{Class: c, From: timeOf(pos), To: timeOf(to), from: pos, to: to})
			pos = to
		}
	}
	class, tries := Dependencies, 0
	var moves []move
	if st != nil {
		moves = st.moves
	}
	for _, m := range moves {
		if class == Dispatch {
			w.attempt(v, st.attempts[tries], m.Time)
			tries++
			pos = m.Time
		} else {
			until(class, m.Time)
		}
		switch m.to {
		case engine.Pending:
			class = Dependencies
		case engine.Ready:
			class = Slot
		case engine.Running:
			class = Dispatch
		case engine.Waiting:
			class = Operator
		}
	}
	switch {
	case st.status().Settled():
	case class == Dispatch:
		w.attempt(v, st.attempts[tries], v.to)
	default:
		until(class, v.to)
	}
}

// attempt adds an attempt that took the step's time until then.
func (w *timing) attempt(v *StepTime, a *attempt, until int64) {
	// Evidence that comes later moves the attempt's end, and not what was known then.
	seen := *a
	if seen.ended.Index != 0 && seen.ended.Time > until {
		seen.ended, seen.outcome = a.doubt, eventlog.Unknown
	}
	segments, jobs, clock, offset := seen.divide(until)
	v.Segments = append(v.Segments, segments...)
	out := AttemptTime{Attempt: a.id, Agent: a.agent, ScheduledAt: *at(a.Mark), Begun: at(a.began), Ended: at(a.ended), Reason: a.reason, Ahead: a.ahead}
	if a.outcome != 0 {
		out.Outcome = a.outcome.String()
	}
	for _, j := range jobs {
		out.Jobs = append(out.Jobs, JobTime{
			Job: j.job, Seq: j.Index, StartedAt: timeOf(j.from), Duration: Span(j.to - j.from),
			Outcome: j.outcome.String(), Changed: j.changed, Exit: j.exit,
		})
		end := timeOf(j.to)
		v.EndedAt = &end
	}
	out.ClockAhead, out.ClockJumped = Span(offset), clock == ClockJumped
	v.Attempts = append(v.Attempts, out)
	if clock != ClockFits {
		w.clock(a.agent, clock, Span(offset))
	}
}

// clock notes that an agent's times did not fit.
func (w *timing) clock(agent string, clock Clock, ahead Span) {
	i, known := w.clocks[agent]
	if !known {
		i = len(w.t.Clocks)
		w.clocks[agent] = i
		w.t.Clocks = append(w.t.Clocks, ClockNote{Agent: agent})
	}
	n := &w.t.Clocks[i]
	n.Attempts++
	if clock == ClockJumped {
		n.Jumped++
	}
	if max(ahead, -ahead) > max(n.Ahead, -n.Ahead) {
		n.Ahead = ahead
	}
}
