package history

import (
	"fmt"
	"slices"
	"strings"

	"quorate/engine"
	"quorate/eventlog"
)

// A Recorder makes the history of a run out of records while they are folded. It is not
// safe for concurrent use.
type Recorder struct {
	out      Run
	run      *engine.Run
	attempts map[uint64]*attempt
	// lines are the attempts that wait for a place, by host, as the engine has them.
	lines map[string][]inLine
	// fresh are the tasks whose dependents were looked at for the present record.
	fresh map[uint32]bool
}

// NewRecorder records a run. The state must be of a point in front of the record that
// creates it.
func NewRecorder(s *engine.State, run uint64) *Recorder {
	r := &Recorder{out: Run{ID: run}, attempts: map[uint64]*attempt{}, lines: map[string][]inLine{}}
	if s.Epoch != 0 {
		r.out.first = Leader{Mark{s.IndexOf(s.Epoch), 0}, s.Leader}
	}
	return r
}

// Seen is to be called with each record before it is folded, and what it returns once
// it was, with why it had no effect.
func (r *Recorder) Seen(s *engine.State, rec *eventlog.Record, e eventlog.Event) func(void string) {
	if r.Done() {
		return nil
	}
	touched := r.touched(s, e)
	return func(void string) {
		if void == "" {
			r.folded(s, e, touched)
		}
		if r.run != nil {
			r.out.At, r.out.Status = mark(s), r.run.Status()
		}
	}
}

// Done reports whether the run's end was seen. What comes behind it is no part of it.
func (r *Recorder) Done() bool { return r.out.Ended.Index != 0 }

// Run returns what was recorded, or nil where the run's beginning was not seen. The
// recorder is of no use afterwards.
func (r *Recorder) Run() *Run {
	if r.run == nil {
		return nil
	}
	return &r.out
}

func mark(s *engine.State) Mark { return Mark{s.Index, s.Time} }

// touched are the steps whose status an event may change by itself.
func (r *Recorder) touched(s *engine.State, e eventlog.Event) (steps []stepKey) {
	if r.run == nil {
		return nil
	}
	attempt := func(id uint64) {
		if a := s.Attempts[id]; a != nil && a.Run == r.out.ID {
			steps = append(steps, r.key(a.Task, a.Host))
		}
	}
	agent := func(id uint64) {
		if a := s.Agents[id]; a != nil {
			for _, open := range a.Open {
				attempt(open)
			}
		}
	}
	switch e := e.(type) {
	case *eventlog.StepScheduled:
		if r.has(e.Run, e.Task) {
			steps = append(steps, r.key(e.Task, e.Host))
		}
	case *eventlog.JobEnded:
		attempt(e.Attempt)
	case *eventlog.AttemptEnded:
		attempt(e.Attempt)
	case *eventlog.StepResolved:
		attempt(e.Attempt)
	case *eventlog.TaskRecorded:
		if r.has(e.Run, e.Task) {
			steps = append(steps, stepKey{e.Task, 0})
		}
	case *eventlog.TaskSkipped:
		if r.has(e.Run, e.Task) {
			steps = r.skipped(e)
		}
	case *eventlog.AgentRevoked:
		agent(e.Agent)
	case *eventlog.AgentQuarantined:
		agent(e.Agent)
		for _, id := range e.Disproved {
			attempt(id)
		}
	case *eventlog.AgentConnected:
		agent(e.Agent) // its journal may be found wrong
	}
	return steps
}

func (r *Recorder) has(run uint64, task uint32) bool {
	return run == r.out.ID && int(task) < len(r.out.Graph.Tasks)
}

// skipped are the steps that a skip is about.
func (r *Recorder) skipped(e *eventlog.TaskSkipped) (steps []stepKey) {
	if len(e.Hosts) == 0 {
		for pos := range r.out.Graph.StepCount(e.Task) {
			steps = append(steps, stepKey{e.Task, pos})
		}
	}
	for _, h := range e.Hosts {
		steps = append(steps, r.key(e.Task, h))
	}
	return steps
}

// key finds a task's step on a host; the position is -1 where it has none.
func (r *Recorder) key(task, host uint32) stepKey { return keyOf(r.out.Graph, task, host) }

