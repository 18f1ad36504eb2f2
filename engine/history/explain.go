package history

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"quorate/engine"
	"quorate/planner"
)

// An Explanation says why something is as it is: the answer in a sentence, and what it
// rests on, in the order of the log.
type Explanation struct {
	Schema string `json:"schema"`
	// What is task, step, host or variable, and Which names it.
	What  string `json:"what"`
	Which string `json:"which"`
	Run   uint64 `json:"run,omitempty"`
	// Seq is the last record that was looked at.
	Seq    uint64 `json:"seq"`
	Status string `json:"status,omitempty"`
	Answer string `json:"answer"`
	// Hint is what to do next; empty where nothing is to be done.
	Hint     string     `json:"hint,omitempty"`
	Evidence []Evidence `json:"evidence"`
	// Values are what a variable was set to.
	Values []Setting `json:"values,omitempty"`
	// Unknown is what could not be found out, and why.
	Unknown []string `json:"unknown,omitempty"`
}

// Evidence is one thing that an explanation rests on.
type Evidence struct {
	// Seq is the record that says it; 0 is for what the plan says.
	Seq  uint64     `json:"seq,omitempty"`
	Time *time.Time `json:"time,omitempty"`
	// Source is where it is written: file:line, by the file's name in the plan's inputs.
	Source string `json:"source,omitempty"`
	// By is the operator whose word it is.
	By   string `json:"by,omitempty"`
	Text string `json:"text"`
}

// An Explainer explains what the history of a run holds.
type Explainer struct {
	Run *Run
	// State is that of the point as of which is explained.
	State *engine.State
	// Plan is the run's plan; nil where its blob is not at hand, so that nothing is
	// said of files and lines.
	Plan *planner.Plan
	// Sources is for variables, which come from other runs and from files as well.
	Sources
}

// say adds what a record says.
func (e *Explanation) say(m Mark, format string, args ...any) *Evidence {
	ev := Evidence{Text: fmt.Sprintf(format, args...)}
	if m.Index != 0 {
		ev.Seq = m.Index
		if m.Time != 0 {
			t := timeOf(m.Time)
			ev.Time = &t
		}
	}
	e.Evidence = append(e.Evidence, ev)
	return &e.Evidence[len(e.Evidence)-1]
}

// order sorts the evidence: what the plan says, then the log, and fills in times.
func (x *Explainer) order(e *Explanation) {
	slices.SortStableFunc(e.Evidence, func(a, b Evidence) int {
		switch {
		case a.Seq < b.Seq:
			return -1
		case a.Seq > b.Seq:
			return 1
		}
		return 0
	})
	type line struct {
		seq          uint64
		text, source string
	}
	told := map[line]bool{}
	e.Evidence = slices.DeleteFunc(e.Evidence, func(v Evidence) bool {
		l := line{v.Seq, v.Text, v.Source}
		again := told[l]
		told[l] = true
		return again
	})
	for i := range e.Evidence {
		ev := &e.Evidence[i]
		if ev.Seq == 0 || ev.Time != nil || x.Record == nil {
			continue
		}
		if rec, err := x.Record(ev.Seq); err == nil {
			t := timeOf(rec.Time)
			ev.Time = &t
		}
	}
}

func (x *Explainer) begin(what, which string) *Explanation {
	e := &Explanation{Schema: Schema, What: what, Which: which, Run: x.Run.ID, Seq: x.State.Index, Evidence: []Evidence{}}
	if x.Plan == nil {
		e.Unknown = append(e.Unknown, fmt.Sprintf("the plan %.12s is not at hand: files, lines and jobs' texts are not known", x.Run.Graph.PlanID))
	}
	by := x.Run.By
	check := ""
	if x.Run.Check {
		check = ", a check that changes nothing,"
	}
	e.say(x.Run.Created, "run %d%s was created", x.Run.ID, check).By = by
	return e
}

