package job

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"quorate/internal/pyvalue"
)

// Parse reads a job text and applies the job's vars to it. The error is a
// [*ParseError].
func Parse(d *Declaration, text string, vars []Var) (*Parsed, error) {
	p := &parser{
		decl:    d,
		text:    text,
		toks:    tokenise(text, d.Positional != FreeText && d.Positional != KeyValue),
		options: map[string]string{},
	}
	if err := p.scan(); err != nil {
		return nil, err
	}
	if err := p.positional(); err != nil {
		return nil, err
	}
	for _, v := range vars {
		if err := p.variable(v); err != nil {
			return nil, err
		}
	}
	if err := p.constraints(); err != nil {
		return nil, err
	}
	return p.finish()
}

type parser struct {
	decl     *Declaration
	text     string
	toks     []token
	words    []token
	closed   bool // an option came after the first words
	verbatim bool
	options  map[string]string
	out      Parsed
}

func (p *parser) fail(offset int, hint, format string, args ...any) error {
	return &ParseError{Offset: offset, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// scan sorts the tokens into options and words.
func (p *parser) scan() error {
	for i := 0; i < len(p.toks); {
		t := p.toks[i]
		switch {
		case t.text == "--":
			rest := p.toks[i:]
			if p.decl.Positional != FreeText {
				rest = rest[1:]
			}
			return p.addWords(rest)
		case p.decl.Verbatim && len(p.words) == 0 && strings.HasPrefix(t.text, "#!"):
			p.words, p.verbatim = p.toks[i:], true
			return nil
		case dashed(t.text):
			n, err := p.option(i)
			if err != nil {
				return err
			}
			i += n
		default:
			if err := p.addWords(p.toks[i : i+1]); err != nil {
				return err
			}
			i++
		}
	}
	return nil
}

// dashed reports whether a token looks like an option and not like a negative number.
func dashed(s string) bool {
	if len(s) < 2 || s[0] != '-' {
		return false
	}
	_, err := strconv.ParseFloat(s, 64)
	return err != nil || !strings.ContainsRune("0123456789.", rune(s[1]))
}

func (p *parser) addWords(toks []token) error {
	if len(toks) > 0 && p.closed && p.decl.Positional != FreeText {
		return p.fail(toks[0].start, "write the options before or after all of the text, not inside it",
			"%s: %q stands apart from the rest of the text", p.decl.Verb, toks[0].text)
	}
	p.words = append(p.words, toks...)
	return nil
}

// option reads the option at token i and returns how many tokens it takes.
func (p *parser) option(i int) (int, error) {
	t := p.toks[i]
	name, inline, hasInline := strings.Cut(strings.TrimPrefix(t.text, "--"), "=")
	o, known := p.decl.option(name)
	known = known && strings.HasPrefix(t.text, "--")
	late := p.decl.Late != nil && len(p.words) > 0
	if name == "exec-help" && !late {
		return 0, p.fail(t.start, Help(p.decl), "%s: --exec-help asks for help and runs nothing", p.decl.Verb)
	}
	if !known {
		if p.decl.Positional == FreeText {
			return 1, p.addWords(p.toks[i : i+1])
		}
		hint := "write -- before text that begins with a dash"
		if near := p.decl.nearest(name); near != "" {
			hint = "did you mean --" + near + "?"
		}
		return 0, p.fail(t.start, hint, "%s has no option %s", p.decl.Verb, t.text)
	}
	if late && !slices.Contains(p.decl.Late, name) {
		p.warn("--%s after the first word belongs to the command; write it before the command to give it to %s",
			name, p.decl.Verb)
		return 1, p.addWords(p.toks[i : i+1])
	}
	p.closed = p.closed || len(p.words) > 0
	if o.Kind == Flag {
		if hasInline {
			return 0, p.fail(t.start, "", "%s: --%s takes no value", p.decl.Verb, name)
		}
		p.options[name] = "true"
		return 1, nil
	}
	value, taken := inline, 1
	switch {
	case o.Kind == Phrase:
		var err error
		if value, taken, err = p.phrase(i, hasInline); err != nil {
			return 0, err
		}
	case !hasInline:
		value, taken = p.value(i, o.Kind)
	}
	if taken == 1 && !hasInline {
		return 0, p.fail(t.start, "write --"+name+"=VALUE for a value that begins with a dash",
			"%s: --%s has no value", p.decl.Verb, name)
	}
	value, problem := o.convert(value)
	if problem != "" {
		return 0, p.fail(p.toks[i+taken-1].start, "", "%s: %s", p.decl.Verb, problem)
	}
	p.options[name] = value
	return taken, nil
}

// value collects the words that follow an option as its value, and returns how
// many tokens option and value are.
func (p *parser) value(i int, kind Kind) (string, int) {
	var words []string
	for _, t := range p.toks[i+1:] {
		if dashed(t.text) || len(words) > 0 && kind != List {
			break
		}
		words = append(words, t.text)
	}
	return strings.Join(words, " "), 1 + len(words)
}

func (p *parser) warn(format string, args ...any) {
	p.out.Warnings = append(p.out.Warnings, fmt.Sprintf(format, args...))
}

// positional checks the words and makes the job's text of them.
func (p *parser) positional() error {
	n, d, end := len(p.words), p.decl, len(p.text)
	p.out.Job.Text = joinTokens(p.text, p.words)
	if p.verbatim {
		p.out.Job.Text = p.text[p.words[0].start:]
	}
	switch d.Positional {
	case NoWords:
		if n > 0 {
			return p.fail(p.words[0].start, "", "%s takes no text: %q is too much", d.Verb, p.words[0].text)
		}
	case FreeText, Words:
		if n < d.WordsMin {
			return p.fail(end, "", "%s needs %s", d.Verb, d.Text)
		}
		if d.Positional == Words && d.WordsMax > 0 && n > d.WordsMax {
			return p.fail(p.words[d.WordsMax].start, "", "%s takes %s: %q is too much", d.Verb, d.Text, p.words[d.WordsMax].text)
		}
	case KeyValue:
		if n < 2 {
			return p.fail(end, "", "%s needs a key and a value", d.Verb)
		}
		p.out.Job.Text = p.words[0].text + " " + joinTokens(p.text, p.words[1:])
	case TwoPaths:
		paths, err := SplitPaths(p.out.Job.Text)
		if err != nil {
			return p.fail(end, "", "%s: %v", d.Verb, err)
		}
		if len(paths) != 2 {
			return p.fail(end, "put a path that holds blanks in quotes",
				"%s needs %s, which is two paths, not %d", d.Verb, d.Text, len(paths))
		}
		if d.ShipsFiles {
			p.out.Source = paths[0]
		}
	case Paths:
		return p.paths()
	}
	return nil
}

// paths checks the words of a verb that takes paths.
func (p *parser) paths() error {
	d := p.decl
	paths, err := SplitPaths(p.out.Job.Text)
	switch {
	case err != nil:
		return p.fail(len(p.text), "", "%s: %v", d.Verb, err)
	case len(paths) < d.WordsMin || d.WordsMax > 0 && len(paths) > d.WordsMax:
		return p.fail(len(p.text), "put a path that holds blanks in quotes", "%s needs %s, not %d words", d.Verb, d.Text, len(paths))
	case d.ShipsFiles && len(paths) > 0:
		p.out.Source = paths[0]
	}
	return nil
}

// variable lets one entry of the job's vars override an option.
func (p *parser) variable(v Var) error {
	name := strings.ReplaceAll(v.Name, "_", "-")
	o, known := p.decl.option(name)
	if !known {
		p.warn("vars: %s has no option %s; it is ignored", p.decl.Verb, v.Name)
		return nil
	}
	fail := func(message string) error {
		return &ParseError{Offset: -1, Var: v.Name, Message: fmt.Sprintf("%s: vars: %s", p.decl.Verb, message)}
	}
	if v.Shape != "" {
		text, fits := structured(o.Kind, v)
		if !fits {
			message := fmt.Sprintf("%s: vars: %q must be text, a number or a boolean, not %s", p.decl.Verb, v.Name, v.Shape)
			return &ParseError{Offset: -1, Var: v.Name, Shape: true, Message: message}
		}
		v.Value = text
	}
	if o.Kind == Flag {
		set, ok := truth(v.Value)
		switch {
		case !ok:
			return fail(fmt.Sprintf("%s is either true or false, not %q", v.Name, v.Value))
		case set:
			p.options[name] = "true"
		default:
			delete(p.options, name)
		}
		return nil
	}
	if v.Value == "" || v.Value == "~" || v.Value == "null" {
		delete(p.options, name)
		return nil
	}
	value, problem := o.convert(v.Value)
	if problem != "" {
		return fail(problem)
	}
	p.options[name] = value
	return nil
}

// structured is the text of a mapping or list for an option that takes one.
func structured(kind Kind, v Var) (text string, fits bool) {
	switch kind {
	case Literal:
		return v.Value, true
	case List:
		value, err := pyvalue.Literal(v.Value)
		list, isList := value.(*pyvalue.List)
		if err != nil || !isList {
			return "", false
		}
		words := make([]string, len(list.Items))
		for i, item := range list.Items {
			words[i] = pyvalue.String(item)
		}
		return strings.Join(words, " "), true
	}
	return "", false
}

// constraints checks the options against each other.
func (p *parser) constraints() error {
	given := func(group []string) []string {
		var out []string
		for _, name := range group {
			if _, ok := p.options[name]; ok {
				out = append(out, "--"+name)
			}
		}
		return out
	}
	for _, group := range slices.Concat(p.decl.Exclusive, p.decl.OneOf) {
		if set := given(group); len(set) > 1 {
			return p.fail(0, "", "%s: %s exclude each other", p.decl.Verb, strings.Join(set, " and "))
		}
	}
	for _, group := range p.decl.OneOf {
		if len(given(group)) == 0 {
			return p.fail(0, "", "%s needs one of --%s", p.decl.Verb, strings.Join(group, ", --"))
		}
	}
	for _, o := range p.decl.Options {
		if _, ok := p.options[o.Name]; o.Required && !ok {
			return p.fail(0, "", "%s needs --%s", p.decl.Verb, o.Name)
		}
	}
	return nil
}

// finish moves the options that all verbs share into their fields.
func (p *parser) finish() (*Parsed, error) {
	j := &p.out.Job
	j.Verb = p.decl.Verb
	j.TimeoutSeconds = cmp.Or(p.decl.TimeoutSeconds, TimeoutSeconds)
	for name, value := range p.options {
		switch name {
		case "skip-cache":
			j.SkipCache = true
		case "run-once":
			p.out.RunOnce = true
		case "force-lock":
			p.warn("--force-lock has no effect")
		case "timeout":
			n, err := strconv.ParseUint(value, 10, 32)
			if err != nil || n == 0 {
				return nil, p.fail(0, "", "%s: --timeout is a number of seconds from 1, not %s", p.decl.Verb, value)
			}
			j.TimeoutSeconds = uint32(n)
		default:
			j.Options = append(j.Options, Option{Name: name, Value: value})
		}
	}
	if _, set := p.options[p.decl.FromHost]; set {
		p.out.Source = ""
	}
	slices.SortFunc(j.Options, func(a, b Option) int { return cmp.Compare(a.Name, b.Name) })
	if p.decl.Check != nil {
		if problem := p.decl.Check(&p.out); problem != "" {
			return nil, p.fail(0, "", "%s: %s", p.decl.Verb, problem)
		}
	}
	p.out.Seal(p.decl)
	return &p.out, nil
}
