package job

import (
	"fmt"
	"strings"
)

// Markdown is the reference page of verbs, in the order in which they are given.
func Markdown(verbs []*Declaration) string {
	var b strings.Builder
	b.WriteString("# Verbs\n\n" +
		"A job is one verb with its text: `- VERB: [--option VALUE ...] text`. This page is made from the\n" +
		"declarations that jobs are parsed by; `quorate component show VERB` tells the same.\n\n" +
		"A *phrase* is one word, or a text in quotes, which are taken off. Words are split at blanks.\n" +
		"*Idempotent*: a second execution after an interrupted one is harmless. *Check*: the agent can say\n" +
		"what the job would do without doing it. *Cache*: a success is remembered, and the job skipped.\n\n" +
		"| verb | what it does | idempotent | check | cache |\n|---|---|---|---|---|\n")
	for _, d := range verbs {
		summary := d.Summary
		if !d.Executable {
			summary += " *(planned only)*"
		}
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s | %s | %s |\n", d.Verb, strings.ToLower(d.Verb), summary,
			tick(d.Idempotent && d.Executable), tick(d.HasCheckMode), tick(d.Cacheable && d.Executable))
	}
	b.WriteString("\n## Options of every verb\n\n")
	optionTable(&b, Common())
	for _, d := range verbs {
		fmt.Fprintf(&b, "\n## %s\n\n%s", d.Verb, wrapped(d.Summary+" "+d.Details, 100, "\n"))
		if d.Text != "" {
			fmt.Fprintf(&b, "\n\nText: %s.", d.Text)
		}
		fmt.Fprintf(&b, "\n\n```yaml\n- %s\n```\n", d.Example)
		if len(d.Options) > 0 {
			b.WriteByte('\n')
			optionTable(&b, d.Options)
		}
		fmt.Fprintf(&b, "\n%s\n", wrapped(strings.Join(append(rules(d), traits(d)...), " "), 100, "\n"))
	}
	return b.String()
}

func tick(is bool) string {
	if is {
		return "yes"
	}
	return ""
}

func optionTable(b *strings.Builder, options []OptionDecl) {
	b.WriteString("| option | kind | default | |\n|---|---|---|---|\n")
	for _, o := range options {
		def := ""
		switch {
		case o.Required:
			def = "*required*"
		case o.Default != "":
			def = "`" + o.Default + "`"
		}
		fmt.Fprintf(b, "| `--%s` | %s | %s | %s |\n", o.Name, o.Kind, def, strings.ReplaceAll(o.Help, "|", `\|`))
	}
}
