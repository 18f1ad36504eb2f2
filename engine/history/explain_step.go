package history

import (
	"cmp"
	"fmt"
	"strings"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/planner"
)

type planTask = eventlog.PlanTask

// step tells all of a step.
func (x *Explainer) step(e *Explanation, k stepKey) {
	st := x.Run.step(k)
	e.Status = st.status().String()
	x.written(e, k.task)
	x.waits(e, k)
	x.attempts(e, st)
	x.around(e, st)
	x.answer(e, k, st)
}

// written says where the task is written.
func (x *Explainer) written(e *Explanation, task uint32) {
	source := x.taskSource(task)
	if source == "" {
		return
	}
	t := &x.Plan.Tasks[task]
	var says []string
	if len(t.Symbols) > 0 {
		says = append(says, "requires "+strings.Join(t.Symbols, ", "))
	}
	if len(t.Provides) > 0 {
		says = append(says, "provides "+strings.Join(t.Provides, ", "))
	}
	e.say(Mark{}, "%s", strings.TrimSpace("task "+t.ID+" "+strings.Join(says, " and "))).Source = source
}

// answer says in a sentence why the step is as it is.
func (x *Explainer) answer(e *Explanation, k stepKey, st *step) {
	name := x.Run.name(k)
	switch st.status() {
	case engine.Done:
		e.Answer = x.succeeded(name, st)
	case engine.TaskFailed:
		e.Answer = x.failed(name, st)
	case engine.TaskSkipped, engine.TaskCancelled:
		e.Answer = x.skipped(e, name, st)
	case engine.Waiting:
		a := st.newest()
		e.Answer = fmt.Sprintf("%s waits for an operator: the outcome of attempt %d is unknown: %s", name, a.id, a.reason)
		e.Hint = fmt.Sprintf("look at %s, then say what became of it: quorate run resolve %d %s --as succeeded|failed|retry --reason TEXT", a.agent, x.Run.ID, name)
	case engine.Running:
		e.Answer = x.underWay(name, st)
	case engine.Ready:
		e.Answer, e.Hint = x.ready(name, k, st)
	default:
		e.Answer = x.pending(e, name, k)
	}
}

func (x *Explainer) succeeded(name string, st *step) string {
	a := st.newest()
	if a == nil {
		return name + " succeeded: the orchestrator recorded it"
	}
	changed, jobs := 0, 0
	for _, t := range st.attempts {
		for _, j := range t.jobs {
			jobs++
			if j.changed {
				changed++
			}
		}
	}
	text := fmt.Sprintf("%s succeeded on %s%s: of %s %d changed something", name, a.agent, x.took(st), count(jobs, "job"), changed)
	if x.Run.Check {
		text = fmt.Sprintf("%s was checked on %s%s: of %s %d may change something", name, a.agent, x.took(st), count(jobs, "job"), changed)
	}
	if a.outcome == eventlog.Succeeded && a.reason != "" {
		text += ", " + a.reason
	}
	if n := len(st.attempts); n > 1 {
		text += fmt.Sprintf("; it took %d attempts", n)
	}
	if a.resolved.as == "succeeded" {
		text += fmt.Sprintf("; that is the word of %s, since the outcome was unknown", a.resolved.by)
	}
	return text
}

// failed names the job that failed, or whatever else it was.
func (x *Explainer) failed(name string, st *step) string {
	settled := st.settled()
	a := st.newest()
	if a == nil {
		return because(name+" failed", settled.reason)
	}
	if a.resolved.as == "failed" {
		return because(fmt.Sprintf("%s failed by the word of %s, since its outcome was unknown", name, a.resolved.by), a.resolved.reason)
	}
	for _, t := range st.attempts {
		for i := range t.jobs {
			if j := &t.jobs[i]; j.outcome == eventlog.Failed || j.outcome == eventlog.Cancelled {
				said, _ := x.job(st.key.task, j.job)
				return fmt.Sprintf("%s failed: %s %s", name, said, j.ending())
			}
		}
	}
	return because(name+" failed", settled.reason)
}

// ending says how a job ended.
func (j *jobEnd) ending() string {
	text := j.outcome.String()
	if j.outcome == eventlog.Failed && j.exit > 0 {
		text = fmt.Sprintf("exited with %d", j.exit)
	}
	switch {
	case j.said != "":
		text += ": " + j.said
	case j.info != "":
		text += ": " + clipped(j.info, saidBytesMax)
	}
	return text
}

// skipped finds what kept the step from running, and tells that as well.
func (x *Explainer) skipped(e *Explanation, name string, st *step) string {
	settled := st.settled()
	verb := "was skipped"
	if st.status() == engine.TaskCancelled {
		verb = "was cancelled"
	}
	if x.Run.Cancelled.Index != 0 && st.status() == engine.TaskCancelled {
		e.say(x.Run.Cancelled, "the run was cancelled%s", colon(x.Run.CancelReason)).By = x.Run.CancelledBy
		return because(fmt.Sprintf("%s %s: %s cancelled the run", name, verb, x.Run.CancelledBy), x.Run.CancelReason)
	}
	cause := x.upstream(st)
	for i := range x.Run.skips {
		if s := &x.Run.skips[i]; s.Index == settled.Index && s.task == st.key.task {
			cause = x.culprit(s, st.host)
		}
	}
	if cause == nil {
		return because(name+" "+verb, settled.reason)
	}
	x.attempts(e, cause)
	e.say(cause.settled().Mark, "%s %s", x.Run.name(cause.key), cause.status())
	return fmt.Sprintf("%s %s, since %s", name, verb, x.failed(x.Run.name(cause.key), cause))
}

