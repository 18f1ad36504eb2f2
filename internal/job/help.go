package job

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Description is all that people need to know of a verb. It comes from the
// declaration alone, so that it cannot tell otherwise than what is parsed.
type Description struct {
	Verb    string `json:"verb"`
	Summary string `json:"summary"`
	Details string `json:"details,omitempty"`
	// Text is what follows the verb beside its options.
	Text    string              `json:"text,omitempty"`
	Example string              `json:"example"`
	Options []OptionDescription `json:"options"`
	// Exclusive are groups of options of which at most one may be given, OneOf those
	// of which one has to be.
	Exclusive [][]string `json:"exclusive,omitempty"`
	OneOf     [][]string `json:"one_of,omitempty"`
	// ShipsFiles is true where the first word names files of the operator's machine.
	ShipsFiles bool `json:"ships_files"`
	// Executable is false where this version plans the verb and cannot run it.
	Executable bool `json:"executable"`
	Idempotent bool `json:"idempotent"`
	Cacheable  bool `json:"cacheable"`
	CheckMode  bool `json:"check_mode"`
}

// An OptionDescription is all that people need to know of an option.
type OptionDescription struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	Help     string `json:"help"`
	Default  string `json:"default,omitempty"`
	Required bool   `json:"required,omitempty"`
	// Common is true for the options that every verb takes.
	Common bool `json:"common,omitempty"`
}

// String is the kind in a word.
func (k Kind) String() string {
	return [...]string{Flag: "flag", String: "word", Int: "integer", List: "words", Mode: "mode", Phrase: "phrase", Literal: "value"}[k]
}

// value is how a value of the kind is written in help.
func (k Kind) value() string {
	return [...]string{Flag: "", String: " VALUE", Int: " N", List: " WORD...", Mode: " OCTAL", Phrase: " 'TEXT'", Literal: " VALUE"}[k]
}

// Describe collects what there is to know of a verb.
func Describe(d *Declaration) Description {
	out := Description{
		Verb: d.Verb, Summary: d.Summary, Details: d.Details, Text: d.Text, Example: d.Example,
		Exclusive: d.Exclusive, OneOf: d.OneOf, ShipsFiles: d.ShipsFiles, Executable: d.Executable,
		Idempotent: d.Idempotent, Cacheable: d.Cacheable, CheckMode: d.HasCheckMode,
	}
	for _, o := range slices.Concat(d.Options, Common()) {
		out.Options = append(out.Options, OptionDescription{
			Name: o.Name, Kind: o.Kind.String(), Help: o.Help, Default: o.Default, Required: o.Required,
			Common: len(out.Options) >= len(d.Options),
		})
	}
	return out
}

// Help describes a verb and its options, for people.
func Help(d *Declaration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n  %s\n", strings.TrimSpace(d.Verb+" [OPTIONS] "+d.Text), d.Summary)
	if d.Details != "" {
		fmt.Fprintf(&b, "  %s\n", wrapped(d.Details, 78, "\n  "))
	}
	for i, o := range slices.Concat(d.Options, Common()) {
		switch i {
		case len(d.Options):
			b.WriteString("\nOptions of every verb:\n")
		case 0:
			b.WriteString("\nOptions:\n")
		}
		fmt.Fprintf(&b, "  %-24s %s", "--"+o.Name+o.Kind.value(), o.Help)
		if o.Name == "timeout" && d.TimeoutSeconds != 0 {
			o.Default = strconv.FormatUint(uint64(d.TimeoutSeconds), 10)
		}
		switch {
		case o.Required:
			b.WriteString(" (required)")
		case o.Default != "":
			fmt.Fprintf(&b, " (%s)", o.Default)
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	for _, rule := range rules(d) {
		fmt.Fprintf(&b, "%s\n", rule)
	}
	fmt.Fprintf(&b, "%s\n", strings.Join(traits(d), " "))
	if d.Example != "" {
		fmt.Fprintf(&b, "\nExample:\n  - %s\n", d.Example)
	}
	return b.String()
}

// rules says in sentences which options go together.
func rules(d *Declaration) []string {
	var out []string
	for _, group := range d.OneOf {
		out = append(out, "One of --"+strings.Join(group, ", --")+" is needed.")
	}
	for _, group := range d.Exclusive {
		out = append(out, "At most one of --"+strings.Join(group, ", --")+".")
	}
	return out
}

// traits says in sentences how agents treat the verb.
func traits(d *Declaration) []string {
	pick := func(is bool, yes, no string) string {
		if is {
			return yes
		}
		return no
	}
	if !d.Executable {
		return []string{"It is planned, and cannot be executed by this version."}
	}
	return []string{
		pick(d.Idempotent, "Idempotent.", "Not idempotent."),
		pick(d.Cacheable, "A success may be remembered, and the job skipped.", "Runs each time."),
		pick(d.HasCheckMode, "Has a check mode.", "Has no check mode."),
	}
}

// wrapped breaks a text at blanks into lines of at most width bytes.
func wrapped(text string, width int, newline string) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case column+1+len(word) > width:
			b.WriteString(newline)
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}
