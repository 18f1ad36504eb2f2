package cli

import (
	"errors"
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
			{Name: "ls", Usage: "list the verbs", Flags: []cli.Flag{componentsFlag()}, Action: p.componentList},
			{Name: "show", Usage: "show a verb with its options", ArgsUsage: "VERB", Flags: []cli.Flag{componentsFlag()}, Action: p.componentShow},
		},
	}
}

// components returns the declarations of all built-in verbs, by name.
func components() []*job.Declaration {
	var out []*job.Declaration
	for _, v := range verb.Table() {
		out = append(out, &v.Decl)
	}
	slices.SortFunc(out, byVerb)
	return out
}

func byVerb(a, b *job.Declaration) int { return strings.Compare(a.Verb, b.Verb) }

// A componentView is the document of one verb.
type componentView struct {
	Schema string `json:"schema"`
	job.Description
	// Origin is the file of a user-defined component, or empty.
	Origin string `json:"origin,omitempty"`
	// Problem says why a component cannot be used.
	Problem string `json:"problem,omitempty"`
}

func (p *program) componentList(c *cli.Context) error {
	if c.NArg() > 0 {
		return usage(commandLine(c)+" --help", "want no argument")
	}
	own, err := p.ownComponents(c)
	if err != nil {
		return err
	}
	all, origin := components(), map[string]string{}
	if own != nil {
		for _, name := range own.Verbs() {
			d, _ := own.Lookup(name)
			all, origin[name] = append(all, d), own.Path(name)
		}
		slices.SortFunc(all, byVerb)
	}
	document := struct {
		Schema     string          `json:"schema"`
		Components []componentView `json:"components"`
	}{Schema: api.Schema}
	table := &grid{header: []any{"verb", "idempotent", "check", "cache", "summary"}}
	for _, d := range all {
		document.Components = append(document.Components, componentView{api.Schema, job.Describe(d), origin[d.Verb], d.Problem})
		summary := d.Summary
		switch {
		case d.Problem != "":
			summary = d.Problem
		case !d.Executable:
			summary += " (planned only)"
		case origin[d.Verb] != "":
			summary += " (" + origin[d.Verb] + ")"
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
	return p.verbHelp(c, c.Args().First())
}

// optionColumns is where the text begins that tells what an option does.
const optionColumns = 27

// verbHelp shows what there is to know of a verb.
func (p *program) verbHelp(c *cli.Context, name string) error {
	own, err := p.ownComponents(c)
	if err != nil {
		return err
	}
	name = strings.ToUpper(name)
	view := componentView{Schema: api.Schema}
	d, ok := verb.Lookup(name)
	if !ok && own != nil {
		d, ok = own.Lookup(name)
		view.Origin = own.Path(name)
	}
	if !ok {
		return fail(exitUsage, fmt.Errorf("there is no verb %s", name), `see "quorate component ls"`)
	}
	if d.Problem != "" {
		return fail(exitRefused, errors.New(d.Problem))
	}
	view.Description = job.Describe(d)
	return p.emit(view, func() error {
		text, example, _ := strings.Cut(job.Help(d), "\nExample:\n")
		for line := range strings.Lines(text) {
			if p.con.outTerminal {
				indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
				if strings.HasPrefix(line, "  --") {
					indent = strings.Repeat(" ", optionColumns)
				}
				line = wrapWords(line, p.con.columns(), indent)
			}
			fmt.Fprint(p.con.out, line)
		}
		if example == "" {
			return nil
		}
		_, err := fmt.Fprint(p.con.out, "\nExample:\n", example) // as it is: it is there to be copied
		return err
	})
}
