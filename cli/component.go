package cli

import (
	"fmt"
	"slices"
	"strings"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
	"quorate/internal/job"
	"quorate/nodeagent/verb"
)

func (p *program) componentCommand() *cli.Command {
	return &cli.Command{
		Name: "component", Category: sectionPlan, Usage: "tell which verbs there are, and what they take",
		Subcommands: []*cli.Command{
			{Name: "ls", Usage: "list the verbs", Action: p.componentList},
			{Name: "show", Usage: "show a verb with its options", ArgsUsage: "VERB", Action: p.componentShow},
		},
	}
}

// components returns the declarations of all verbs, by name.
func components() []*job.Declaration {
	var out []*job.Declaration
	for _, v := range verb.Table() {
		out = append(out, &v.Decl)
	}
	slices.SortFunc(out, func(a, b *job.Declaration) int { return strings.Compare(a.Verb, b.Verb) })
	return out
}

// A componentView is the document of one verb.
type componentView struct {
	Schema string `json:"schema"`
	job.Description
}

func (p *program) componentList(c *cli.Context) error {
	if c.NArg() > 0 {
		return usage(commandLine(c)+" --help", "want no argument")
	}
	document := struct {
		Schema     string            `json:"schema"`
		Components []job.Description `json:"components"`
	}{Schema: api.Schema}
	table := &grid{header: []any{"verb", "idempotent", "check", "cache", "summary"}}
	for _, d := range components() {
		document.Components = append(document.Components, job.Describe(d))
		summary := d.Summary
		if !d.Executable {
			summary += " (planned only)"
		}
		table.add(d.Verb, mark(d.Executable && d.Idempotent), mark(d.HasCheckMode), mark(d.Executable && d.Cacheable), summary)
	}
	return emitAll(p, document, document.Components, table)
}

func mark(is bool) string {
	if is {
		return "yes"
	}
	return "-"
}

func (p *program) componentShow(c *cli.Context) error {
	if c.NArg() != 1 {
		return usage(commandLine(c)+" --help", "want one verb")
	}
	name := strings.ToUpper(c.Args().First())
	d, ok := verb.Lookup(name)
	if !ok {
		return fail(exitUsage, fmt.Errorf("there is no verb %s", name), `see "quorate component ls"`)
	}
	return p.emit(componentView{api.Schema, job.Describe(d)}, func() error {
		_, err := fmt.Fprint(p.con.out, job.Help(d))
		return err
	})
}
