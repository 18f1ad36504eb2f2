package tables

import (
	"encoding/json"
	"maps"
	"slices"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/internal/pyvalue"
)

// refs are what a record is about; 0 is nothing.
type refs struct{ run, attempt, agent uint64 }

// refsOf returns what a record is about, by the state behind it.
func refsOf(s *engine.State, rec *eventlog.Record, e eventlog.Event, void string) (r refs) {
	switch e := e.(type) {
	case *eventlog.RunCreated:
		if void == "" {
			r.run = uint64(len(s.Runs))
		}
	case *eventlog.RunCancelled:
		r.run = e.Run
	case *eventlog.StepScheduled:
		r.run, r.agent = e.Run, e.Agent
		if void == "" {
			r.attempt = s.Serial(rec.Index)
		}
	case *eventlog.TaskRecorded:
		r.run = e.Run
	case *eventlog.TaskSkipped:
		r.run = e.Run
	case *eventlog.RunEnded:
		r.run = e.Run
	case *eventlog.JobEnded:
		r.attempt = e.Attempt
	case *eventlog.AttemptBegan:
		r.attempt = e.Attempt
	case *eventlog.AttemptEnded:
		r.attempt = e.Attempt
	case *eventlog.StepResolved:
		r.attempt = e.Attempt
	case *eventlog.ValuesPublished:
		r.attempt = e.Attempt
	case *eventlog.AgentEnrolled:
		if void == "" {
			r.agent = s.Serial(rec.Index)
		}
	case *eventlog.AgentApproved:
		r.agent = e.Agent
	case *eventlog.AgentRevoked:
		r.agent = e.Agent
	case *eventlog.AgentConnected:
		r.agent = e.Agent
	case *eventlog.AgentDisconnected:
		r.agent = e.Agent
	case *eventlog.AgentQuarantined:
		r.agent = e.Agent
	case *eventlog.AgentCalmed:
		r.agent = e.Agent
	case *eventlog.AgentDrained:
		r.agent = e.Agent
	case *eventlog.AgentUndrained:
		r.agent = e.Agent
	}
	if a := s.Attempts[r.attempt]; a != nil {
		r.run, r.agent = a.Run, a.Agent
	}
	return r
}

// plan writes a plan, once.
func (l *loader) plan(g *engine.Graph) {
	if l.plans[g.PlanID] {
		return
	}
	l.plans[g.PlanID] = true
	l.write("plans", g.PlanID, g.PlannerVersion, g.By, int64(g.Index), len(g.Hosts), len(g.Tasks))
	for _, in := range g.Inputs {
		l.write("plan_inputs", g.PlanID, in.Role, in.Name, in.Digest)
	}
	if l.opt.Plan == nil {
		l.report.PlansWithoutJobs = append(l.report.PlansWithoutJobs, g.PlanID)
		return
	}
	plan, err := l.opt.Plan(l.ctx, g.PlanID)
	if err != nil {
		l.report.PlansWithoutJobs = append(l.report.PlansWithoutJobs, g.PlanID)
		return
	}
	for t := range plan.Tasks {
		for k := range plan.Tasks[t].Jobs {
			j := &plan.Tasks[t].Jobs[k]
			l.write("plan_jobs", g.PlanID, plan.Tasks[t].ID, k, j.Spec.Verb, j.Spec.Name, j.Spec.Text, j.Spec.Fingerprint, j.Source.File, j.Source.Line)
		}
	}
}

