package cli

import (
	"slices"
	"strings"

	cli "github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v4"

	"quorate/engine/api"
	"quorate/planner"
)

func targetFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "target", Usage: "run on these `HOST,...` instead of the targets in the file"}
}

// orderFlags are of the commands that take orchestrations.
func orderFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "force-async", Usage: "order no orchestration behind another"},
		&cli.BoolFlag{Name: "poll", Usage: "follow the run to its end, which is the default"},
		&cli.BoolFlag{Name: "wait", Usage: "wait for the end of the run in silence"},
		&cli.BoolFlag{Name: "stream", Usage: "show at the end what all jobs printed, not only those that failed"},
	}
}

// checkFollowing refuses several ways to follow a run at once.
func checkFollowing(c *cli.Context) error {
	var given []string
	for _, name := range []string{"poll", "wait", "stream", "detach", "finger-print"} {
		if c.Bool(name) {
			given = append(given, "--"+name)
		}
	}
	if len(given) > 1 {
		return usage(commandLine(c)+" --help", "%s exclude each other", strings.Join(given, " and "))
	}
	return nil
}

// A printView is a job in the output of --finger-print.
type printView struct {
	Parent      string `json:"parent"`
	Verb        string `json:"verb"`
	Exec        string `json:"exec"`
	Name        string `json:"name,omitempty"`
	Fingerprint string `json:"fingerprint"`
}

// prints compiles files without a server and lists their jobs.
func (p *program) prints(opt planner.Options, src planner.Sources) ([]printView, error) {
	opt.Everywhere = []string{"every-host"} // the fingerprints do not depend on it
	made := compile(src, opt)
	p.printDiagnostics(made.diagnostics)
	if made.plan == nil {
		return nil, made.refusal()
	}
	views := []printView{}
	for _, j := range made.inputs.Prints(made.plan) {
		views = append(views, printView{j.Parent, j.Verb, j.Text, j.Name, j.Fingerprint})
	}
	return views, nil
}

func (p *program) fingerprints(c *cli.Context, src planner.Sources) error {
	if err := checkFollowing(c); err != nil {
		return err
	}
	opt, err := p.options(c)
	if err != nil {
		return err
	}
	views, err := p.prints(opt, src)
	if err != nil {
		return err
	}
	g := &grid{header: []any{"COUNT", "PARENT", "VERB", "EXEC", "NAME", "FINGERPRINT"}}
	for i, v := range views {
		g.add(i, v.Parent, v.Verb, clipped(v.Exec), v.Name, v.Fingerprint)
	}
	return emitAll(p, struct {
		Schema string      `json:"schema"`
		Jobs   []printView `json:"jobs"`
	}{api.Schema, views}, views, g)
}

// execShownMax is how much of a job's text a list of fingerprints shows.
const execShownMax = 27

func clipped(text string) string {
	if runes := []rune(text); len(runes) > execShownMax {
		return string(runes[:execShownMax]) + "..."
	}
	return text
}

func (p *program) orchestrateCommand() *cli.Command {
	return &cli.Command{
		Name: "orchestrate", Category: sectionPlan, Usage: "run Directord orchestration files, unchanged", ArgsUsage: "FILE...",
		Description: "Without targets an orchestration is for every agent. Those on one host run one after\n" +
			"another, in the order of the files; async ones run beside them.\n\n" +
			"  quorate orchestrate site.yaml --target web-1,web-2",
		Flags: slices.Concat([]cli.Flag{targetFlag()}, selectFlags(), runFlags(), orderFlags(), []cli.Flag{
			&cli.BoolFlag{Name: "finger-print", Aliases: []string{"fingerprint"}, Usage: "print what --restrict calls the jobs, and send nothing"},
		}),
		Action: func(c *cli.Context) error {
			if c.NArg() == 0 {
				return usage(commandLine(c)+" --help", "missing FILE")
			}
			src := planner.Sources{Orchestrations: c.Args().Slice()}
			if c.Bool("finger-print") {
				return p.fingerprints(c, src)
			}
			return p.deploy(c, src)
		},
	}
}

func (p *program) execCommand() *cli.Command {
	return &cli.Command{
		Name: "exec", Category: sectionPlan, Usage: "run one job now", ArgsUsage: "VERB 'ARGS'",
		Description: "For instance: quorate exec RUN 'uptime' --target web-1\nThe arguments are one word of the shell, with the options of the verb in it.",
		Flags: slices.Concat([]cli.Flag{targetFlag(), selectFlags()[2], componentsFlag()}, runFlags(), orderFlags(), []cli.Flag{
			&cli.StringFlag{Name: "verb", Usage: "the `VERB`, as Directord has it; all words are then its arguments"},
		}),
		Action: p.exec,
	}
}

// exec writes the job into an orchestration of its own, so that a job from the
// command line is read by the same code as one from a file.
func (p *program) exec(c *cli.Context) error {
	name, text := c.Args().Get(0), c.Args().Get(1)
	if c.IsSet("verb") {
		name, text = c.String("verb"), strings.Join(c.Args().Slice(), " ")
	}
	if name == "" || !c.IsSet("verb") && c.NArg() > 2 {
		return usage(commandLine(c)+" --help", "want a verb and its arguments in one word, for instance: quorate exec RUN 'uptime'")
	}
	content, err := yaml.Marshal([]map[string]any{{"jobs": []map[string]string{{name: text}}}})
	if err != nil {
		return err
	}
	return p.deploy(c, planner.Sources{Texts: []planner.Text{{Name: "exec.yaml", Content: content}}})
}
