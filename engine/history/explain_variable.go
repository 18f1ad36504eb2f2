package history

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/internal/job"
	"quorate/planner"
)

const (
	// settingsMax bounds what is told of one variable, the newest; usesMax the uses of
	// one value.
	settingsMax = 2000
	usesMax     = 200
)

// Variable explains where the values of a variable come from, on all hosts or on one. It
// returns nil where nothing in the run's plan or on record sets or uses it.
func (x *Explainer) Variable(name, host string) *Explanation {
	e := x.begin("variable", name)
	settings := x.settings(name, host)
	var uses []setter
	if x.Plan != nil {
		uses = x.uses(name)
		for _, v := range x.Plan.Vars {
			if v.Name == name {
				settings = append(settings, x.operators(v))
			}
		}
	}
	if len(settings) == 0 && len(uses) == 0 {
		return nil
	}
	x.replaced(settings)
	x.used(settings, uses, host)
	if n := len(settings) - settingsMax; n > 0 {
		e.Unknown = append(e.Unknown, fmt.Sprintf("%d earlier values are left out", n))
		settings = settings[n:]
	}
	e.Values = settings
	x.tellValues(e, name)
	x.order(e)
	x.tellUses(e, name, uses)
	return e
}

// settings are the values that jobs of all runs gave a variable, and what hosts have
// published of it, in the order of the log.
func (x *Explainer) settings(name, host string) (out []Setting) {
	plans := map[string][]setter{}
	for _, r := range x.State.Runs {
		if _, known := plans[r.PlanID]; !known {
			plans[r.PlanID] = x.settersIn(r, name)
		}
	}
	for _, a := range x.State.Attempts {
		r := x.State.Run(a.Run)
		if r.Check && r.ID != x.Run.ID {
			continue // it set nothing
		}
		for _, s := range plans[r.PlanID] {
			if s.task != a.Task {
				continue
			}
			h := hostAt(r.Graph, keyOf(r.Graph, a.Task, a.Host))
			if host != "" && h != host {
				continue
			}
			for j := range a.Jobs.All() {
				if j.Job == s.job && (j.Outcome == eventlog.Succeeded || j.Outcome == eventlog.Skipped) {
					out = append(out, x.setting(&s, r, h, &j))
				}
			}
		}
	}
	for _, v := range x.Run.Values {
		if v.Key == name && (host == "" || v.Host == host) {
			out = append(out, x.publishedSetting(&v))
		}
	}
	slices.SortFunc(out, func(a, b Setting) int { return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Host, b.Host)) })
	remembered(out)
	return out
}

// remembered gives what jobs printed before to those that were left alone since: these
// print nothing, and set the value that they remember.
func remembered(settings []Setting) {
	type printer struct {
		step, how string
		job       uint32
	}
	before := map[printer]*Setting{}
	for i := range settings {
		s := &settings[i]
		if !strings.Contains(s.How, "--std") {
			continue
		}
		p := printer{s.Step, s.How, s.Job}
		if old := before[p]; old != nil && !s.Changed && s.Value == "" {
			s.Value, s.Known = old.Value, old.Known
		}
		before[p] = s
	}
}

// settersIn are those of a run's plan, which may not be at hand.
func (x *Explainer) settersIn(r *engine.Run, name string) []setter {
	p := x.Plan
	if r.PlanID != x.Run.Graph.PlanID || p == nil {
		if x.PlanOf == nil {
			return nil
		}
		var err error
		if p, err = x.PlanOf(r.PlanID); err != nil || p == nil || len(p.Tasks) != len(r.Graph.Tasks) {
			return nil
		}
	}
	return x.settersOf(p, name)
}

// replaced links each value to the one that the host had before. Environments and
// arguments do not replace each other.
func (x *Explainer) replaced(settings []Setting) {
	type where struct {
		host string
		env  bool
	}
	last := map[where]uint64{}
	for i := range settings {
		s := &settings[i]
		if s.How == "published" || s.How == "--var" || s.planned() {
			continue // these tell of a value, or are beside it
		}
		w := where{s.Host, s.How == "ENV"}
		s.Replaced = last[w]
		last[w] = s.Seq
	}
}