// run writes a run with its tasks, steps and attempts as they are.
func (l *loader) run(s *engine.State, number uint64) {
	r := s.Run(number)
	if r == nil || l.err != nil {
		return
	}
	l.plan(r.Graph)
	var outcome any
	if r.Outcome != 0 {
		outcome = r.Outcome.String()
	}
	c := r.Counts
	l.write("runs", int64(r.ID), r.PlanID, r.By, r.Status(), outcome, r.Check, stamp(r.CreatedAt), stamp(r.EndedAt), int64(r.Index),
		c.Steps, c.Succeeded, c.Failed, c.Skipped, c.Cancelled)
	for i := range r.Tasks {
		task, t := uint32(i), &r.Tasks[i]
		name := r.Graph.Tasks[i].ID
		count := r.Graph.StepCount(task)
		l.write("tasks", int64(r.ID), name, i, r.Graph.Tasks[i].Driver, t.Status.String(), text(t.Reason), count, stamp(t.StartedAt), stamp(t.SettledAt))
		for pos := range count {
			step := r.Step(task, pos)
			l.write("steps", int64(r.ID), name, r.Graph.HostName(task, step.Host), step.Status.String(), text(step.Reason), step.Attempts, id(step.Attempt))
			for at := s.Attempts[step.Attempt]; at != nil; at = s.Attempts[at.Supersedes] {
				l.attempt(r, at)
			}
		}
	}
}

func (l *loader) attempt(r *engine.Run, a *engine.Attempt) {
	var outcome any
	if a.Outcome != 0 {
		outcome = a.Outcome.String()
	}
	l.write("attempts", int64(a.ID), int64(a.Run), r.Graph.Tasks[a.Task].ID, r.Graph.HostName(a.Task, a.Host), int64(a.Agent), a.FromJob, id(a.Supersedes), int64(a.Epoch),
		outcome, text(a.Reason), text(a.By), text(a.Resolved), text(a.ResolvedBy), stamp(a.ScheduledAt), stamp(a.EndedAt))
}

// job writes the result of a job.
func (l *loader) job(s *engine.State, rec *eventlog.Record, e *eventlog.JobEnded) {
	a := s.Attempts[e.Attempt]
	if a == nil {
		return
	}
	r := s.Run(a.Run)
	started := stamp(e.StartedAt)
	if started == nil {
		started = stamp(rec.Time)
	}
	l.write("jobs", int64(rec.Index), int64(a.ID), int64(a.Run), r.PlanID, r.Graph.Tasks[a.Task].ID, r.Graph.HostName(a.Task, a.Host), e.Job,
		e.Outcome.String(), e.Changed, e.Exit, started, e.Duration, e.Info)
}

// agents writes the agents and what they have published as they are.
func (l *loader) agents(s *engine.State) {
	for _, table := range []string{"agents", "facts"} {
		if l.err == nil {
			_, l.err = l.tx.ExecContext(l.ctx, "DELETE FROM "+table)
		}
	}
	for _, number := range slices.Sorted(maps.Keys(s.Agents)) {
		a := s.Agents[number]
		labels, err := json.Marshal(append([]string{}, a.Labels...))
		if err != nil && l.err == nil {
			l.err = err
		}
		l.write("agents", int64(a.ID), a.Name, string(labels), statusOf(a), a.Hostname, a.Version, a.Address, stamp(a.EnrolledAt), stamp(a.SeenAt))
		for _, v := range a.Values() {
			var value any
			if !v.Absent {
				value = jsonOf(v.Value)
			}
			l.write("facts", int64(a.ID), v.Key, value, int64(v.Run), s.Run(v.Run).Graph.Tasks[v.Task].ID, v.Job, int64(v.Attempt), int64(v.Index), stamp(v.Time))
		}
	}
}

// jsonOf is a published value as JSON. What JSON has no number for is text.
func jsonOf(encoded []byte) any {
	v, err := pyvalue.Decode(encoded)
	if err != nil {
		return nil
	}
	if text := pyvalue.JSON(v); json.Valid([]byte(text)) {
		return text
	}
	quoted, err := json.Marshal(pyvalue.Repr(v))
	if err != nil {
		return nil
	}
	return string(quoted)
}

func statusOf(a *engine.Agent) string {
	switch {
	case a.Revoked:
		return "revoked"
	case a.Quarantined != "":
		return "quarantined"
	case a.Pending:
		return "pending"
	case a.Connected:
		return "connected"
	}
	return "disconnected"
}