func keyOf(g *engine.Graph, task, host uint32) stepKey {
	if host == engine.NoHost {
		return stepKey{task, 0}
	}
	pos, ok := slices.BinarySearch(g.HostSets[g.Tasks[task].HostSet], host)
	if !ok || g.IsEngine(task) || g.IsLocal(task) {
		return stepKey{task, -1}
	}
	return stepKey{task, pos}
}

// at is the step of a key, which is made where it is new.
func (r *Recorder) at(k stepKey) *step {
	of := r.out.steps[k.task]
	if of == nil {
		of = make([]*step, r.out.Graph.StepCount(k.task))
		r.out.steps[k.task] = of
	}
	if of[k.pos] == nil {
		of[k.pos] = &step{key: k, host: r.out.hostOf(k)}
	}
	return of[k.pos]
}

// begin notes the run that the record has created.
func (r *Recorder) begin(s *engine.State, e *eventlog.RunCreated) {
	newest := s.Run(uint64(len(s.Runs)))
	if newest == nil || newest.ID != r.out.ID {
		return
	}
	r.run = newest
	o := &r.out
	o.Graph, o.Created, o.By, o.Check = newest.Graph, mark(s), e.By, e.Check
	o.StepsMax, o.StepsPerHostMax = newest.Limits()
	o.steps = make([][]*step, len(newest.Tasks))
	for task := range newest.Tasks {
		if e.RetryOf != 0 {
			r.inherited(uint32(task), mark(s))
		}
		r.readied(uint32(task), mark(s), nil)
	}
}

// inherited notes the steps that count as done since the run that is retried did them.
func (r *Recorder) inherited(task uint32, at Mark) {
	for pos := range r.out.Graph.StepCount(task) {
		if is := r.run.Step(task, pos); is.Status.Settled() {
			st := r.at(stepKey{task, pos})
			st.moves = append(st.moves, move{Mark: at, to: is.Status, reason: is.Reason})
		}
	}
}

// folded notes what a record has done.
func (r *Recorder) folded(s *engine.State, e eventlog.Event, touched []stepKey) {
	if created, ok := e.(*eventlog.RunCreated); ok && r.run == nil {
		r.begin(s, created)
		return
	}
	if r.run == nil {
		if _, ok := e.(*eventlog.LeaderEstablished); ok {
			r.out.first = Leader{mark(s), s.Leader}
		}
		return
	}
	r.agentEvent(s, e)
	r.note(s, e)
	r.fresh = nil
	for _, k := range touched {
		if k.pos >= 0 {
			r.follow(s, k)
			r.serve(s, r.at(k).host)
		}
	}
}

// inLine is an attempt that waits for a place, with its step.
type inLine struct {
	key     stepKey
	attempt *attempt
}

// serve notes who of those that wait for a place on the host has one now.
func (r *Recorder) serve(s *engine.State, host string) {
	line := r.lines[host]
	for ; len(line) > 0; line = line[1:] {
		k, a := line[0].key, line[0].attempt
		if a.ended.Index == 0 && r.run.Queues(k.task, k.pos) {
			break
		}
		if a.ended.Index == 0 {
			a.seated = mark(s)
		}
	}
	r.lines[host] = line
}

// follow notes where a step is now, and what that makes ready.
func (r *Recorder) follow(s *engine.State, k stepKey) {
	now := r.run.Step(k.task, k.pos)
	st := r.at(k)
	r.settleAttempt(s, st)
	before := st.status()
	if now.Status == before {
		return
	}
	st.moves = append(st.moves, move{Mark: mark(s), to: now.Status, reason: now.Reason})
	if before.Settled() || !now.Status.Settled() {
		return
	}
	whole := r.run.Tasks[k.task].Status.Settled()
	if whole && r.fresh[k.task] {
		return // all steps behind it were looked at
	}
	g := r.out.Graph
	for _, next := range g.Dependents[k.task] {
		if whole {
			r.readied(next, mark(s), st)
		} else if same := keyOf(g, next, now.Host); same.pos >= 0 {
			r.readiedStep(same, mark(s), st)
		}
	}
	if whole {
		if r.fresh == nil {
			r.fresh = map[uint32]bool{}
		}
		r.fresh[k.task] = true
	}
}