// used finds for each job that used the variable the value that it had: that of the
// operator, or the newest on its host.
func (x *Explainer) used(settings []Setting, uses []setter, host string) {
	byTask := map[uint32][]setter{}
	for _, u := range uses {
		byTask[u.task] = append(byTask[u.task], u)
	}
	x.Run.each(func(k stepKey, st *step) {
		if st == nil || host != "" && st.host != host {
			return
		}
		for _, a := range st.attempts {
			for _, j := range a.jobs {
				for _, u := range byTask[k.task] {
					if u.job != j.job {
						continue
					}
					if s := inForce(settings, st.host, j.Index); s != nil && len(s.UsedBy) < usesMax {
						s.UsedBy = append(s.UsedBy, Use{x.Run.name(k), j.job, u.source, j.Index})
					}
				}
			}
		}
	})
}

// inForce is the value that a job on a host had when its result was made.
func inForce(settings []Setting, host string, at uint64) (found *Setting) {
	for i := range settings {
		s := &settings[i]
		switch {
		case s.How == "--var":
			return s // before any argument of the host
		case s.Host == host && s.Seq < at && s.How != "published":
			found = s
		}
	}
	return found
}

// tellValues says where the values come from: one sentence for those that are alike.
func (x *Explainer) tellValues(e *Explanation, name string) {
	type kind struct {
		how, source, value string
		run                uint64
	}
	seen := map[kind][]*Setting{}
	var order []kind
	for i := range e.Values {
		s := &e.Values[i]
		k := kind{s.How, s.Source, s.Value, s.Run}
		if seen[k] == nil {
			order = append(order, k)
		}
		seen[k] = append(seen[k], s)
	}
	newest := map[string]*Setting{}
	for i := range e.Values {
		if s := &e.Values[i]; s.How != "published" {
			newest[s.Host] = s
		}
	}
	for _, k := range order {
		group := seen[k]
		s := group[0]
		hosts := map[string]bool{}
		for _, g := range group {
			hosts[g.Host] = true
		}
		if s.Template {
			x.tellOrigins(e, s)
		}
		ev := e.say(Mark{Index: s.Seq}, "%s", x.settingText(name, s, group, len(hosts)))
		if ev.Source = s.Source; s.How == "--var" {
			ev.By = x.Run.By
		}
	}
	e.Answer = answerOf(name, e.Values, newest)
}

// tellOrigins says where the values come from that a template is rendered with, and what
// it comes to where it does nothing but name them.
func (x *Explainer) tellOrigins(e *Explanation, s *Setting) {
	rendered := s.Value
	for _, from := range s.From {
		if o := inForce(x.valuesOn(from, s.Host), s.Host, s.Seq); o != nil {
			if o.Known {
				rendered = printing(from).ReplaceAllLiteralString(rendered, o.Value)
			}
			e.say(Mark{Index: o.Seq}, "%s = %s on %s, by %s in job %d of %s", from, o.shown(), s.Host, o.How, o.Job, o.Step).Source = o.Source
		}
	}
	if !strings.Contains(rendered, "{{") && !strings.Contains(rendered, "{%") {
		s.Rendered = rendered
	}
}

// printing matches a print statement of a variable, and nothing else.
func printing(name string) *regexp.Regexp {
	return regexp.MustCompile(`\{\{-?\s*` + regexp.QuoteMeta(name) + `\s*-?\}\}`)
}

// settingText says how a value was set, and what became of the one before it.
func (x *Explainer) settingText(name string, s *Setting, group []*Setting, hosts int) string {
	where := "on " + s.Host
	if hosts > 1 {
		where = fmt.Sprintf("on %d hosts, %s first", hosts, s.Host)
	}
	if s.How == "--var" {
		return fmt.Sprintf("%s = %s for the whole run, before any argument of a host: it was given with --var", name, s.Value)
	}
	text := fmt.Sprintf("%s = %s %s, by %s in job %d of %s in run %d", name, s.shown(), where, s.How, s.Job, s.Step, s.Run)
	if s.planned() {
		text = fmt.Sprintf("%s would be %s %s, by %s in job %d of %s: run %d is a check, and set nothing", name, s.shown(), where, s.How, s.Job, s.Step, s.Run)
	}
	if s.How == "published" {
		text = fmt.Sprintf("%s = %s %s, as job %d of %s told other hosts", name, s.shown(), where, s.Job, s.Step)
	}
	if s.Template && len(s.From) > 0 {
		text += "; it is rendered with " + strings.Join(s.From, ", ")
		if s.Rendered != "" {
			text += ", and written " + s.Value
		}
	}
	switch {
	case s.Replaced != 0 && s.Extends:
		text += fmt.Sprintf("; added to the value of #%d", s.Replaced)
	case s.Replaced != 0:
		text += fmt.Sprintf("; in place of the value of #%d", s.Replaced)
	}
	if !s.Changed {
		text += "; the host had it already"
	}
	uses := 0
	for _, g := range group {
		uses += len(g.UsedBy)
	}
	if uses > 0 {
		text += fmt.Sprintf("; used by %s", count(uses, "job"))
	}
	return text
}

