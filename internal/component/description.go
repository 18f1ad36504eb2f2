package component

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"quorate/internal/job"
	"quorate/internal/pyvalue"
)

const (
	optionsMax        = 100
	summaryBytesMax   = 400
	detailsBytesMax   = 4000
	timeoutSecondsMax = 7 * 24 * 3600
)

var (
	verbPattern   = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,62}$`)
	optionPattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
)

// A Description is what a component says of itself when it is asked to describe.
type Description struct {
	Protocol int    `json:"protocol"`
	Action   Action `json:"action"`
	// Name is the verb, in upper or lower case.
	Name    string `json:"name"`
	Summary string `json:"summary"`
	// Details are further sentences, Example a job as a file writes it.
	Details string `json:"details,omitempty"`
	Example string `json:"example,omitempty"`
	// Text says what the words are that are no options; without it there may be none.
	Text    *Text    `json:"text,omitempty"`
	Options []Option `json:"options,omitempty"`
	// Exclusive and OneOf are groups of options, as in job.Declaration.
	Exclusive [][]string `json:"exclusive,omitempty"`
	OneOf     [][]string `json:"one_of,omitempty"`
	// Cacheable and Idempotent are as in job.Declaration.
	Cacheable  bool `json:"cacheable,omitempty"`
	Idempotent bool `json:"idempotent,omitempty"`
	// Check is true where the component answers to [Check].
	Check bool `json:"check,omitempty"`
	// TimeoutSeconds is the time limit of jobs that set none; 0 is that of all verbs.
	TimeoutSeconds uint32 `json:"timeout_seconds,omitempty"`
}

// Text describes the words of a job that are no options.
type Text struct {
	// Kind is free, words, paths, key-value, two-paths or none.
	Kind string `json:"kind"`
	// Help names them in help, for instance "NAME...".
	Help string `json:"help,omitempty"`
	// Min and Max bound their number; Max 0 is no limit.
	Min int `json:"min,omitempty"`
	Max int `json:"max,omitempty"`
}

// An Option describes one option.
type Option struct {
	Name string `json:"name"`
	// Kind is flag, string, int, list, mode or phrase.
	Kind     string `json:"kind"`
	Default  string `json:"default,omitempty"`
	Help     string `json:"help,omitempty"`
	Required bool   `json:"required,omitempty"`
}

// kinds are the kinds of options by the names that descriptions use.
func kinds() map[string]job.Kind {
	return map[string]job.Kind{"flag": job.Flag, "string": job.String, "int": job.Int, "list": job.List, "mode": job.Mode, "phrase": job.Phrase}
}

// texts are the kinds of texts by the names that descriptions use.
func texts() map[string]job.Positional {
	return map[string]job.Positional{
		"free": job.FreeText, "words": job.Words, "paths": job.Paths, "key-value": job.KeyValue, "two-paths": job.TwoPaths, "none": job.NoWords,
	}
}

// DecodeDescription reads a description and checks all of it.
func DecodeDescription(data []byte) (*Description, error) {
	d := &Description{}
	if err := decode(data, DescriptionBytesMax, d); err != nil {
		return nil, err
	}
	if err := d.validate(); err != nil {
		return nil, fmt.Errorf("the component's description: %w", err)
	}
	return d, nil
}

// Verb is the component's name as a verb.
func (d *Description) Verb() string { return strings.ToUpper(d.Name) }

func (d *Description) validate() error {
	switch {
	case d.Action != Describe:
		return fmt.Errorf("it is a reply to %q", d.Action)
	case !verbPattern.MatchString(d.Verb()):
		return fmt.Errorf("%q is no name of a verb: use letters, digits and underscores", d.Name)
	case d.Summary == "" || len(d.Summary) > summaryBytesMax:
		return fmt.Errorf("\"summary\" has to be one sentence of at most %d bytes", summaryBytesMax)
	case len(d.Details) > detailsBytesMax || len(d.Example) > detailsBytesMax:
		return fmt.Errorf("\"details\" and \"example\" have at most %d bytes", detailsBytesMax)
	case len(d.Options) > optionsMax:
		return fmt.Errorf("%d options are more than %d", len(d.Options), optionsMax)
	case d.TimeoutSeconds > timeoutSecondsMax:
		return fmt.Errorf("\"timeout_seconds\" is more than a week")
	}
	if t := d.Text; t != nil {
		if _, known := texts()[t.Kind]; !known {
			return fmt.Errorf("\"text\" cannot be of the kind %q: it may be free, words, paths, key-value, two-paths or none", t.Kind)
		}
		if t.Min < 0 || t.Max < 0 || t.Max > 0 && t.Max < t.Min {
			return fmt.Errorf("\"text\" has between %d and %d words", t.Min, t.Max)
		}
	}
	names := map[string]bool{}
	for i := range d.Options {
		if err := d.Options[i].validate(names); err != nil {
			return fmt.Errorf("option %q: %w", d.Options[i].Name, err)
		}
	}
	for _, name := range slices.Concat(slices.Concat(d.Exclusive...), slices.Concat(d.OneOf...)) {
		if !names[name] {
			return fmt.Errorf("a group names the option %q, which there is none of", name)
		}
	}
	return nil
}

func (o *Option) validate(names map[string]bool) error {
	if !optionPattern.MatchString(o.Name) {
		return fmt.Errorf("use lower-case letters, digits and dashes for the name")
	}
	taken := o.Name == "exec-help" || slices.ContainsFunc(job.Common(), func(c job.OptionDecl) bool { return c.Name == o.Name })
	switch _, known := kinds()[o.Kind]; {
	case names[o.Name]:
		return fmt.Errorf("it is there twice")
	case taken:
		return fmt.Errorf("all verbs have it already")
	case !known:
		return fmt.Errorf("the kind %q is none: it may be flag, string, int, list, mode or phrase", o.Kind)
	case o.Kind == "flag" && o.Default != "":
		return fmt.Errorf("a flag has no default")
	case o.Required && o.Default != "":
		return fmt.Errorf("what is required has no default")
	}
	if _, err := strconv.Atoi(o.Default); o.Kind == "int" && o.Default != "" && err != nil {
		return fmt.Errorf("the default %q is no integer", o.Default)
	}
	names[o.Name] = true
	return nil
}

// Declaration is the component's as that of a verb.
func (d *Description) Declaration() *job.Declaration {
	out := &job.Declaration{
		Verb: d.Verb(), Summary: d.Summary, Details: d.Details, Example: d.Example, HasCheckMode: d.Check, Positional: job.NoWords, Exclusive: d.Exclusive, OneOf: d.OneOf,
		Cacheable: d.Cacheable, Idempotent: d.Idempotent, Executable: true, TimeoutSeconds: d.TimeoutSeconds,
		FingerprintKeys: d.fingerprint,
	}
	if t := d.Text; t != nil {
		out.Text, out.Positional, out.WordsMin, out.WordsMax = t.Help, texts()[t.Kind], t.Min, t.Max
	}
	for _, o := range d.Options {
		out.Options = append(out.Options, job.OptionDecl{
			Name: o.Name, Kind: kinds()[o.Kind], Default: o.Default, Help: o.Help, Required: o.Required,
		})
	}
	return out
}

// fingerprint is the component's part of Directord's job record: the text, then
// the options that were given, in the order of their names.
func (d *Description) fingerprint(p *job.Parsed) []job.Field {
	out := []job.Field{{Key: "text", Value: pyvalue.JSON(pyvalue.Str(strings.Join(strings.Fields(p.Job.Text), " ")))}}
	for _, o := range p.Job.Options {
		if slices.ContainsFunc(d.Options, func(own Option) bool { return own.Name == o.Name }) {
			out = append(out, job.Field{Key: strings.ReplaceAll(o.Name, "-", "_"), Value: pyvalue.JSON(pyvalue.Str(o.Value))})
		}
	}
	return out
}

// Values are the options of a job as a request has them: all that were given, by
// value, and those with a default.
func (d *Description) Values(value func(name string) (string, bool)) map[string]any {
	out := map[string]any{}
	for _, o := range d.Options {
		text, given := value(o.Name)
		if !given {
			text = o.Default
		}
		switch {
		case o.Kind == "flag":
			out[o.Name] = given
		case !given && o.Default == "":
		case o.Kind == "int":
			n, _ := strconv.ParseInt(text, 10, 64) // it was parsed as one
			out[o.Name] = n
		case o.Kind == "list":
			out[o.Name] = strings.Fields(text)
		default:
			out[o.Name] = text
		}
	}
	return out
}
