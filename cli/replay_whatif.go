package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	cli "github.com/urfave/cli/v2"

	"quorate/engine"
	"quorate/engine/api"
	"quorate/planner"
)

// A whatIfReport is what replay --what-if and plan --diff print.
type whatIfReport struct {
	Schema string `json:"schema"`
	Run    uint64 `json:"run,omitempty"`
	Same   bool   `json:"same"`
	// PlannerVersions are in the difference, where they differ.
	*planner.Difference
}

// whatIf shows what would be done differently to what a run or a plan did. What the flags
// do not name is as it was there.
func (p *program) whatIf(c *cli.Context) error {
	src := planner.Sources{Services: c.String("services"), Inventory: c.String("inventory"), Roles: c.String("roles")}
	help := commandLine(c) + " --help"
	switch {
	case c.String("run") == "" && c.String("plan") == "":
		return usage(help, "--what-if compares with what was run: name it with --run or --plan")
	case src.Services == "" && src.Inventory == "" && src.Roles == "" && !changesSomething(c):
		return usage(help, "--what-if with what? Name other inputs with -s, -i, -r, --var, --limit or --restrict, or another --planner")
	}
	run, err := readRun(c)
	if err != nil {
		return err
	}
	return p.compareWith(c, run, c.String("plan"), src)
}

// planDiff shows the difference to a run by its number, or to a plan.
func (p *program) planDiff(c *cli.Context, src planner.Sources) error {
	if run, err := strconv.ParseUint(c.String("diff"), 10, 32); err == nil && run > 0 {
		return p.compareWith(c, run, "", src)
	}
	return p.compareWith(c, 0, c.String("diff"), src)
}

func changesSomething(c *cli.Context) bool {
	for _, name := range []string{"planner", "var", "limit", "restrict", "components"} {
		if c.IsSet(name) {
			return true
		}
	}
	return false
}

// compareWith prints the difference to the plan of a run, or to one by its id.
func (p *program) compareWith(c *cli.Context, run uint64, id string, src planner.Sources) error {
	return p.withPast(c, func(source pastLog, s *engine.State) error {
		graphs, err := plansNamed(s, run, id)
		if err != nil {
			return err
		}
		if len(graphs) != 1 {
			return fail(exitError, errors.New("no plan is named"), "name a run, or a plan by its id")
		}
		stored, err := openStored(c.Context, p.reader(c, source), graphs[0].PlanID)
		if err != nil {
			return hinted(err, "what a bundle lacks is with the cluster, or in the directory of one of its orchestrators")
		}
		_, opt, _, err := stored.again()
		if err != nil {
			return err
		}
		if opt, err = p.changed(c, opt); err != nil {
			return err
		}
		var plan *planner.Plan
		if binary := c.String("planner"); binary != "" {
			plan, err = p.planWith(c, binary, stored, src, opt)
		} else {
			plan, err = p.planOf(stored, src, opt)
		}
		if err != nil {
			return err
		}
		d := planner.Compare(stored.plan, plan)
		err = p.emit(whatIfReport{api.Schema, run, d.Same(), d}, func() error {
			p.printDifference(d)
			return nil
		})
		if err == nil && !d.Same() {
			err = ended(exitChanges)
		}
		return err
	})
}

// changed puts what the flags say into the options that a plan was made with.
func (p *program) changed(c *cli.Context, opt planner.Options) (planner.Options, error) {
	given, err := p.options(c)
	if err != nil {
		return opt, err
	}
	opt.WorkDir = given.WorkDir
	if c.IsSet("limit") {
		opt.Limit = given.Limit
	}
	if c.IsSet("restrict") {
		opt.Restrict = given.Restrict
	}
	if c.IsSet("var") {
		opt.Vars = given.Vars
	}
	if c.IsSet("components") {
		opt.Verbs = given.Verbs
	}
	return opt, nil
}

// planOf compiles in this process.
func (p *program) planOf(stored *storedPlan, src planner.Sources, opt planner.Options) (*planner.Plan, error) {
	made, err := stored.compile(src, opt)
	if err != nil {
		return nil, err
	}
	p.printDiagnostics(made.diagnostics)
	if made.plan == nil {
		return nil, fail(exitRefused, fmt.Errorf("there is no plan to compare with: errors in the input: %d", made.errors()))
	}
	return made.plan, nil
}

// printDifference prints what two plans would do differently.
func (p *program) printDifference(d *planner.Difference) {
	out := p.con.out
	fmt.Fprintf(out, "plan %.12s, and now %.12s: ", d.From, d.To)
	switch {
	case d.From == d.To:
		fmt.Fprintln(out, "the same")
	case d.Same():
		fmt.Fprintln(out, "the same would be done")
	default:
		fmt.Fprintf(out, "tasks: %d added, %d removed, %d changed, %d reordered; hosts affected: %d\n",
			d.Count(planner.DiffAdded), d.Count(planner.DiffRemoved), d.Count(planner.DiffChanged), d.Count(planner.DiffReordered), len(d.Hosts))
	}
	if d.Planner != nil {
		fmt.Fprintf(out, "planner: version %s, and now %s\n", d.Planner.From, d.Planner.To)
	}
	for _, in := range d.Inputs {
		fmt.Fprintf(out, "input %s %s: %s\n", in.Role, printable(in.Name), in.Change)
	}
	for _, v := range d.Vars {
		fmt.Fprintf(out, "var %s: %s -> %s\n", printable(v.Field), quoted(v.From), quoted(v.To))
	}
	signs := map[string]string{planner.DiffAdded: "+", planner.DiffRemoved: "-", planner.DiffChanged: "~", planner.DiffReordered: ">"}
	colors := map[string]string{planner.DiffAdded: green, planner.DiffRemoved: red, planner.DiffChanged: yellow, planner.DiffReordered: yellow}
	for i := range d.Tasks {
		t := &d.Tasks[i]
		line := fmt.Sprintf("%s %s", signs[t.Change], printable(t.ID))
		fmt.Fprintf(out, "%s  on %s\n", p.con.paint(out, colors[t.Change], line), some(t.Hosts, hostsShownMax))
		for _, f := range t.Fields {
			p.printField(f)
		}
	}
}

// printField prints one thing that is different.
func (p *program) printField(f planner.FieldChange) {
	what := f.Field
	if f.Job > 0 {
		what = fmt.Sprintf("job %d (%s) %s", f.Job, f.Verb, strings.TrimPrefix(f.Field, "job "))
	}
	switch {
	case f.From == "":
		fmt.Fprintf(p.con.out, "    %s: + %s\n", printable(what), quoted(f.To))
	case f.To == "":
		fmt.Fprintf(p.con.out, "    %s: - %s\n", printable(what), quoted(f.From))
	default:
		fmt.Fprintf(p.con.out, "    %s: %s -> %s\n", printable(what), quoted(f.From), quoted(f.To))
	}
}

// fieldColumnsMax bounds a value in a line; -o json has all of it.
const fieldColumnsMax = 60

// quoted is a value that may be long, or be of several lines, for a line.
func quoted(text string) string { return fmt.Sprintf("%q", shortened(text, fieldColumnsMax)) }