// upstream is the failed step, of those that the step depends on over any number of
// others, that kept it from running: a step that was sent ahead is settled by its agent's
// word, and no record of a skip names the cause.
func (x *Explainer) upstream(st *step) *step {
	seen := map[uint32]bool{st.key.task: true}
	for work := []uint32{st.key.task}; len(work) > 0; work = work[1:] {
		for _, d := range x.Run.Graph.Tasks[work[0]].Requires {
			if seen[d.Task] || planner.Scope(d.Scope) == planner.ScopeAfterSameHost {
				continue
			}
			if cause := x.culprit(&skip{Mark: st.settled().Mark, task: st.key.task, cause: d.Task}, st.host); cause != nil {
				return cause
			}
			seen[d.Task] = true
			work = append(work, d.Task)
		}
	}
	return nil
}

// culprit is the step whose failure is behind a skip: on the same host where there is
// one, or the first of the task that is named. Where the run fails fast that is the
// first failure of all.
func (x *Explainer) culprit(s *skip, host string) (found *step) {
	x.Run.each(func(k stepKey, st *step) {
		m := st.settled()
		if m == nil || m.to != engine.TaskFailed || m.Index >= s.Index {
			return
		}
		if k.task != s.cause && s.cause != s.task {
			return
		}
		if found == nil || st.host == host && found.host != host || m.Index < found.settled().Index && found.host != host {
			found = st
		}
	})
	return found
}

func colon(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// attempts tells what became of each attempt.
func (x *Explainer) attempts(e *Explanation, st *step) {
	if st == nil {
		return
	}
	name := x.Run.name(st.key)
	for n, a := range st.attempts {
		what := "was scheduled"
		if a.ahead {
			what = "was sent ahead of its turn"
		}
		if a.queued {
			what = "was sent ahead of a place"
		}
		text := fmt.Sprintf("%s %s on %s as attempt %d by orchestrator %d", name, what, a.agent, a.id, a.leader)
		if n > 0 {
			text += fmt.Sprintf(", to go on with job %d", a.fromJob)
		}
		if !a.connected {
			text += "; the agent was not connected"
		}
		e.say(a.Mark, "%s", text)
		if a.turn.Index != 0 {
			e.say(a.turn, "%s came to its turn: %s", name, x.behind(a.behind))
		}
		if a.seated.Index != 0 {
			e.say(a.seated, "%s had one of the run's places on %s", name, st.host)
		}
		if a.began.Index != 0 {
			e.say(a.began, "attempt %d began: it is in the agent's journal", a.id)
		}
		if a.waits.Index != 0 {
			e.say(a.waits, "a job of attempt %d waits for other hosts", a.id)
		}
		x.jobs(e, st.key.task, a)
		x.endings(e, a)
	}
	if m := st.settled(); m != nil && len(st.attempts) == 0 {
		e.say(m.Mark, "%s %s%s", name, m.to, colon(m.reason))
	}
}

func (x *Explainer) jobs(e *Explanation, task uint32, a *attempt) {
	for i := range a.jobs {
		j := &a.jobs[i]
		name, source := x.job(task, j.job)
		change := ", nothing changed"
		if j.changed {
			change = ""
		}
		text := j.ending()
		switch done := j.outcome == eventlog.Succeeded || j.outcome == eventlog.Skipped; {
		case done && x.Run.Check && j.changed:
			text = clipped(cmp.Or(j.info, "would change something"), saidBytesMax)
		case done && x.Run.Check:
			text = "would change nothing" + colon(clipped(j.info, saidBytesMax))
		case done:
			text = fmt.Sprintf("%s after %s%s", j.outcome, lasting(max(j.duration, 0)), change)
		}
		e.say(j.Mark, "%s %s", name, text).Source = source
	}
}

// endings tells how an attempt was settled, and what came to be known later.
func (x *Explainer) endings(e *Explanation, a *attempt) {
	if a.doubt.Index != 0 {
		e.say(a.doubt, "the outcome of attempt %d is unknown%s", a.id, colon(a.doubtReason)).By = a.by
	}
	if r := a.resolved; r.Index != 0 {
		e.say(r.Mark, "attempt %d was resolved as %s%s", a.id, r.as, colon(r.reason)).By = r.by
	}
	if a.ended.Index != 0 && a.outcome != eventlog.Unknown {
		e.say(a.ended, "attempt %d %s%s", a.id, words(a.outcome), colon(a.reason)).By = a.by
	}
	for _, l := range a.late {
		if !l.counted {
			e.say(l.Mark, "too late to count: attempt %d %s", a.id, words(l.outcome))
		}
	}
}

func words(o eventlog.Outcome) string {
	switch o {
	case eventlog.NotStarted:
		return "did not start"
	case eventlog.Skipped, eventlog.Cancelled:
		return "was " + o.String()
	}
	return o.String()
}

// around tells what happened around the step while it was not settled: to its agent, and
// who led.
func (x *Explainer) around(e *Explanation, st *step) {
	ready, _, ok := st.ready()
	if !ok {
		return
	}
	until := uint64(1<<63 - 1)
	if m := st.settled(); m != nil {
		until = m.Index
	}
	agents := map[string]bool{st.host: true}
	for _, a := range st.attempts {
		agents[a.agent] = true
	}
	for _, ev := range x.Run.Agents {
		if agents[ev.Agent] && ev.Index > ready.Index && ev.Index <= until {
			e.say(ev.Mark, "agent %s %s", ev.Agent, ev.Detail).By = ev.By
		}
	}
	for _, l := range x.Run.Leaders {
		if l.Index > ready.Index && l.Index < until {
			e.say(l.Mark, "orchestrator %d began to lead", l.Replica)
		}
	}
}
