package cli

import (
	"context"
	"fmt"
	"math"
	"time"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
)

func (p *program) analyzeCommand() *cli.Command {
	return &cli.Command{
		Name: "analyze", Usage: "show where the time of a run went", ArgsUsage: "RUN",
		Description: "Execution is what the agents measured of the jobs, a round trip what the log tells:\n" +
			"from the record that scheduled a step to the one that ended it.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "task", Usage: "of this `TASK` only"},
			&cli.IntFlag{Name: "job", Value: -1, Usage: "with --task: of its job `N` only, counted from 0", DefaultText: "all"},
		},
		Action: p.runAnalyze,
	}
}

func (p *program) runAnalyze(c *cli.Context) error {
	var job *uint32
	switch n := c.Int("job"); {
	case n == -1:
	case n < 0 || n > math.MaxUint32:
		return usage(commandLine(c)+" --help", "--job %d: want a number from 0", n)
	case c.String("task") == "":
		return usage(commandLine(c)+" --help", "--job needs --task")
	default:
		number := uint32(n)
		job = &number
	}
	return p.onRun(c, 1, func(ctx context.Context, client *api.Client, id string) error {
		a, err := client.Analyze(ctx, id, c.String("task"), job)
		if err != nil {
			return err
		}
		return p.emit(a, func() error { return p.printAnalysis(a) })
	})
}

func (p *program) printAnalysis(a *api.Analysis) error {
	what := fmt.Sprintf("run %d", a.Run)
	if a.Task != "" {
		what += ", task " + printable(a.Task)
	}
	if a.Job != nil {
		what += fmt.Sprintf(", job %d", *a.Job)
	}
	fmt.Fprintf(p.con.out, "%s: %s on %s, %d succeeded, %d failed\n", what, count(a.Jobs, "job"), count(a.Nodes, "host"), a.Succeeded, a.Failed)
	fmt.Fprintf(p.con.out, "runtime %s; execution %s in all, %s per job\n", lasting(a.RuntimeMS), lasting(a.ExecutionMS), lasting(a.ExecutionPerJobMS))
	for _, line := range []struct {
		name            string
		least, greatest *api.NodeTime
	}{{"execution", a.FastestExecution, a.SlowestExecution}, {"round trip", a.FastestRoundTrip, a.SlowestRoundTrip}} {
		if line.least != nil {
			fmt.Fprintf(p.con.out, "%s: fastest %s (%s), slowest %s (%s)\n", line.name,
				line.least.Host, lasting(line.least.MS), line.greatest.Host, lasting(line.greatest.MS))
		}
	}
	fmt.Fprintln(p.con.out)
	g := &grid{header: []any{"HOST", "SUCCEEDED", "FAILED", "EXECUTION", "ROUND TRIP"}}
	for _, n := range a.Hosts {
		g.add(n.Host, n.Succeeded, n.Failed, lasting(n.ExecutionMS), lasting(n.RoundTripMS))
	}
	return p.printGrid(g)
}

// lasting writes milliseconds as a duration.
func lasting(ms float64) string { return elapsed(time.Duration(ms * float64(time.Millisecond))) }
