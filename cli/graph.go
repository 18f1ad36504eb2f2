package cli

import (
	cli "github.com/urfave/cli/v2"

	"quorate/planner"
)

func (p *program) graphCommand() *cli.Command {
	return &cli.Command{
		Name: "graph", Category: sectionPlan, Usage: "draw the tasks and what they wait for",
		Flags: append(append(sourceFlags(), selectFlags()...),
			&cli.StringFlag{Name: "format", Value: "dot", Usage: "`FORMAT` of the drawing: dot, svg, mermaid or json"}),
		Action: p.graph,
	}
}

func (p *program) graph(c *cli.Context) error {
	src, err := sources(c)
	if err != nil {
		return err
	}
	opt, err := p.options(c)
	if err != nil {
		return err
	}
	format := c.String("format")
	switch format {
	case "dot", "svg", "mermaid", "json":
	default:
		return usage(commandLine(c)+" --help", "unknown drawing format %q: want dot, svg, mermaid or json", format)
	}
	made := compile(src, opt)
	p.printDiagnostics(made.diagnostics)
	if made.plan == nil {
		return made.refusal()
	}
	view := planner.View(made.plan, made.diagnostics, nil)
	if !c.IsSet("format") && p.format() != formatTable {
		return p.emit(view, nil)
	}
	switch format {
	case "svg":
		return made.plan.SVG(p.con.out)
	case "mermaid":
		return made.plan.Mermaid(p.con.out)
	case "json":
		return p.printJSON(view, "  ")
	}
	return made.plan.Dot(p.con.out)
}
