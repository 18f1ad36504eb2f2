package planner

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"quorate/internal/job"
	"quorate/internal/yaml11"
)

// optionsBytesMax is the size of the largest file of values that is compared value by value.
const optionsBytesMax = 4 << 20

// otherNames are the arguments that an earlier plan gives other values, as far as the
// plans tell: what commands print and hosts tell each other is not in them.
func (x *predictor) otherNames(old *Plan) map[string]bool {
	names := map[string]bool{}
	differ := func(a, b map[string]string) {
		for name, value := range a {
			if other, there := b[name]; !there || other != value {
				names[name] = true
			}
		}
	}
	before, now := old.setArguments(), x.plan.setArguments()
	differ(before, now)
	differ(now, before)
	was, is := old.loadedFiles(), x.plan.loadedFiles()
	only := func(a, b map[string]int) (digests []string) {
		for digest := range a {
			if _, both := b[digest]; !both {
				digests = append(digests, digest)
			}
		}
		return digests
	}
	lost, gained := x.values(only(was, is)), x.values(only(is, was))
	differ(lost, gained)
	differ(gained, lost)
	for grows := true; grows; { // arguments that are made of others
		grows = false
		for name, value := range now {
			if !names[name] && namedIn(value, names) != "" {
				names[name], grows = true, true
			}
		}
	}
	return names
}

// setArguments are the values that a plan gives arguments itself: vars, and the jobs
// ARG and ENV.
func (p *Plan) setArguments() map[string]string {
	all := map[string][]string{}
	for _, v := range p.Vars {
		all[v.Name] = append(all[v.Name], "--var "+v.Value)
	}
	for i := range p.Tasks {
		for k := range p.Tasks[i].Jobs {
			if j := &p.Tasks[i].Jobs[k].Spec; j.Verb == "ARG" || j.Verb == "ENV" {
				name, value := job.SplitKeyValue(j.Text)
				all[name] = append(all[name], fmt.Sprintf("%s %q", value, j.Options))
			}
		}
	}
	out := make(map[string]string, len(all))
	for name, values := range all {
		slices.Sort(values)
		out[name] = strings.Join(values, "\n")
	}
	return out
}

// loadedFiles are the digests of shipped files that the plan has loaded as arguments.
func (p *Plan) loadedFiles() map[string]int {
	out := map[string]int{}
	var ships, loads []*job.Job
	for i := range p.Tasks {
		for k := range p.Tasks[i].Jobs {
			switch j := &p.Tasks[i].Jobs[k].Spec; j.Verb {
			case "ADD", "COPY":
				ships = append(ships, j)
			case "CACHEFILE":
				loads = append(loads, j)
			}
		}
	}
	for i, j := range ships {
		if f := loadedBy(j, loads); f != nil {
			out[f.Digest] = i
		}
	}
	return out
}

// loadedBy returns the file that a job ships and one of the jobs loads as arguments, or
// nil.
func loadedBy(j *job.Job, jobs []*job.Job) *job.File {
	if j.Verb != "ADD" && j.Verb != "COPY" || len(jobs) == 0 {
		return nil
	}
	paths, err := job.SplitPaths(j.Text)
	if err != nil || len(paths) != 2 {
		return nil
	}
	for k := range j.Files {
		to := paths[1]
		if strings.HasSuffix(to, "/") {
			to = path.Join(to, path.Base(j.Files[k].Name))
		}
		if slices.ContainsFunc(jobs, func(o *job.Job) bool { return o.Verb == "CACHEFILE" && path.Clean(o.Text) == path.Clean(to) }) {
			return &j.Files[k]
		}
	}
	return nil
}

// values are the entries of files of arguments, in one spelling.
func (x *predictor) values(digests []string) map[string]string {
	all := map[string][]string{}
	for _, digest := range digests {
		data, err := x.content(digest)
		if err != nil || len(data) > optionsBytesMax {
			continue
		}
		docs, err := yaml11.Parse(digest, data)
		if err != nil || len(docs) != 1 {
			continue
		}
		for _, pair := range docs[0].Pairs {
			all[pair.Key.Text] = append(all[pair.Key.Text], spelled(pair.Value))
		}
	}
	out := make(map[string]string, len(all))
	for name, values := range all {
		slices.Sort(values)
		out[name] = strings.Join(values, "\n")
	}
	return out
}

// spelled writes a value so that equal ones are written alike.
func spelled(n *yaml11.Node) string {
	var b strings.Builder
	var write func(n *yaml11.Node)
	write = func(n *yaml11.Node) {
		fmt.Fprintf(&b, "%d %q(", n.Kind, n.Text)
		for _, item := range n.Items {
			write(item)
		}
		for _, pair := range n.Pairs {
			write(pair.Key)
			write(pair.Value)
		}
		b.WriteByte(')')
	}
	write(n)
	return b.String()
}

func (x *predictor) content(digest string) ([]byte, error) {
	if x.past.Content == nil {
		return nil, fmt.Errorf("no content %.12s", digest)
	}
	return x.past.Content(digest)
}

// uses returns an argument of these that a job's text, options or templates name, or
// nothing.
func (x *predictor) uses(j *job.Job, names map[string]bool) string {
	if len(names) == 0 || x.remembers(j) {
		return ""
	}
	texts := []string{j.Text}
	for _, o := range j.Options {
		texts = append(texts, o.Value)
	}
	if _, blueprint := j.Option("blueprint"); blueprint || j.Verb == "TEMPLATE" {
		for _, f := range j.Files {
			if data, err := x.content(f.Digest); err == nil {
				texts = append(texts, string(data))
			}
		}
	}
	for _, text := range texts {
		if name := namedIn(text, names); name != "" {
			return name
		}
	}
	return ""
}

// namedIn returns the first of these names that a text has something put in for: in a
// template, or as a shell's variable.
func namedIn(text string, names map[string]bool) string {
	for text != "" {
		at := strings.IndexAny(text, "{$")
		if at < 0 {
			return ""
		}
		part := ""
		switch rest := text[at:]; {
		case strings.HasPrefix(rest, "{{"):
			part, text = enclosed(rest[2:], "}}")
		case strings.HasPrefix(rest, "{%"):
			part, text = enclosed(rest[2:], "%}")
		case rest[0] == '$':
			rest = strings.TrimPrefix(rest[1:], "{")
			end := strings.IndexFunc(rest, func(r rune) bool { return !inName(r) })
			if end < 0 {
				end = len(rest)
			}
			part, text = rest[:end], rest[end:]
		default:
			text = rest[1:]
		}
		for word := range strings.FieldsFuncSeq(part, func(r rune) bool { return !inName(r) }) {
			if names[word] {
				return word
			}
		}
	}
	return ""
}

// enclosed cuts a text at its end mark; without one all of it counts.
func enclosed(text, end string) (part, rest string) {
	part, rest, _ = strings.Cut(text, end)
	return part, rest
}

func inName(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r > 127
}
