package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"quorate/engine/api"
)

// stepsShownMax bounds the steps that a summary names one by one, linesShownMax
// the lines of output shown of each.
const (
	stepsShownMax = 10
	linesShownMax = 10
)

// printSummary prints what became of a run; with details, the steps that failed
// with the end of their output first.
func (p *program) printSummary(ctx context.Context, client *api.Client, run *api.Run, details bool) error {
	var failed []api.Step
	if details {
		failed = stepsOf(run, "failed")
	}
	for _, s := range failed[:min(len(failed), stepsShownMax)] {
		if err := p.printFailedStep(ctx, client, run, s); err != nil {
			return err
		}
	}
	if more := len(failed) - stepsShownMax; more > 0 {
		fmt.Fprintf(p.con.out, "... and %d more failed steps\n", more)
	}
	color := green
	switch run.Status {
	case "failed", "cancelled":
		color = red
	case "waiting":
		color = yellow
	}
	if run.Check {
		return p.checkSummary(ctx, client, run, p.con.paint(p.con.out, color, run.Status))
	}
	s := run.Summary
	err := p.prose("", "run %d %s: %s, %s, %s; succeeded %d, skipped %d, changed %d, unchanged %d, failed %d, unknown %d; elapsed %s",
		run.ID, p.con.paint(p.con.out, color, run.Status), count(s.Tasks, "task"), count(s.Steps, "step"), count(s.Jobs, "job"), s.Succeeded, s.Skipped, s.Changed, s.Unchanged, s.Failed, s.Unknown,
		elapsed(time.Duration(run.ElapsedMS)*time.Millisecond))
	return err
}

// printFailedStep prints why a step failed: its reason and what its failed jobs wrote last.
func (p *program) printFailedStep(ctx context.Context, client *api.Client, run *api.Run, s api.Step) error {
	reason := ""
	if s.Reason != "" {
		reason = ": " + printable(s.Reason)
	}
	fmt.Fprintf(p.con.out, "%s %s%s\n", p.con.paint(p.con.out, red, "failed"), s.ID, reason)
	task, _, _ := strings.Cut(s.ID, "@")
	for out, err := range client.Output(ctx, fmt.Sprint(run.ID), task, s.Host) {
		if err != nil {
			return fmt.Errorf("output of %s: %w", s.ID, err)
		}
		if out.Outcome != "failed" || out.Attempt != s.Attempt {
			continue
		}
		text := out.Stderr
		if strings.TrimSpace(text) == "" {
			text = out.Stdout
		}
		what := out.Verb
		if out.Name != "" {
			what += " " + out.Name
		}
		why := printable(out.Info)
		if out.Exit > 0 && !strings.HasSuffix(out.Info, fmt.Sprintf("exit status %d", out.Exit)) {
			why = fmt.Sprintf("exit %d %s", out.Exit, why)
		}
		fmt.Fprintf(p.con.out, "  job %d %s: %s\n", out.Job, printable(what), strings.TrimSpace(why))
		for _, line := range lastLines(text, linesShownMax) {
			fmt.Fprintf(p.con.out, "  | %s\n", printable(line))
		}
	}
	return nil
}

// lastLines are the last lines of a text that hold something.
func lastLines(text string, most int) []string {
	lines := strings.Split(strings.TrimRight(text, "\n "), "\n")
	if len(lines) == 1 && lines[0] == "" {
		return nil
	}
	return lines[max(0, len(lines)-most):]
}

// elapsed rounds a duration to what a reader cares for.
func elapsed(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