// answerOf says what the variable is now.
func answerOf(name string, values []Setting, newest map[string]*Setting) string {
	if len(newest) == 0 {
		return name + " was set by nothing on record: it is a fact of the host, or was set before this log, or never"
	}
	if s := newest[""]; s != nil && s.How == "--var" {
		return fmt.Sprintf("%s is %s in this run: given with --var, before whatever hosts have", name, s.Value)
	}
	kinds := map[string][]*Setting{}
	for _, s := range newest {
		k := s.Value + "\x00" + s.Source
		kinds[k] = append(kinds[k], s)
	}
	if len(kinds) > 1 {
		return fmt.Sprintf("%s differs: %d values on %d hosts", name, len(kinds), len(newest))
	}
	for _, group := range kinds {
		s := group[0]
		for _, other := range group {
			if other.Seq > s.Seq {
				s = other
			}
		}
		is := "is"
		if s.planned() {
			is = "would be"
		}
		text := fmt.Sprintf("%s %s %s on %s, set by %s", name, is, s.shown(), count(len(newest), "host"), s.How)
		if s.Source != "" {
			text += " in " + s.Source
		}
		return fmt.Sprintf("%s (#%d)", text, s.Seq)
	}
	return name
}

// usesTold is how many jobs that use a variable are told one by one.
const usesTold = 20

// tellUses says which jobs speak of the variable.
func (x *Explainer) tellUses(e *Explanation, name string, uses []setter) {
	for i, u := range uses {
		if i == usesTold {
			e.say(Mark{}, "and %d more jobs use it", len(uses)-i)
			return
		}
		said, source := x.job(u.task, u.job)
		e.say(Mark{}, "%s of %s uses %s", said, x.Plan.Tasks[u.task].ID, name).Source = source
	}
}

// rendered says where the values come from that the step's jobs were rendered with.
func (x *Explainer) rendered(e *Explanation, st *step) {
	if st == nil || x.Plan == nil {
		return
	}
	known := map[string][]Setting{}
	for _, a := range st.attempts {
		for i := range a.jobs {
			j := &a.jobs[i]
			jobs := x.Plan.Tasks[st.key.task].Jobs
			if int(j.job) >= len(jobs) {
				continue
			}
			for _, name := range x.usedIn(&jobs[j.job].Spec) {
				if _, asked := known[name]; !asked {
					known[name] = x.valuesOn(name, st.host)
				}
				s := inForce(known[name], st.host, j.Index)
				if s == nil {
					continue
				}
				ev := e.say(Mark{Index: s.Seq}, "job %d used %s = %s, by %s", j.job, name, s.shown(), s.How)
				ev.Source = s.Source
			}
		}
	}
}

// usedIn are the variables that a job's text and options speak of.
func (x *Explainer) usedIn(spec *job.Job) []string {
	text := spec.Text
	for _, o := range spec.Options {
		text += " " + o.Value
	}
	if _, renders := spec.Option("blueprint"); renders && x.File != nil {
		for _, f := range spec.Files {
			if data, err := x.File(f.Digest); err == nil && f.Size <= cacheBytesMax {
				text += " " + string(data)
			}
		}
	}
	return names(text)
}

// valuesOn are the values that a host had of a variable, and the operator's.
func (x *Explainer) valuesOn(name, host string) []Setting {
	out := x.settings(name, host)
	if x.Plan == nil {
		return out
	}
	for _, v := range x.Plan.Vars {
		if v.Name == name {
			out = append(out, x.operators(v))
		}
	}
	return out
}

// operators is a value that was given for the whole run.
func (x *Explainer) operators(v job.Option) Setting {
	return Setting{Value: v.Value, Known: true, How: "--var", Run: x.Run.ID, Seq: x.Run.Created.Index, Changed: true}
}

// PlanFits reports whether a plan is that of the run.
func (r *Run) PlanFits(p *planner.Plan) bool {
	return p != nil && len(p.Tasks) == len(r.Graph.Tasks) && p.ID() == r.Graph.PlanID
}
