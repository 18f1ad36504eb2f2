package planner

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"quorate/internal/job"
	"quorate/internal/yaml11"
)

// A jobSpec is one job as written.
type jobSpec struct {
	spec    job.Job
	at      spot
	runOnce bool
	assign  []name
	// notExecutable is true where no agent can run the verb.
	notExecutable bool
	// source is the glob of files to ship; empty is none. parsed and decl are kept
	// for jobs with a source, whose fingerprint depends on the files found.
	source string
	parsed *job.Parsed
	decl   *job.Declaration
	// brings is what the verb brings to the hosts by itself.
	brings []job.Content
}

// jobs decodes a list of directord jobs.
func (d *decoder) jobs(list *yaml11.Node, what string) []jobSpec {
	out := make([]jobSpec, 0, len(list.Items))
	for i, item := range list.Items {
		if j, ok := d.job(item, i, what); ok {
			out = append(out, j)
		}
	}
	return out
}

func (d *decoder) job(n *yaml11.Node, i int, what string) (j jobSpec, ok bool) {
	what = fmt.Sprintf("%s, job %d", what, i+1)
	if n.Kind != yaml11.Mapping {
		d.errorf("wrong-type", n, "write it as VERB: text", "%s must be a mapping, not %s", what, shapeOf(n))
		return j, false
	}
	c, ok := d.jobKeys(n, what)
	verb, value := d.verb(n, what)
	if verb == nil {
		return j, false
	}
	decl := d.declaration(verb, what)
	if decl == nil {
		return j, false
	}
	if value.Kind != yaml11.Scalar {
		d.errorf("wrong-type", value, "", "%s: the text of %s must be text, not %s", what, decl.Verb, shapeOf(value))
		return j, false
	}
	text := value.Text
	if value.Tag == yaml11.Null {
		text = ""
	}
	parsed, err := job.Parse(decl, text, d.vars(c.get("vars"), what))
	if err != nil {
		d.jobError(err, value, c.get("vars"), what)
		return j, false
	}
	for _, w := range parsed.Warnings {
		d.warnf("job", value, "", "%s: %s", what, w)
	}
	if !decl.Executable {
		d.warnf("not-executable", verb, "", "%s: %s can be planned but not executed by the agents of this version", what, decl.Verb)
	}
	parsed.Job.Index = uint32(i)
	parsed.Job.Name = c.text("name")
	for _, b := range decl.Brings {
		parsed.Job.Files = append(parsed.Job.Files, b.File)
	}
	j = jobSpec{
		spec: parsed.Job, at: spotOf(n), runOnce: parsed.RunOnce, assign: c.names("assign"),
		notExecutable: !decl.Executable, source: parsed.Source,
		brings: decl.Brings,
	}
	if j.source != "" {
		j.parsed, j.decl = parsed, decl
	}
	return j, ok
}

// jobKeys checks the keys of a job that are not its verb.
func (d *decoder) jobKeys(n *yaml11.Node, what string) (c checked, ok bool) {
	c = checked{set: d.language.job, values: make([]*yaml11.Node, len(d.language.job.fields))}
	ok = true
	for _, p := range n.Pairs {
		i := c.set.index(p.Key.Text)
		if i < 0 || p.Value.IsNull() {
			continue
		}
		f := c.set.fields[i]
		if f.Key == "assign" {
			f.Kind = FieldNames // one host alone is taken as a list of one
		}
		if f.Key == "name" && p.Value.Kind == yaml11.Scalar {
			c.values[i] = p.Value
			continue
		}
		if !d.checkValue(p.Value, what, &f, c.set.matches[i]) {
			ok = false
			continue
		}
		c.values[i] = p.Value
	}
	return c, ok
}

// verb finds the verb of a job: the first key that is none of the others.
func (d *decoder) verb(n *yaml11.Node, what string) (verb, value *yaml11.Node) {
	for _, p := range n.Pairs {
		switch {
		case d.language.job.index(p.Key.Text) >= 0:
		case verb == nil:
			verb, value = p.Key, p.Value
		default:
			d.warnf("extra-key", p.Key, "write a job of its own for it", "%s has the key %q beside the verb %s; it is ignored", what, p.Key.Text, verb.Text)
		}
	}
	if verb == nil {
		d.errorf("missing-key", n, "write it as VERB: text", "%s has no verb", what)
	}
	return verb, value
}

func (d *decoder) declaration(verb *yaml11.Node, what string) *job.Declaration {
	if d.opt.Verbs == nil {
		d.errorf("unknown-verb", verb, "", "%s: there is no verb %s: no verbs are known", what, verb.Text)
		return nil
	}
	if decl, known := d.opt.Verbs(strings.ToUpper(verb.Text)); known {
		if decl.Problem != "" {
			d.errorf("component", verb, "", "%s: %s", what, decl.Problem)
			return nil
		}
		return decl
	}
	hint := didYouMean(nearest(strings.ToUpper(verb.Text), func(yield func(string) bool) {
		for _, v := range suggestedVerbs() {
			if _, known := d.opt.Verbs(v); known && !yield(v) {
				return
			}
		}
	}))
	d.errorf("unknown-verb", verb, hint, "%s: there is no verb %s", what, verb.Text)
	return nil
}

