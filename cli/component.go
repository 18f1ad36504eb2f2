package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
	"quorate/internal/component"
	"quorate/internal/job"
	"quorate/nodeagent/verb"
)

// componentsDir is where components are looked for where no flag says so.
const componentsDir = "components"

func componentsFlag() cli.Flag {
	return &cli.StringFlag{Name: "components", EnvVars: []string{"QUORATE_COMPONENTS"},
		Usage: "`DIR` of user-defined components (./" + componentsDir + " where there is one)"}
}

func (p *program) componentCommand() *cli.Command {
	return &cli.Command{
		Name: "component", Category: sectionPlan, Usage: "list and explain the verbs of jobs",
		Description: "Components are the verbs that jobs are written with: the built-in ones, and those of\n" +
			"the directory of components.",
		Subcommands: []*cli.Command{
			{Name: "ls", Usage: "list the verbs", Flags: []cli.Flag{componentsFlag()}, Action: p.componentList},
			{Name: "show", Usage: "show what a verb does and its options", ArgsUsage: "VERB", Flags: []cli.Flag{componentsFlag()}, Action: p.componentShow},
		},
	}
}

// builtIn reports whether a verb is one of our own.
func builtIn(name string) bool {
	_, ok := verb.Lookup(name)
	return ok
}

// components opens the directory of components; it is nil where there is none.
func (p *program) components(c *cli.Context) (*component.Directory, error) {
	dir := c.String("components")
	asked := dir != ""
	if !asked {
		dir = componentsDir
	}
	found, err := component.Open(dir, builtIn)
	switch {
	case err != nil && !asked && (errors.Is(err, fs.ErrNotExist) || notFolder(dir)):
		return nil, nil
	case err != nil:
		return nil, fail(exitUsage, err, "name a directory with --components")
	case asked && len(found.Problems) > 0:
		return nil, fail(exitRefused, fmt.Errorf("components: %s", found.Problems[0]))
	}
	for _, problem := range found.Problems {
		p.con.warn("%s", problem) // the folder may be here for another purpose
	}
	return found, nil
}

func notFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// verbs finds all verbs: the built-in ones first.
func (p *program) verbs(c *cli.Context) (job.Lookup, error) {
	own, err := p.components(c)
	if err != nil || own == nil {
		return verb.Lookup, err
	}
	return func(name string) (*job.Declaration, bool) {
		if d, ok := verb.Lookup(name); ok {
			return d, true
		}
		return own.Lookup(name)
	}, nil
}

// A componentView is a verb in the output of component ls and show.
type componentView struct {
	Schema  string `json:"schema"`
	Verb    string `json:"verb"`
	Summary string `json:"summary"`
	// Origin is built-in, or the component's file.
	Origin     string `json:"origin"`
	Cacheable  bool   `json:"cacheable"`
	Idempotent bool   `json:"idempotent"`
	// Executable is false for verbs that are planned but not executed.
	Executable bool `json:"executable"`
	// Problem says why a component cannot be used.
	Problem string `json:"problem,omitempty"`
	Help    string `json:"help,omitempty"`
}

func viewOf(d *job.Declaration, origin string) componentView {
	return componentView{
		Schema: api.Schema, Verb: d.Verb, Summary: d.Summary, Origin: origin, Cacheable: d.Cacheable,
		Idempotent: d.Idempotent, Executable: d.Executable, Problem: d.Problem,
	}
}

func (p *program) componentList(c *cli.Context) error {
	own, err := p.components(c)
	if err != nil {
		return err
	}
	var views []componentView
	for _, v := range verb.Table() {
		views = append(views, viewOf(&v.Decl, "built-in"))
	}
	if own != nil {
		for _, name := range own.Verbs() {
			d, _ := own.Lookup(name)
			views = append(views, viewOf(d, own.Path(name)))
		}
	}
	slices.SortFunc(views, func(a, b componentView) int { return strings.Compare(a.Verb, b.Verb) })
	g := &grid{header: []any{"VERB", "ORIGIN", "SUMMARY"}}
	for _, v := range views {
		summary := v.Summary
		switch {
		case v.Problem != "":
			summary = v.Problem
		case !v.Executable:
			summary += " (planned, not executed)"
		}
		g.add(v.Verb, v.Origin, summary)
	}
	return emitAll(p, struct {
		Schema     string          `json:"schema"`
		Components []componentView `json:"components"`
	}{api.Schema, views}, views, g)
}

func (p *program) componentShow(c *cli.Context) error {
	if c.NArg() != 1 {
		return usage(commandLine(c)+" --help", "want %s", c.Command.ArgsUsage)
	}
	own, err := p.components(c)
	if err != nil {
		return err
	}
	name := strings.ToUpper(c.Args().First())
	d, ok := verb.Lookup(name)
	origin := "built-in"
	var names []string
	if !ok && own != nil {
		d, ok = own.Lookup(name)
		origin = own.Path(name)
		names = own.Verbs()
	}
	if !ok {
		for known := range verb.Table() {
			names = append(names, known)
		}
		hint := "see \"quorate component ls\""
		slices.Sort(names)
		if near := nearest(name, names); near != "" {
			hint = fmt.Sprintf("did you mean %s? %s", near, hint)
		}
		return fail(exitError, fmt.Errorf("there is no verb %s", name), hint)
	}
	if d.Problem != "" {
		return fail(exitRefused, errors.New(d.Problem))
	}
	view := viewOf(d, origin)
	view.Help = job.Help(d)
	return p.emit(view, func() error {
		_, err := fmt.Fprint(p.con.out, view.Help)
		return err
	})
}
