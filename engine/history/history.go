// Package history says when and why things happened in a run: it folds the records of
// a log into what a timeline and an explanation are made of.
//
// It reads no clock and does no I/O, and it never judges: what took effect is what the
// engine's fold says. Records may come from a running cluster, from files or from a
// bundle.
package history

import (
	"quorate/engine"
	"quorate/eventlog"
)

// A Run is what the log tells of a run up to a point, step by step. A [Recorder]
// makes it; it is not changed afterwards.
type Run struct {
	// ID is the run's number.
	ID uint64
	// Graph is its plan as it is on record.
	Graph *engine.Graph
	// Created is the record that created it; Ended, Cancelled are those of its end and
	// of the cancel, without index where there is none.
	Created, Ended, Cancelled Mark
	// CancelledBy and CancelReason are of the cancel.
	CancelledBy, CancelReason string
	// By is who asked for it.
	By string
	// Check says that the run only asked what would be done.
	Check bool
	// At is the last record that was looked at.
	At Mark
	// Status is the run's at that point.
	Status string
	// StepsMax and StepsPerHostMax are how many steps may be under way at once.
	StepsMax, StepsPerHostMax uint32
	// Leaders are those that began to lead while the run was under way, behind the one
	// that led when it was created.
	Leaders []Leader
	// Agents are what happened to agents' connections and rights while it was under
	// way, in the order of the log.
	Agents []AgentEvent
	// Values are what hosts published in the run.
	Values []Value

	steps [][]*step // by task and position
	skips []skip
	first Leader
}

// A Mark is a record, with its time by the log's clock, in unix nanoseconds.
type Mark struct {
	Index uint64
	Time  int64
}

// A Leader is an orchestrator that began to lead.
type Leader struct {
	Mark
	Replica uint64
}

// An AgentEvent is something that happened to an agent.
type AgentEvent struct {
	Mark
	Agent  string
	Kind   eventlog.Kind
	Detail string // for people
	By     string // the operator, or empty
}

// A Value is one that a host has published.
type Value struct {
	Mark
	Attempt uint64
	Host    string
	Job     uint32
	Key     string
	Encoded []byte // as pyvalue encodes it
	Absent  bool
}

// A skip settles steps that did not run.
type skip struct {
	Mark
	task, cause uint32
	reason      string
}

// A stepKey is a step by its task and its position among the task's.
type stepKey struct {
	task uint32
	pos  int
}

// A step is what happened to a task on one host.
type step struct {
	key      stepKey
	host     string // for display; empty for an engine task's
	moves    []move
	attempts []*attempt
}

// A move is a change of a step's status.
type move struct {
	Mark
	to     engine.TaskStatus
	reason string
	// behind is the step whose end let this one become ready, or nil.
	behind *step
}

// An attempt is one try of a step.
type attempt struct {
	Mark      // of its StepScheduled
	id        uint64
	agent     string
	leader    uint64
	connected bool // the agent was when it was scheduled
	fromJob   uint32
	// ahead says that it was sent while its step waited for others on the same host;
	// turn is when those had ended, the last of them behind.
	ahead  bool
	turn   Mark
	behind *step
	// queued says that it was sent while all places of its host were taken; seated is when
	// one was free on record.
	queued  bool
	seated  Mark
	began   Mark
	waits   Mark // published, and waiting for other hosts from here on
	jobs    []jobEnd
	ended   Mark
	outcome eventlog.Outcome
	reason  string
	by      string // who gave up on it, or empty
	// doubt is since when its outcome was unknown, and why, also where it is known now.
	doubt       Mark
	doubtReason string
	late        []lateEnd
	resolved    resolution
}

// shipped reports whether it was sent ahead and takes no room in the run yet.
func (a *attempt) shipped() bool {
	return a != nil && (a.ahead && a.turn.Index == 0 || a.queued && a.seated.Index == 0)
}

// A jobEnd is the result of a job. Started is by the agent's clock, and both are as the
// agent says, in nanoseconds.
type jobEnd struct {
	Mark
	job               uint32
	started, duration int64
	outcome           eventlog.Outcome
	changed           bool
	exit              int32
	info              string
	said              string // its last line, where it did not succeed
}

// A lateEnd is evidence that came when the attempt was settled.
type lateEnd struct {
	Mark
	outcome eventlog.Outcome
	counted bool
}

// A resolution is an operator's word.
type resolution struct {
	Mark
	as, reason, by string
}

// step returns the step, or nil where nothing happened to it yet.
func (r *Run) step(k stepKey) *step {
	if of := r.steps[k.task]; of != nil {
		return of[k.pos]
	}
	return nil
}

// status is where a step is.
func (st *step) status() engine.TaskStatus {
	if st == nil || len(st.moves) == 0 {
		return engine.Pending
	}
	return st.moves[len(st.moves)-1].to
}

// ready is when the step had nothing to wait for any more, and behind which step; ok is
// false where it did not come to that.
func (st *step) ready() (at Mark, behind *step, ok bool) {
	if st == nil {
		return at, nil, false
	}
	for i := range st.moves {
		if m := &st.moves[i]; m.to == engine.Ready && !ok {
			at, behind, ok = m.Mark, m.behind, true
		}
	}
	for _, a := range st.attempts {
		if a.turn.Index != 0 && (!ok || a.turn.Index < at.Index) {
			at, behind, ok = a.turn, a.behind, true
		}
	}
	return at, behind, ok
}

// settled is the move that settled the step, or nil.
func (st *step) settled() *move {
	if st == nil || !st.status().Settled() {
		return nil
	}
	return &st.moves[len(st.moves)-1]
}

// newest is the newest attempt, or nil.
func (st *step) newest() *attempt {
	if st == nil || len(st.attempts) == 0 {
		return nil
	}
	return st.attempts[len(st.attempts)-1]
}

// name is the step's as operators write it.
func (r *Run) name(k stepKey) string { return StepName(r.Graph, k.task, r.hostOf(k)) }

// StepName is the name of a task's step on a host as operators write it.
func StepName(g *engine.Graph, task uint32, host string) string {
	if host == "" {
		return g.Tasks[task].ID
	}
	return g.Tasks[task].ID + "@" + host
}

// hostOf is the host of a step for display.
func (r *Run) hostOf(k stepKey) string { return hostAt(r.Graph, k) }

func hostAt(g *engine.Graph, k stepKey) string {
	if g.IsEngine(k.task) || g.IsLocal(k.task) {
		return g.HostName(k.task, engine.NoHost)
	}
	return g.HostName(k.task, g.HostSets[g.Tasks[k.task].HostSet][k.pos])
}

// each calls f with all steps, in the plan's order.
func (r *Run) each(f func(k stepKey, st *step)) {
	for task := range r.Graph.Tasks {
		for pos := range r.Graph.StepCount(uint32(task)) {
			k := stepKey{uint32(task), pos}
			f(k, r.step(k))
		}
	}
}

// attemptOf finds an attempt of the run, or nil.
func (r *Run) attemptOf(id uint64) (*step, *attempt) {
	for _, of := range r.steps {
		for _, st := range of {
			if st == nil {
				continue
			}
			for _, a := range st.attempts {
				if a.id == id {
					return st, a
				}
			}
		}
	}
	return nil, nil
}