// suggestedVerbs are what suggestions are taken from, where the table of verbs has them.
func suggestedVerbs() []string {
	return []string{
		"RUN", "ARG", "ENV", "ADD", "COPY", "WORKDIR", "CACHEFILE", "CACHEEVICT", "QUERY", "QUEUESENTINEL", "WAIT", "DNF",
		"SERVICE", "ECHO", "FACTER", "REBOOT", "POD", "CONTAINER_IMAGE", "CONTAINER_CONFIG_DATA", "SECONTEXT",
	}
}

// vars are the entries of a job's vars mapping.
func (d *decoder) vars(n *yaml11.Node, what string) []job.Var {
	if n == nil {
		return nil
	}
	var out []job.Var
	for _, p := range n.Pairs {
		if p.Value.Kind != yaml11.Scalar {
			out = append(out, job.Var{Name: p.Key.Text, Value: literal(p.Value), Shape: shapeOf(p.Value)})
			continue
		}
		v := job.Var{Name: p.Key.Text, Value: p.Value.Text}
		if b, isBool := p.Value.Bool(); isBool {
			v.Value = strconv.FormatBool(b)
		}
		out = append(out, v)
	}
	return out
}

// literal writes a node in Python's notation.
func literal(n *yaml11.Node) string {
	var parts []string
	switch n.Kind {
	case yaml11.Mapping:
		for _, p := range n.Pairs {
			parts = append(parts, literal(p.Key)+": "+literal(p.Value))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case yaml11.Sequence:
		for _, item := range n.Items {
			parts = append(parts, literal(item))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	if n.IsNull() {
		return "None"
	}
	if b, ok := n.Bool(); ok {
		if b {
			return "True"
		}
		return "False"
	}
	if i, ok := n.BigInt(); ok {
		return i.String()
	}
	if f, ok := n.Float(); ok && !math.IsInf(f, 0) && !math.IsNaN(f) {
		text := strconv.FormatFloat(f, 'g', -1, 64)
		if !strings.ContainsAny(text, ".e") {
			text += ".0"
		}
		return text
	}
	return strconv.Quote(n.Text)
}

// jobError reports what is wrong with a job text as near to its place as can be told.
func (d *decoder) jobError(err error, value, vars *yaml11.Node, what string) {
	at, code, hint := spotOf(value), "job", ""
	var parse *job.ParseError
	if errors.As(err, &parse) {
		hint = parse.Hint
		if parse.Offset >= 0 {
			at = d.inText(value, parse.Offset)
		} else if vars != nil {
			if v := vars.Get(parse.Var); v != nil {
				at = spotOf(v)
			}
		}
		if parse.Shape {
			code = "wrong-type"
		}
	}
	d.report.errorf(code, d.file.place(at), hint, "%s: %v", what, err)
}

// inText moves a position into a scalar's text, where the text stands in the
// file as it is: in one line, plain or in quotes.
func (d *decoder) inText(n *yaml11.Node, offset int) spot {
	at := spotOf(n)
	line := d.file.data
	for range n.Line - 1 {
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[i+1:]
		}
	}
	if n.Column-1 > len(line) || offset > len(n.Text) {
		return at
	}
	for quotes := range 2 {
		if rest := line[n.Column-1:]; len(rest) >= quotes && bytes.HasPrefix(rest[quotes:], []byte(n.Text)) && !strings.Contains(n.Text, "\n") {
			at.column += uint32(quotes + offset)
			return at
		}
	}
	return at
}

// localJob is the one job of a local task: its command, taken as it is.
func (d *decoder) localJob(c checked) []jobSpec {
	n := c.get("command")
	if n == nil {
		return nil
	}
	command := strings.TrimSpace(n.Text)
	if command == "" {
		d.errorf("bad-value", n, "", "the command of a local task is empty")
		return nil
	}
	// Task-Core never skips a command that it ran before, nor bounds its time.
	j := jobSpec{at: spotOf(n), spec: job.Job{Verb: "RUN", Text: command, SkipCache: true}}
	if codes := c.get("returncodes"); codes != nil {
		items := codes.Items
		if codes.Kind == yaml11.Scalar {
			items = []*yaml11.Node{codes}
		}
		for _, item := range items {
			v, _ := item.Int()
			j.spec.SuccessExits = append(j.spec.SuccessExits, int32(v))
		}
		slices.Sort(j.spec.SuccessExits)
		j.spec.SuccessExits = slices.Compact(j.spec.SuccessExits)
	}
	return []jobSpec{j}
}