// readied notes which steps of a task have become ready, and behind which step.
func (r *Recorder) readied(task uint32, at Mark, behind *step) {
	if r.run.Tasks[task].Steps == nil {
		return // none of them can have changed
	}
	for pos := range r.run.Tasks[task].Steps {
		r.readiedStep(stepKey{task, pos}, at, behind)
	}
}

func (r *Recorder) readiedStep(k stepKey, at Mark, behind *step) {
	is, was := r.run.Step(k.task, k.pos).Status, r.out.step(k)
	switch a := was.newest(); {
	case is == engine.Ready && was.status() == engine.Pending:
		st := r.at(k)
		st.moves = append(st.moves, move{Mark: at, to: engine.Ready, behind: behind})
	case is == engine.Running && a != nil && a.ahead && a.turn.Index == 0 && !r.run.Behind(k.task, k.pos):
		a.turn, a.behind = at, behind
	}
}

// settleAttempt notes the end of the step's newest attempt, whatever brought it about.
func (r *Recorder) settleAttempt(s *engine.State, st *step) {
	if a := st.newest(); a != nil {
		r.settle(s, a)
	}
}

func (r *Recorder) settle(s *engine.State, a *attempt) {
	is := s.Attempts[a.id]
	if is == nil || is.Outcome == 0 || is.Outcome == a.outcome {
		return
	}
	if a.outcome != eventlog.NotStarted { // where that is disproved, its step went on from there
		a.ended = mark(s)
	}
	a.outcome, a.reason, a.by = is.Outcome, is.Reason, is.By
	if a.outcome == eventlog.Unknown && a.doubt.Index == 0 {
		a.doubt, a.doubtReason = mark(s), a.reason
	}
}

// note keeps what a record says of the run.
func (r *Recorder) note(s *engine.State, e eventlog.Event) {
	o := &r.out
	switch e := e.(type) {
	case *eventlog.LeaderEstablished:
		o.Leaders = append(o.Leaders, Leader{mark(s), e.Replica})
	case *eventlog.StepScheduled:
		if e.Run == o.ID {
			r.scheduled(s, e)
		}
	case *eventlog.AttemptBegan:
		if a := r.attempts[e.Attempt]; a != nil && a.began.Index == 0 {
			a.began = mark(s)
		}
	case *eventlog.JobEnded:
		r.jobEnded(s, e)
	case *eventlog.AttemptEnded:
		if a := r.attempts[e.Attempt]; a != nil && a.ended.Index != 0 {
			is := s.Attempts[e.Attempt]
			a.late = append(a.late, lateEnd{mark(s), e.Outcome, is.Late == 0 && is.Outcome == e.Outcome})
		}
	case *eventlog.AgentQuarantined:
		for _, id := range e.Disproved {
			if a := r.attempts[id]; a != nil && a.ended.Index != 0 {
				r.settle(s, a)
			}
		}
	case *eventlog.ValuesPublished:
		r.published(s, e)
	case *eventlog.TaskSkipped:
		if e.Run == o.ID {
			o.skips = append(o.skips, skip{mark(s), e.Task, e.Cause, e.Reason})
		}
	case *eventlog.StepResolved:
		if a := r.attempts[e.Attempt]; a != nil {
			a.resolved = resolution{mark(s), e.As, e.Reason, e.By}
		}
	case *eventlog.RunCancelled:
		if e.Run == o.ID {
			o.Cancelled, o.CancelledBy, o.CancelReason = mark(s), e.By, e.Reason
		}
	case *eventlog.RunEnded:
		if e.Run == o.ID {
			o.Ended = mark(s)
		}
	}
}

func (r *Recorder) scheduled(s *engine.State, e *eventlog.StepScheduled) {
	agent := s.Agents[e.Agent]
	st := r.at(r.key(e.Task, e.Host))
	a := &attempt{
		Mark: mark(s), id: s.Serial(s.Index), agent: agent.Name, leader: s.Leader, connected: agent.Connected,
		fromJob: e.FromJob, ahead: r.run.Behind(st.key.task, st.key.pos), queued: r.run.Queues(st.key.task, st.key.pos),
	}
	if a.queued {
		r.lines[st.host] = append(r.lines[st.host], inLine{st.key, a})
	}
	st.attempts = append(st.attempts, a)
	r.attempts[a.id] = a
	// A step that is judged at once passes through here unseen.
	st.moves = append(st.moves, move{Mark: mark(s), to: engine.Running})
}

