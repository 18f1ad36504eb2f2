package history

import (
	"path"
	"slices"
	"strings"

	"quorate/eventlog"
	"quorate/internal/job"
	"quorate/internal/yaml11"
	"quorate/planner"
)

// Sources are where an [Explainer] looks for what is not in the run's history. Each of
// them may be nil, and each may fail: what it would have said is not known then.
type Sources struct {
	// PlanOf reads a plan by its id.
	PlanOf func(id string) (*planner.Plan, error)
	// File reads a file that jobs ship, by its SHA-256.
	File func(digest string) ([]byte, error)
	// Record reads a record of the log.
	Record func(index uint64) (eventlog.Record, error)
}

// A setter is a job that gives a variable a value where it runs.
type setter struct {
	task, job uint32
	how       string // ARG, ENV, CACHEFILE, the option of a job, or another verb
	text      string // the value as it is written; empty where the job finds it out
	source    string
	extends   bool
	spec      *job.Job
}

// settersOf are the jobs of a plan that set a variable.
func (x *Explainer) settersOf(p *planner.Plan, name string) (found []setter) {
	for t := range p.Tasks {
		for j := range p.Tasks[t].Jobs {
			planned := &p.Tasks[t].Jobs[j]
			s := setter{task: uint32(t), job: uint32(j), source: place(planned.Source), spec: &planned.Spec}
			if x.sets(p, &s, name) {
				found = append(found, s)
			}
		}
	}
	return found
}

// sets reports whether a job sets the variable, and notes how.
func (x *Explainer) sets(p *planner.Plan, s *setter, name string) bool {
	spec := s.spec
	for _, o := range spec.Options {
		switch {
		case (o.Name == "stdout-arg" || o.Name == "stderr-arg") && o.Value == name:
			s.how = spec.Verb + " --" + o.Name
			return true
		case o.Name == "extend-args":
			s.extends = true
		}
	}
	switch spec.Verb {
	case "ARG", "ENV":
		key, value := job.SplitKeyValue(spec.Text)
		s.how, s.text = spec.Verb, value
		return key == name
	case "FACTER":
		s.how = spec.Verb
		return name == "facter"
	case "CONTAINER_CONFIG":
		s.how = spec.Verb
		return name == "configs"
	case "QUERY":
		s.how = spec.Verb
		return name == "query"
	case "CACHEFILE":
		s.how = spec.Verb
		return x.loads(p, s, name)
	}
	return false
}

// cacheBytesMax bounds a file that is looked into.
const cacheBytesMax = 4 << 20

// loads looks for the variable in the file that a CACHEFILE loads, where a job before it
// has shipped that.
func (x *Explainer) loads(p *planner.Plan, s *setter, name string) bool {
	if x.File == nil {
		return false
	}
	for t := range p.Tasks[:s.task+1] {
		for j := range p.Tasks[t].Jobs {
			spec := &p.Tasks[t].Jobs[j].Spec
			for _, f := range spec.Files {
				if !arrives(spec, &f, s.spec.Text) {
					continue
				}
				if line, value, ok := x.lookInto(f, name); ok {
					s.text = value
					s.source = place(planner.Pos{File: inputName(p, f), Line: line})
					return true
				}
			}
		}
	}
	return false
}

// arrives reports whether a job puts a file where another one looks for it.
func arrives(spec *job.Job, f *job.File, at string) bool {
	words := strings.Fields(spec.Text)
	if len(words) == 0 {
		return false
	}
	to := words[len(words)-1]
	return path.Clean(to) == path.Clean(at) || path.Join(to, f.Name) == path.Clean(at)
}

// inputName is the file's name among the plan's inputs.
func inputName(p *planner.Plan, f job.File) string {
	for _, in := range p.Inputs {
		if in.Digest == f.Digest {
			return in.Name
		}
	}
	return f.Name
}

// lookInto finds a key at the top of a YAML file.
func (x *Explainer) lookInto(f job.File, name string) (line uint32, value string, ok bool) {
	if f.Size > cacheBytesMax {
		return 0, "", false
	}
	data, err := x.File(f.Digest)
	if err != nil {
		return 0, "", false
	}
	docs, err := yaml11.Parse(f.Name, data)
	if err != nil || len(docs) != 1 || docs[0].Kind != yaml11.Mapping {
		return 0, "", false
	}
	for _, pair := range docs[0].Pairs {
		if pair.Key.Text == name {
			return uint32(pair.Key.Line), yamlText(pair.Value, valueTextMax), true
		}
	}
	return 0, "", false
}

// valueTextMax bounds, in characters, what is shown of a value.
const valueTextMax = 200

// yamlText writes a node on one line, in about so many characters.
func yamlText(n *yaml11.Node, room int) string {
	var b strings.Builder
	writeYAML(&b, n, room)
	return clipped(b.String(), room)
}

func writeYAML(b *strings.Builder, n *yaml11.Node, room int) {
	if b.Len() > room*4 {
		return
	}
	switch n.Kind {
	case yaml11.Mapping:
		b.WriteString("{")
		for i, p := range n.Pairs {
			if i > 0 {
				b.WriteString(", ")
			}
			writeYAML(b, p.Key, room)
			b.WriteString(": ")
			writeYAML(b, p.Value, room)
		}
		b.WriteString("}")
	case yaml11.Sequence:
		b.WriteString("[")
		for i, item := range n.Items {
			if i > 0 {
				b.WriteString(", ")
			}
			writeYAML(b, item, room)
		}
		b.WriteString("]")
	default:
		b.WriteString(strings.Join(strings.Fields(n.Text), " "))
	}
}

// uses are the jobs of the run's plan that use a variable.
func (x *Explainer) uses(name string) (found []setter) {
	for t := range x.Plan.Tasks {
		for j := range x.Plan.Tasks[t].Jobs {
			planned := &x.Plan.Tasks[t].Jobs[j]
			if x.useOf(&planned.Spec, name) {
				found = append(found, setter{task: uint32(t), job: uint32(j), source: place(planned.Source), spec: &planned.Spec})
			}
		}
	}
	return found
}

// useOf reports whether a job uses a variable, in its text or in a file that it renders.
func (x *Explainer) useOf(spec *job.Job, name string) bool {
	text := spec.Text
	if spec.Verb == "ARG" || spec.Verb == "ENV" {
		_, text = job.SplitKeyValue(text)
	}
	if speaksOf(text, name) || slices.ContainsFunc(spec.Options, func(o job.Option) bool { return speaksOf(o.Value, name) }) {
		return true
	}
	if spec.Verb == "QUERY" && spec.Text == name {
		return true
	}
	if _, renders := spec.Option("blueprint"); !renders || x.File == nil {
		return false
	}
	return slices.ContainsFunc(spec.Files, func(f job.File) bool {
		if f.Size > cacheBytesMax {
			return false
		}
		data, err := x.File(f.Digest)
		return err == nil && slices.Contains(names(string(data)), name)
	})
}
