package cli

import (
	"fmt"
	"strings"

	cli "github.com/urfave/cli/v2"

	"quorate/planner"
)

func (p *program) planCommand() *cli.Command {
	return &cli.Command{
		Name: "plan", Category: sectionPlan, Usage: "compile, validate, and show what would run",
		Description: "Reads the files, reports everything that is wrong with them, and shows the tasks\n" +
			"in the order of their dependencies. It changes nothing, and needs no server: where\n" +
			"one is configured, by --server or QUORATE_SERVER, it compares each task with what\n" +
			"is on record of it, and says what would run and why. That is a prediction: agents\n" +
			"look at their hosts, and have the last word (apply --check asks them).\n\n" +
			"  quorate plan -s services -i inventory.yaml -r roles.yaml",
		Flags: append(append(sourceFlags(), selectFlags()...),
			&cli.BoolFlag{Name: "detailed-exitcode", Usage: "exit with 3 where tasks would run"},
			&cli.StringFlag{Name: "diff", Usage: "show the difference to this `RUN` or plan of the cluster, and exit with 3 where there is one"},
			&cli.BoolFlag{Name: "stored", Hidden: true}),
		Action: p.plan,
	}
}

func (p *program) plan(c *cli.Context) error {
	if c.Bool("stored") {
		return p.planStored(c)
	}
	src, err := sources(c)
	if err != nil {
		return err
	}
	if c.IsSet("diff") {
		return p.planDiff(c, src)
	}
	opt, err := p.options(c)
	if err != nil {
		return err
	}
	made := compile(src, opt)
	var verdicts []planner.Verdict
	if made.plan != nil && p.server != "" {
		if verdicts, err = p.predict(c, made, opt); err != nil {
			return err
		}
	}
	view := planner.View(made.plan, made.diagnostics, verdicts)
	structured := p.format() == formatJSON || p.format() == formatYAML || p.format() == formatNDJSON
	if structured {
		if err := p.emit(view, nil); err != nil {
			return err
		}
	} else {
		p.printDiagnostics(made.diagnostics)
	}
	if made.plan == nil {
		return made.refusal()
	}
	if !structured {
		show := p.printPlan
		if verdicts != nil {
			show = p.printPrediction
		}
		if err := show(view); err != nil {
			return err
		}
	}
	if c.Bool("detailed-exitcode") {
		for _, t := range view.Tasks {
			if t.Action == "run" {
				return ended(exitChanges)
			}
		}
	}
	return nil
}

// hostsShownMax is how many hosts a line names before it counts the rest.
const hostsShownMax = 4

func (p *program) printPlan(view *planner.PlanView) error {
	g := &grid{header: []any{"LEVEL", "TASK", "DRIVER", "HOSTS", "JOBS", "AFTER"}}
	jobs := 0
	for _, t := range view.Tasks {
		var after []string
		for _, e := range t.After {
			after = append(after, e.Task)
		}
		g.add(t.Level, t.ID, t.Driver, some(t.Hosts, hostsShownMax), t.Jobs, some(after, 3))
		jobs += t.Jobs * max(len(t.Hosts), 1)
	}
	if err := p.printGrid(g); err != nil {
		return err
	}
	_, err := fmt.Fprintf(p.con.out, "\nplan %.12s: %d tasks in %d levels on %d hosts\n", view.PlanID, len(view.Tasks), len(view.Order), len(view.Hosts))
	return err
}

// some joins the first few of a list and counts the others.
func some(all []string, most int) string {
	if len(all) == 0 {
		return "-"
	}
	if len(all) <= most {
		return strings.Join(all, ",")
	}
	return fmt.Sprintf("%s,+%d", strings.Join(all[:most], ","), len(all)-most)
}
