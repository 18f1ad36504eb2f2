package cli

import (
	"fmt"
	"os"
	"path/filepath"

	cli "github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v4"

	"quorate/planner"
)

func targetFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "target", Usage: "run on these `HOST,...` instead of the targets in the file"}
}

func (p *program) orchestrateCommand() *cli.Command {
	return &cli.Command{
		Name: "orchestrate", Category: sectionPlan, Usage: "run Directord orchestration files, unchanged", ArgsUsage: "FILE...",
		Flags: append(append([]cli.Flag{targetFlag()}, selectFlags()...), runFlags()...),
		Action: func(c *cli.Context) error {
			if c.NArg() == 0 {
				return usage(commandLine(c)+" --help", "missing FILE")
			}
			return p.deploy(c, planner.Sources{Orchestrations: c.Args().Slice()})
		},
	}
}

func (p *program) execCommand() *cli.Command {
	return &cli.Command{
		Name: "exec", Category: sectionPlan, Usage: "run one job now", ArgsUsage: "VERB 'ARGS'",
		Description: "For instance: quorate exec RUN 'uptime' --target web-1\nThe arguments are one word of the shell, with the options of the verb in it.",
		Flags:       append([]cli.Flag{targetFlag(), selectFlags()[2], componentsFlag()}, runFlags()...),
		Action:      p.exec,
	}
}

// exec writes the job into an orchestration file of its own, so that a job from
// the command line is read by the same code as one from a file.
func (p *program) exec(c *cli.Context) error {
	if c.NArg() < 1 || c.NArg() > 2 {
		return usage(commandLine(c)+" --help", "want a verb and its arguments in one word, for instance: quorate exec RUN 'uptime'")
	}
	content, err := yaml.Marshal([]map[string]any{{"jobs": []map[string]string{{c.Args().Get(0): c.Args().Get(1)}}}})
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "quorate-exec-")
	if err != nil {
		return fmt.Errorf("temporary directory: %w", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "exec.yaml")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		return err
	}
	return p.deploy(c, planner.Sources{Orchestrations: []string{file}})
}
