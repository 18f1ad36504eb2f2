package history

import (
	"strings"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/internal/pyvalue"
)

// A Setting is a value that a variable was given on a host.
type Setting struct {
	Host string `json:"host,omitempty"`
	// Value is the value as it is written where Template is true, or what it was.
	Value    string `json:"value"`
	Template bool   `json:"template,omitempty"`
	// Known says that Value is what it was; a job may have found it out by itself.
	Known  bool   `json:"known"`
	How    string `json:"how"`
	Source string `json:"source,omitempty"`
	Run    uint64 `json:"run,omitempty"`
	Step   string `json:"step,omitempty"`
	Job    uint32 `json:"job"`
	// Seq is the record of the job's result, or of what was published.
	Seq uint64 `json:"seq,omitempty"`
	// Changed is false where the host had the value before.
	Changed bool `json:"changed"`
	// Checked says that the run only asked what would be done, which set nothing.
	Checked bool `json:"checked,omitempty"`
	// Replaced is the record that had set the value before this one; Extends says that
	// it was added to.
	Replaced uint64 `json:"replaced,omitempty"`
	Extends  bool   `json:"extends,omitempty"`
	// From are the variables that a template speaks of.
	From []string `json:"from,omitempty"`
	// Rendered is what the template came to, where it only names values that are known.
	Rendered string `json:"rendered,omitempty"`
	// UsedBy are the jobs that ran with it.
	UsedBy []Use `json:"used_by,omitempty"`
}

// A Use is a job that used a value.
type Use struct {
	Step   string `json:"step"`
	Job    uint32 `json:"job"`
	Source string `json:"source,omitempty"`
	// Seq is the record of its result.
	Seq uint64 `json:"seq"`
}

func (x *Explainer) setting(s *setter, r *engine.Run, host string, j *engine.JobResult) Setting {
	out := Setting{
		Host: host, Value: clipped(s.text, valueTextMax), How: s.how, Source: s.source, Run: r.ID, Step: StepName(r.Graph, s.task, host),
		Job: s.job, Seq: j.Index, Changed: j.Changed, Checked: r.Check, Extends: s.extends, From: names(s.text),
	}
	out.Template = strings.Contains(s.text, "{{") || strings.Contains(s.text, "{%")
	out.Known = s.text != "" && !out.Template
	if s.text == "" && x.Record != nil && strings.Contains(s.how, "--std") {
		if rec, err := x.Record(j.Index); err == nil {
			if e, err := eventlog.Decode(rec.Kind, rec.Data); err == nil {
				out.printed(e, s.how)
			}
		}
	}
	return out
}

// printed takes the value from what the job printed, which is on record.
func (s *Setting) printed(e eventlog.Event, how string) {
	ended, ok := e.(*eventlog.JobEnded)
	if !ok {
		return
	}
	from := ended.Stdout
	if strings.HasSuffix(how, "stderr-arg") {
		from = ended.Stderr
	}
	s.Value = clipped(strings.Join(strings.Fields(strings.ToValidUTF8(string(from.Head), "\uFFFD")), " "), valueTextMax)
	// A job that was only asked what it would do has printed nothing.
	s.Known = from.Size <= int64(len(from.Head)) && (ended.Changed && !s.Checked || from.Size > 0)
}

// publishedSetting is a value as the host has told it to others.
func (x *Explainer) publishedSetting(v *Value) Setting {
	out := Setting{Host: v.Host, How: "published", Run: x.Run.ID, Job: v.Job, Seq: v.Index, Known: true, Changed: true, Value: "(absent)"}
	if st, _ := x.Run.attemptOf(v.Attempt); st != nil {
		out.Step = x.Run.name(st.key)
		_, out.Source = x.job(st.key.task, v.Job)
	}
	if !v.Absent {
		decoded, err := pyvalue.Decode(v.Encoded)
		if err != nil {
			out.Value, out.Known = "(not readable)", false
			return out
		}
		out.Value, _ = pyvalue.ReprWithin(decoded, valueTextMax)
	}
	return out
}

// shown is the value for people.
func (s *Setting) shown() string {
	if s.Rendered != "" {
		return s.Rendered
	}
	switch {
	case s.Value != "" || s.Known:
		return s.Value
	case s.planned():
		return "what the job finds"
	}
	return "what a job found"
}

// planned says that the host does not have the value: a check only asked.
func (s *Setting) planned() bool { return s.Checked && s.Changed }