// place writes where something is in the inputs; empty where that is not known.
func place(p planner.Pos) string {
	if p.File == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// taskSource is where a task is written.
func (x *Explainer) taskSource(task uint32) string {
	if x.Plan == nil || int(task) >= len(x.Plan.Tasks) {
		return ""
	}
	return place(x.Plan.Tasks[task].Source)
}

// jobTextMax bounds, in characters, what is shown of a job's text.
const jobTextMax = 80

// job names a job, with where it is written.
func (x *Explainer) job(task, job uint32) (name, source string) {
	if x.Plan == nil || int(task) >= len(x.Plan.Tasks) || int(job) >= len(x.Plan.Tasks[task].Jobs) {
		return fmt.Sprintf("job %d", job), ""
	}
	j := &x.Plan.Tasks[task].Jobs[job]
	text := strings.Join(strings.Fields(j.Spec.Text), " ")
	if j.Spec.Name != "" {
		text = j.Spec.Name
	}
	return fmt.Sprintf("job %d (%s %s)", job, j.Spec.Verb, clipped(text, jobTextMax)), place(j.Source)
}

// clipped is the text in at most so many characters.
func clipped(text string, runesMax int) string {
	if r := []rune(text); len(r) > runesMax {
		return string(r[:runesMax-1]) + "…"
	}
	return text
}

// findTask is a task of the run by its id.
func (x *Explainer) findTask(id string) (uint32, bool) {
	i := slices.IndexFunc(x.Run.Graph.Tasks, func(t planTask) bool { return t.ID == id })
	return uint32(max(i, 0)), i >= 0
}

// findStep is a step of the run by its name.
func (x *Explainer) findStep(name string) (stepKey, bool) {
	id, host, _ := strings.Cut(name, "@")
	task, ok := x.findTask(id)
	if !ok {
		return stepKey{}, false
	}
	for pos := range x.Run.Graph.StepCount(task) {
		if k := (stepKey{task, pos}); x.Run.hostOf(k) == host {
			return k, true
		}
	}
	return stepKey{}, false
}

// Has reports whether the run has something of a kind and a name: a task, a step, or a
// host. Variables it does not know.
func (x *Explainer) Has(what, name string) bool {
	switch what {
	case "task":
		_, ok := x.findTask(name)
		return ok
	case "step":
		_, ok := x.findStep(name)
		return ok && strings.Contains(name, "@")
	case "host":
		return x.State.AgentByName(name) != nil || slices.Contains(x.Run.Graph.Hosts, name)
	}
	return false
}

// Step explains a step, which the run must have.
func (x *Explainer) Step(name string) *Explanation {
	k, _ := x.findStep(name)
	e := x.begin("step", name)
	x.step(e, k)
	x.rendered(e, x.Run.step(k))
	x.order(e)
	return e
}

// Task explains a task, which the run must have.
func (x *Explainer) Task(name string) *Explanation {
	task, _ := x.findTask(name)
	e := x.begin("task", name)
	if x.Run.Graph.StepCount(task) == 1 {
		x.step(e, stepKey{task, 0})
		x.rendered(e, x.Run.step(stepKey{task, 0}))
	} else {
		x.steps(e, task)
	}
	x.order(e)
	return e
}

// storiesMax is how many steps of a task or a host are told one by one.
const storiesMax = 8

// steps explains a task with several steps: those that went wrong, or wait, first.
func (x *Explainer) steps(e *Explanation, task uint32) {
	x.written(e, task)
	counts := map[string]int{}
	var telling []stepKey
	n := x.Run.Graph.StepCount(task)
	for pos := range n {
		k := stepKey{task, pos}
		status := x.Run.step(k).status()
		counts[status.String()]++
		if status != engine.Done {
			telling = append(telling, k)
		}
	}
	e.Answer = fmt.Sprintf("%s: of %d steps %s", x.Run.Graph.Tasks[task].ID, n, tally(counts))
	e.Status = "succeeded"
	if status := x.stories(e, telling); len(telling) > 0 {
		e.Status = status
	} else {
		x.waits(e, stepKey{task, 0})
		for pos := range min(n, storiesMax) {
			st := x.Run.step(stepKey{task, pos})
			e.say(st.settled().Mark, "%s succeeded%s", x.Run.name(st.key), x.took(st))
		}
	}
}

// stories tells of steps one by one, first of the one that somebody who asks wants to know
// of, whose status it returns, or "" where there are none.
func (x *Explainer) stories(e *Explanation, telling []stepKey) (status string) {
	slices.SortStableFunc(telling, func(a, b stepKey) int { return urgency(x.Run.step(a).status()) - urgency(x.Run.step(b).status()) })
	for i, k := range telling {
		if i == storiesMax {
			e.say(Mark{}, "and %d more steps like these: explain one of them, such as %s", len(telling)-i, x.Run.name(k))
			break
		}
		one := Explanation{}
		x.step(&one, k)
		if i == 0 {
			e.Answer += ". " + one.Answer
			e.Hint, status = one.Hint, one.Status
		}
		e.Evidence = append(e.Evidence, one.Evidence...)
	}
	return status
}

// urgency orders statuses by what somebody who asks wants to know first.
func urgency(s engine.TaskStatus) int {
	order := []engine.TaskStatus{engine.TaskFailed, engine.Waiting, engine.Running, engine.Ready, engine.Pending, engine.TaskCancelled, engine.TaskSkipped}
	return slices.Index(order, s)
}

// tally lists counts by status.
func tally(counts map[string]int) string {
	var words []string
	for s := range counts {
		words = append(words, fmt.Sprintf("%d %s", counts[s], s))
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// took is how long a step was under way, for people.
func (x *Explainer) took(st *step) string {
	m := st.settled()
	if m == nil || len(st.attempts) == 0 {
		return ""
	}
	return " after " + lasting(m.Time-st.attempts[0].Time)
}

// lasting is a length of time in nanoseconds, for people.
func lasting(nanos int64) string {
	d := time.Duration(nanos)
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
