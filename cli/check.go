package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
)

// checkFlags are of the commands that start a run.
func checkFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "check", Usage: "have the agents say what they would change, and change nothing"},
		&cli.BoolFlag{Name: "diff", Usage: "with --check: show how files would change"},
	}
}

// checkChecking refuses flags of a check where there is none.
func checkChecking(c *cli.Context) error {
	if c.Bool("diff") && !c.Bool("check") {
		return usage(commandLine(c)+" --help", "--diff is for --check")
	}
	if c.Bool("diff") && c.Bool("detach") {
		return usage(commandLine(c)+" --help", `--diff and --detach exclude each other: "quorate run output RUN" shows the differences later`)
	}
	return nil
}

// statusOf is the status of a run, which for a check is no news of its hosts.
func statusOf(run *api.Run) string {
	if run.Check {
		return run.Status + " (check)"
	}
	return run.Status
}

// wouldChange begins what an agent says of a job that has something to do. Of one that
// only its run could tell about it says something else, and counts it as a change too.
const wouldChange = "would change"

// printChecked says what the jobs of a check would change or could not do, with
// diffs where they are asked for.
func (p *program) printChecked(ctx context.Context, client *api.Client, run *api.Run, diffs bool) error {
	for out, err := range client.Output(ctx, strconv.FormatUint(run.ID, 10), "", "") {
		if err != nil {
			return err
		}
		if out.Outcome == "succeeded" && !out.Changed {
			continue
		}
		if err := p.printFinding(&out, diffs); err != nil {
			return err
		}
	}
	return nil
}

// printFinding prints what a check found out about one job.
func (p *program) printFinding(out *api.Output, diffs bool) error {
	color := yellow
	if out.Outcome != "succeeded" {
		color = red
	}
	name := out.Verb
	if out.Name != "" {
		name += " " + out.Name
	}
	head := p.con.paint(p.con.out, color, fmt.Sprintf("%s@%s job %d %s", out.Task, out.Host, out.Job, printable(name)))
	info := lastLines(out.Info, len(out.Info))
	if len(info) == 0 {
		info = []string{out.Outcome}
	}
	if _, err := fmt.Fprintf(p.con.out, "%s: %s\n", head, printable(info[0])); err != nil {
		return err
	}
	for _, line := range info[1:] {
		fmt.Fprintf(p.con.out, "    %s\n", printable(line))
	}
	if !diffs {
		return nil
	}
	for _, line := range lastLines(out.Stdout, len(out.Stdout)) {
		fmt.Fprintf(p.con.out, "  %s\n", p.paintDiff(printable(line)))
	}
	return nil
}

// paintDiff colours a line of a unified diff.
func (p *program) paintDiff(line string) string {
	switch {
	case len(line) == 0:
		return line
	case line[0] == '+':
		return p.con.paint(p.con.out, green, line)
	case line[0] == '-':
		return p.con.paint(p.con.out, red, line)
	}
	return line
}

// checkSummary is the last line of a check.
func (p *program) checkSummary(ctx context.Context, client *api.Client, run *api.Run, status string) error {
	s := run.Summary
	open := 0
	for out, err := range client.Output(ctx, strconv.FormatUint(run.ID, 10), "", "") {
		if err != nil {
			return err
		}
		if out.Outcome == "succeeded" && out.Changed && !strings.HasPrefix(out.Info, wouldChange) {
			open++
		}
	}
	err := p.prose("", "run %d %s (check, nothing was changed): %s, %s, %s; would change %d, cannot tell %d, unchanged %d, would fail %d, skipped %d",
		run.ID, status, count(s.Tasks, "task"), count(s.Steps, "step"), count(s.Jobs, "job"), max(s.Changed-open, 0), open, s.Unchanged, s.Failed, s.Skipped)
	return err
}
