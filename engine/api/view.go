package api

import (
	"time"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/nodeagent/wire"
)

// stepsListedMax is the size of a run, in steps, up to which all its steps are
// listed; of larger ones only the steps of tasks that have begun.
const stepsListedMax = 20_000

func timeOf(nanos int64) time.Time { return time.Unix(0, nanos).UTC() }

// RunView shows a run as of a state; detail adds its tasks and steps. It is used
// on the live state and on a replayed one. Time stands still at the state's newest
// record: see live.
func RunView(s *engine.State, r *engine.Run, detail bool) Run {
	view := Run{
		Schema: Schema, ID: r.ID, PlanID: r.PlanID, By: r.By, Check: r.Check, Status: r.Status(),
		CreatedAt: timeOf(r.CreatedAt), Summary: SummaryView(r), WaitingFor: r.WaitingFor(s),
		RetryOf: r.RetryOf, RetryReason: r.RetryReason,
	}
	end := s.Time
	if r.Outcome != 0 {
		end = r.EndedAt
		t := timeOf(r.EndedAt)
		view.EndedAt = &t
	}
	view.ElapsedMS = (end - r.CreatedAt) / int64(time.Millisecond)
	if detail {
		view.Tasks = make([]Task, len(r.Tasks))
		for i := range r.Tasks {
			view.Tasks[i] = taskView(s, r, uint32(i))
		}
	}
	return view
}

// live lets a run that is under way have lasted until now.
func (r *Run) live(now time.Time) {
	if r.EndedAt == nil {
		r.ElapsedMS = max(r.ElapsedMS, now.Sub(r.CreatedAt).Milliseconds())
	}
}

// SummaryView counts what a run has done.
func SummaryView(r *engine.Run) Summary {
	c := &r.Counts
	return Summary{
		Tasks: len(r.Tasks), TasksDone: c.TasksSettled, Steps: c.Steps, Jobs: c.JobsSucceeded + c.JobsFailed,
		Succeeded: c.Succeeded, Skipped: c.Skipped, Failed: c.Failed, Cancelled: c.Cancelled,
		Unknown: c.Waiting, Unchanged: c.JobsUnchanged, Changed: c.JobsSucceeded - c.JobsUnchanged,
	}
}

func taskView(s *engine.State, r *engine.Run, task uint32) Task {
	t, planned := &r.Tasks[task], &r.Graph.Tasks[task]
	view := Task{ID: planned.ID, Status: t.Status.String(), Driver: planned.Driver, Reason: t.Reason, Messages: t.Messages}
	if r.Graph.IsEngine(task) || t.Steps == nil && r.Counts.Steps > stepsListedMax {
		return view
	}
	view.Steps = make([]Step, r.Graph.StepCount(task))
	for pos := range view.Steps {
		st := r.Step(task, pos)
		host := r.Graph.HostName(task, st.Host)
		view.Steps[pos] = Step{
			ID: planned.ID + "@" + host, Host: host, Status: st.Status.String(),
			Attempt: st.Attempt, Attempts: st.Attempts, Reason: st.Reason,
		}
		at := s.Attempts[st.Attempt]
		if r.Shipped(task, pos) && at.Jobs.Len() == 0 { // its end may be known before those that it waited for
			view.Steps[pos].Status = "shipped"
			if left := s.WaitsFor(at); left != "" {
				view.Steps[pos].Reason = "waits for " + left
			}
		}
		if at != nil && at.Outcome == eventlog.Succeeded && st.Reason == "" {
			view.Steps[pos].Reason = at.Reason // why it ran
		}
		if at != nil {
			for j := range at.Jobs.All() {
				view.Steps[pos].Jobs = append(view.Steps[pos].Jobs, jobView(&j))
			}
		}
	}
	return view
}

func jobView(j *engine.JobResult) Job {
	return Job{
		Job: j.Job, Outcome: j.Outcome.String(), Changed: j.Changed, Exit: j.Exit,
		DurationMS: j.Duration / int64(time.Millisecond), Seq: j.Index,
	}
}

// AgentView shows an agent, or a relay, of the state.
func AgentView(s *engine.State, a *engine.Agent) Agent {
	view := Agent{
		Schema: Schema, ID: a.ID, Name: a.Name, Labels: a.Labels, Status: "disconnected",
		Hostname: a.Hostname, Address: a.Address,
		EnrolledAt: timeOf(a.EnrolledAt), Open: len(a.Open), Kind: "agent", Transport: a.Transport,
	}
	view.Version, view.Protocol = a.Program()
	view.Behind = view.Protocol != 0 && view.Protocol < uint8(wire.Newest)
	if a.Relay {
		view.Kind = engine.RelayRole
	}
	if r := s.Agent(a.Via); r != nil {
		view.Relay = r.Name
	}
	if a.SeenAt != 0 {
		view.SeenAt = timeOf(a.SeenAt)
	}
	view.Flapping, view.Drain = a.Flapping, DrainView(a)
	switch {
	case a.Revoked:
		view.Status = "revoked"
	case a.Quarantined != "":
		view.Status, view.Reason = "quarantined", a.Quarantined
	case a.Pending:
		view.Status = "pending"
	case a.Connected:
		view.Status = "connected"
	}
	return view
}

// PlanView shows a plan on record.
func PlanView(g *engine.Graph) Plan {
	view := Plan{
		Schema: Schema, ID: g.PlanID, PlannerVersion: g.PlannerVersion, Seq: g.Index, By: g.By,
		Hosts: len(g.Hosts), Tasks: len(g.Tasks),
	}
	for _, in := range g.Inputs {
		view.Inputs = append(view.Inputs, PlanInput{Role: in.Role, Name: in.Name, Digest: in.Digest})
	}
	return view
}

// LogView shows a record with its event. The state is that of the record or any
// later one; void is why the event changed nothing.
func LogView(s *engine.State, rec *eventlog.Record, event eventlog.Event, void string) LogEvent {
	return LogEvent{
		Schema: Schema, Seq: rec.Index, Time: timeOf(rec.Time), Kind: rec.Kind.String(), Hash: rec.Hash.String(),
		Void: void != "", VoidReason: void, Run: runOf(s, rec, event), Event: event,
	}
}

// runOf returns the run that an event is about, or 0.
func runOf(s *engine.State, rec *eventlog.Record, event eventlog.Event) uint64 {
	attempt := uint64(0)
	switch e := event.(type) {
	case *eventlog.RunCreated:
		if r, ok := s.RunByRequest(e.RequestID); ok && r.Index == rec.Index {
			return r.ID
		}
	case *eventlog.RunCancelled:
		return e.Run
	case *eventlog.StepScheduled:
		return e.Run
	case *eventlog.TaskRecorded:
		return e.Run
	case *eventlog.TaskSkipped:
		return e.Run
	case *eventlog.RunEnded:
		return e.Run
	case *eventlog.JobEnded:
		attempt = e.Attempt
	case *eventlog.AttemptEnded:
		attempt = e.Attempt
	case *eventlog.StepResolved:
		attempt = e.Attempt
	}
	if at := s.Attempts[attempt]; at != nil {
		return at.Run
	}
	return 0
}