func (r *Recorder) jobEnded(s *engine.State, e *eventlog.JobEnded) {
	a := r.attempts[e.Attempt]
	if a == nil || s.Attempts[e.Attempt].Jobs.Newest() != s.Index {
		return // it counted as a report only
	}
	j := jobEnd{
		Mark: mark(s), job: e.Job, started: e.StartedAt, duration: e.Duration,
		outcome: e.Outcome, changed: e.Changed, exit: e.Exit, info: e.Info,
	}
	if e.Outcome != eventlog.Succeeded && e.Outcome != eventlog.Skipped {
		j.said = lastLine(e.Stderr)
		if j.said == "" {
			j.said = lastLine(e.Stdout)
		}
	}
	a.jobs = append(a.jobs, j)
}

// saidBytesMax bounds what is kept of what a job printed.
const saidBytesMax = 200

// lastLine is the last line that is not empty, the beginning of it.
func lastLine(o eventlog.Output) string {
	text := o.Tail
	if len(text) == 0 {
		text = o.Head
	}
	line := strings.TrimSpace(strings.ToValidUTF8(string(text), "\uFFFD"))
	line = strings.TrimSpace(line[strings.LastIndexByte(line, '\n')+1:])
	return strings.ToValidUTF8(line[:min(len(line), saidBytesMax)], "")
}

func (r *Recorder) published(s *engine.State, e *eventlog.ValuesPublished) {
	a := r.attempts[e.Attempt]
	if a == nil {
		return
	}
	is := s.Attempts[e.Attempt]
	if e.Waits {
		a.waits = mark(s)
		r.serve(s, hostAt(r.out.Graph, r.key(is.Task, is.Host))) // its place is free
	}
	for _, v := range e.Values {
		r.out.Values = append(r.out.Values, Value{
			Mark: mark(s), Attempt: e.Attempt, Host: hostAt(r.out.Graph, r.key(is.Task, is.Host)),
			Job: e.Job, Key: v.Key, Encoded: v.Value, Absent: v.Absent,
		})
	}
}

// agentEvent keeps what happens to agents, whoever has to do with the run.
func (r *Recorder) agentEvent(s *engine.State, e eventlog.Event) {
	var id uint64
	var by, detail string
	switch e := e.(type) {
	case *eventlog.AgentEnrolled:
		id, detail = s.Serial(s.Index), "enrolled"
	case *eventlog.AgentApproved:
		id, by, detail = e.Agent, e.By, "was approved"
	case *eventlog.AgentConnected:
		id, detail = e.Agent, fmt.Sprintf("connected to orchestrator %d", e.Gateway)
	case *eventlog.AgentDisconnected:
		id, detail = e.Agent, because("lost its connection", e.Reason)
	case *eventlog.AgentQuarantined:
		id, detail = e.Agent, because("was quarantined", e.Reason)
	case *eventlog.AgentCalmed:
		id, by, detail = e.Agent, e.By, because("does not flap any more", e.Reason)
	case *eventlog.AgentRevoked:
		id, by, detail = e.Agent, e.By, because("was revoked", e.Reason)
	case *eventlog.AgentDrained:
		id, by, detail = e.Agent, e.By, because("was drained", e.Reason)
	case *eventlog.AgentUndrained:
		id, by, detail = e.Agent, e.By, because("is given steps again", e.Reason)
	default:
		return
	}
	a := s.Agents[id]
	if a == nil {
		return
	}
	if _, connected := e.(*eventlog.AgentConnected); connected && a.Quarantined != "" {
		detail = because("was quarantined when it connected", a.Quarantined)
	} else if connected && a.Flapping && a.FlappingSince == s.Time {
		detail += fmt.Sprintf(", and flaps: %.1f reconnections lately", float64(s.PenaltyAt(a, s.Time))/1000)
	}
	r.out.Agents = append(r.out.Agents, AgentEvent{mark(s), a.Name, e.Kind(), detail, by})
}

func because(what, reason string) string {
	if reason == "" {
		return what
	}
	return what + ": " + reason
}
