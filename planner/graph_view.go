package planner

// ViewSchema versions the document of [View]. Fields are only ever added.
const ViewSchema = "quorate/v1"

// The actions of a task in a plan document.
const (
	ActionRun       = "run"       // it would run
	ActionUnchanged = "unchanged" // nothing has changed since it last succeeded
)

// A Verdict says what would become of a task.
type Verdict struct {
	Action string // ActionRun or ActionUnchanged
	Reason string // for people
	// Hosts are those on which it would run, where that is known; in inventory order.
	Hosts []string
}

// PlanView is the JSON document of a plan. Its lists are never null.
type PlanView struct {
	Schema         string `json:"schema"`
	PlanID         string `json:"plan_id"` // empty where there is no plan
	PlannerVersion string `json:"planner_version"`
	// Hosts are in inventory order.
	Hosts []string   `json:"hosts"`
	Tasks []TaskView `json:"tasks"`
	// Order holds the ids of tasks by level: what is in one level could run at once.
	Order [][]string `json:"order"`
	// CriticalPath is a longest chain of requirements.
	CriticalPath []string         `json:"critical_path"`
	Warnings     []DiagnosticView `json:"warnings"`
	Errors       []DiagnosticView `json:"errors"`
}

// TaskView is a task in a plan document.
type TaskView struct {
	ID      string `json:"id"`
	Service string `json:"service"`
	Name    string `json:"name"`
	Driver  string `json:"driver"`
	// Hosts are in inventory order.
	Hosts []string `json:"hosts"`
	// Requires and Provides are symbols.
	Requires []string `json:"requires"`
	Provides []string `json:"provides"`
	// After are the tasks that it waits for.
	After []EdgeView `json:"after"`
	// Action is run, unchanged or skip.
	Action string `json:"action"`
	Reason string `json:"reason"`
	// RunsOn are the hosts on which it would run, where the plan was compared with what
	// is on record.
	RunsOn []string `json:"runs_on,omitempty"`
	// Jobs counts the jobs on each host.
	Jobs       int    `json:"jobs"`
	Level      int    `json:"level"`
	Idempotent bool   `json:"idempotent,omitempty"`
	Always     bool   `json:"always,omitempty"`
	File       string `json:"file"`
	Line       uint32 `json:"line"`
}

// EdgeView is a requirement in a plan document.
type EdgeView struct {
	Task string `json:"task"`
	// Scope is all (every host of the task), same-host, or after-same-host (an
	// order only, whatever the outcome).
	Scope string `json:"scope"`
}

// DiagnosticView is a diagnostic in a plan document. Line and column are counted
// from 1; 0 is unknown.
type DiagnosticView struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	File    string `json:"file"`
	Line    uint32 `json:"line"`
	Column  uint32 `json:"column"`
	Hint    string `json:"hint"`
}

// String returns the scope as documents spell it.
func (s Scope) String() string {
	switch s {
	case ScopeSameHost:
		return "same-host"
	case ScopeAfterSameHost:
		return "after-same-host"
	}
	return "all"
}

// View makes the document of a plan and the diagnostics of its making. The plan
// is nil where there are errors. Verdicts are by position of the task; a task
// beyond them, or with an empty action, would run.
func View(p *Plan, diagnostics []Diagnostic, verdicts []Verdict) *PlanView {
	v := &PlanView{
		Schema: ViewSchema,
		Hosts:  []string{}, Tasks: []TaskView{}, Order: [][]string{}, CriticalPath: []string{},
		Warnings: []DiagnosticView{}, Errors: []DiagnosticView{},
	}
	for _, d := range diagnostics {
		view := DiagnosticView{d.Code, d.Message, d.Pos.File, d.Pos.Line, d.Pos.Column, d.Hint}
		if d.Severity == Error {
			v.Errors = append(v.Errors, view)
		} else {
			v.Warnings = append(v.Warnings, view)
		}
	}
	if p == nil {
		return v
	}
	v.PlanID, v.PlannerVersion = p.ID(), p.PlannerVersion
	v.Hosts = append(v.Hosts, p.Hosts...)
	levels := p.taskLevels()
	for i := range p.Tasks {
		t := p.taskView(i)
		t.Level = int(levels[i])
		if i < len(verdicts) && verdicts[i].Action != "" {
			t.Action, t.Reason, t.RunsOn = verdicts[i].Action, verdicts[i].Reason, verdicts[i].Hosts
		}
		v.Tasks = append(v.Tasks, t)
	}
	for _, level := range p.Levels() {
		v.Order = append(v.Order, p.taskIDs(level))
	}
	v.CriticalPath = p.taskIDs(p.CriticalPath())
	return v
}

func (p *Plan) taskView(i int) TaskView {
	t := &p.Tasks[i]
	view := TaskView{
		ID: t.ID, Service: t.Service, Name: t.Name, Driver: string(t.Driver),
		Hosts:    p.taskHosts(i),
		Requires: append([]string{}, t.Symbols...), Provides: append([]string{}, t.Provides...),
		After:  []EdgeView{},
		Action: ActionRun, Jobs: len(t.Jobs),
		Idempotent: t.Idempotent, Always: t.Always,
		File: t.Source.File, Line: t.Source.Line,
	}
	for _, d := range t.Requires {
		view.After = append(view.After, EdgeView{p.Tasks[d.Task].ID, d.Scope.String()})
	}
	return view
}

func (p *Plan) taskIDs(positions []uint32) []string {
	ids := make([]string, 0, len(positions))
	for _, i := range positions {
		ids = append(ids, p.Tasks[i].ID)
	}
	return ids
}
