package cli

import (
	"context"
	"strconv"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
)

func (p *program) runRetryCommand() *cli.Command {
	return &cli.Command{
		Name: "retry", Usage: "do what a run that has ended has left, in a new run, and follow that", ArgsUsage: "RUN", Action: p.runRetry,
		Description: "The new run is of the same plan and limits. What has succeeded in the old one counts as\n" +
			"done; what has failed, or was cancelled or skipped, is done from its first job on, but\n" +
			"for jobs that the cache holds.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "failed", Usage: "only where all that is left is known to have failed, or not to have run (the default)"},
			&cli.BoolFlag{Name: "unknown", Usage: "also do steps once more of which nobody knows whether they had their effect; needs --reason"},
			reasonFlag(),
			&cli.BoolFlag{Name: "ignore-cache", Usage: "also run jobs that succeeded before"},
			&cli.BoolFlag{Name: "detach", Usage: "print the run's number and do not follow it"},
			&cli.DurationFlag{Name: "timeout", Usage: "give up after this `DURATION`; the run goes on"},
		},
	}
}

func (p *program) runRetry(c *cli.Context) error {
	switch {
	case c.Bool("failed") && c.Bool("unknown"):
		return usage(commandLine(c)+" --help", "--unknown does what has failed as well: want one of --failed and --unknown")
	case c.Bool("unknown") && c.String("reason") == "":
		return usage(commandLine(c)+" --help", "--reason is missing: the log keeps why")
	}
	if err := checkTimeout(c); err != nil {
		return err
	}
	return p.onRun(c, 1, func(ctx context.Context, client *api.Client, id string) error {
		old, err := client.Run(ctx, id)
		if err != nil {
			return err
		}
		in := api.Retry{RequestID: requestID(), Unknown: c.Bool("unknown"), Reason: c.String("reason"), IgnoreCache: c.Bool("ignore-cache")}
		var run *api.Run
		err = persist(ctx, func() (err error) { // latest is another one by now
			run, err = client.RetryRun(ctx, strconv.FormatUint(old.ID, 10), in)
			return err
		})
		if err != nil {
			return err
		}
		if c.Bool("detach") {
			return p.emitNumber(run)
		}
		if p.format() == formatTable {
			s := &run.Summary
			p.con.note("run %d retries run %d: %d of %d steps are left", run.ID, run.RetryOf, s.Steps-s.Succeeded, s.Steps)
		}
		return p.follow(ctx, following{client: client, run: run.ID, timeout: c.Duration("timeout")})
	})
}
