package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
	"quorate/planner"
)

// runFlags are those of every command that starts a run.
func runFlags() []cli.Flag {
	return append(checkFlags(),
		&cli.BoolFlag{Name: "ignore-cache", Aliases: []string{"force"}, Usage: "run jobs also where the agent remembers their success"},
		&cli.BoolFlag{Name: "fail-fast", Usage: "start nothing new after the first failure"},
		&cli.IntFlag{Name: "parallel", Usage: "keep at most `N` steps under way"},
		&cli.IntFlag{Name: "parallel-per-host", Usage: "keep at most `N` of them under way on one host, where 8 is the default"},
		&cli.IntFlag{Name: "ahead", Usage: "let each agent hold up to `N` steps, sent ahead of what they wait for on its host, or of a place there; 0 for none", Value: 1024},
		&cli.DurationFlag{Name: "timeout", Usage: "stop following after this `DURATION`, for instance 10m; the run goes on"},
		&cli.BoolFlag{Name: "detach", Usage: "print the number of the run and do not follow it"},
		&cli.BoolFlag{Name: "embedded", Usage: "use no cluster: run everything in this process, on this machine"},
		&cli.StringFlag{Name: "data-dir", EnvVars: []string{"QUORATE_EMBEDDED_DATA_DIR"}, Usage: "with --embedded: the `DIR` of the log and the agents"},
		&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
	)
}

func (p *program) applyCommand() *cli.Command {
	return &cli.Command{
		Name: "apply", Category: sectionPlan, Usage: "compile, record, run, and follow to the end",
		Description: "Compiles the files here, sends the plan and what it ships to the orchestrator, starts\n" +
			"a run and follows it. Nothing is sent where the files have errors. Ctrl-C detaches;\n" +
			"the run goes on.\n\n" +
			"  quorate apply -s services -i inventory.yaml -r roles.yaml --check --diff\n" +
			"  quorate apply -s services -i inventory.yaml -r roles.yaml --limit web-1,web-2",
		Flags: append(append(sourceFlags(), selectFlags()...), runFlags()...),
		Action: func(c *cli.Context) error {
			src, err := sources(c)
			if err != nil {
				return err
			}
			return p.deploy(c, src)
		},
	}
}

// A backend is the orchestrator that a run is given to.
type backend struct {
	client *api.Client
	// embedded is nil where the orchestrator is a server.
	embedded *embedded
}

// deploy compiles the sources, starts a run and follows it.
func (p *program) deploy(c *cli.Context, src planner.Sources) error {
	if err := checkDeploying(c); err != nil {
		return err
	}
	opt, err := p.options(c)
	if err != nil {
		return err
	}
	var be backend
	if !c.Bool("embedded") {
		if be.client, err = p.dial(); err != nil {
			return err
		}
		defer be.client.Close()
	}
	if err := p.knownHosts(c, be.client, src, &opt); err != nil {
		return err
	}
	made := compile(src, opt)
	oneJob := c.Command.Name == "exec"
	if oneJob {
		for i := range made.diagnostics {
			made.diagnostics[i].Pos = planner.Pos{} // of a file that the operator did not write
		}
	}
	p.printDiagnostics(made.diagnostics)
	if made.plan == nil {
		return made.refusal()
	}
	if c.Bool("embedded") {
		if be.embedded, err = p.startEmbedded(c, made.plan); err != nil {
			return err
		}
		defer be.embedded.stop()
		be.client = be.embedded.client
	}
	ahead := uint32(c.Int("ahead"))
	run, err := submit(c.Context, be.client, made, api.RunSubmit{
		PlanID: made.plan.ID(), RequestID: requestID(), Parallel: uint32(c.Int("parallel")), ParallelPerHost: uint32(c.Int("parallel-per-host")), Ahead: &ahead,
		FailFast: c.Bool("fail-fast"), IgnoreCache: c.Bool("ignore-cache") || oneJob, // "now" means now
		Check: c.Bool("check"),
	})
	if err != nil {
		return err
	}
	if c.Bool("detach") {
		return p.emitNumber(run)
	}
	if be.embedded == nil && p.format() == formatTable {
		p.con.note("run %d of plan %.12s", run.ID, run.PlanID)
	}
	err = p.follow(c.Context, following{
		client: be.client, run: run.ID, timeout: c.Duration("timeout"), embedded: be.embedded,
		quiet: c.Bool("wait"), outputs: oneJob || c.Bool("stream"), diffs: c.Bool("diff"),
	})
	if be.embedded == nil || c.Context.Err() != nil {
		return err
	}
	return errors.Join(err, be.embedded.finish(c.Context, p.con))
}

// checkDeploying looks at the flags of a command that starts a run.
func checkDeploying(c *cli.Context) error {
	if err := checkLimits(c); err != nil {
		return err
	}
	if err := checkTimeout(c); err != nil {
		return err
	}
	if err := errors.Join(checkFollowing(c), checkChecking(c)); err != nil {
		return err
	}
	if c.Bool("embedded") && c.Bool("detach") {
		return usage(commandLine(c)+" --help", "--detach needs a server: with --embedded the run lives in this process")
	}
	return nil
}

// emitNumber prints a run that is not followed: its number for people.
func (p *program) emitNumber(run *api.Run) error {
	return p.emit(run, func() error {
		_, err := fmt.Fprintln(p.con.out, run.ID)
		return err
	})
}

// checkLimits refuses numbers of steps that are none.
func checkLimits(c *cli.Context) error {
	for name, least := range map[string]int{"parallel": 1, "parallel-per-host": 1, "ahead": 0} {
		if n := c.Int(name); n < 0 || n > math.MaxInt32 {
			return usage(commandLine(c)+" --help", "--%s %d: want a number from %d", name, n, least)
		}
	}
	return nil
}

// checkTimeout refuses a time that has passed before it begins.
func checkTimeout(c *cli.Context) error {
	if limit := c.Duration("timeout"); limit < 0 {
		return usage(commandLine(c)+" --help", "--timeout %s: want a duration such as 10m, or 0 for no limit", limit)
	}
	return nil
}

// knownHosts tells the planner the nodes that orchestrations without targets go
// to: all that the cluster knows. Without a cluster these are the agents that
// earlier runs left in the data directory, and for one job this machine.
func (p *program) knownHosts(c *cli.Context, client *api.Client, src planner.Sources, opt *planner.Options) error {
	if len(src.Orchestrations)+len(src.Texts) == 0 || src.Inventory != "" {
		return nil
	}
	if client == nil {
		switch {
		case len(opt.Targets) > 0: // those, and whoever a job is assigned to
		case c.Command.Name == "exec":
			opt.Hosts = []string{"localhost"}
		default:
			dir, err := p.dataDir(c, "embedded")
			if err != nil {
				return err
			}
			opt.Everywhere = embeddedAgents(dir)
		}
		return nil
	}
	agents, err := client.Agents(c.Context)
	if err != nil {
		return err
	}
	opt.Everywhere = []string{}
	for _, a := range agents {
		if a.Status == "pending" || a.Status == "revoked" {
			continue
		}
		opt.Hosts = append(opt.Hosts, a.Name)
		if !slices.Contains(a.Labels, controllerLabel) { // it runs local tasks, and what names it
			opt.Everywhere = append(opt.Everywhere, a.Name)
		}
	}
	if len(opt.Hosts) == 0 {
		return fail(exitRefused, fmt.Errorf("no agent is enrolled"), `make a token with "quorate token create", and start an agent with it: "quorate agent --server ADDRESS --token TOKEN"`)
	}
	return nil
}

// submit uploads what the orchestrator lacks, records the plan and starts a run.
// Starting is repeated under the same request id until the outcome is known.
func submit(ctx context.Context, client *api.Client, made *compilation, in api.RunSubmit) (*api.Run, error) {
	if err := record(ctx, client, made, in.PlanID); err != nil {
		return nil, err
	}
	var run *api.Run
	err := persist(ctx, func() (err error) {
		run, err = client.CreateRun(ctx, in)
		return err
	})
	return run, err
}

// record puts the plan on record at the orchestrator that was given its blobs.
// Where another one has taken that one's place on the way, it lacks them.
func record(ctx context.Context, client *api.Client, made *compilation, planID string) error {
	for tries := 0; ; tries++ {
		before := client.Address()
		err := persist(ctx, func() error {
			if _, err := client.UploadBlobs(ctx, made.blobs()); err != nil {
				return fmt.Errorf("upload: %w", err)
			}
			return nil
		})
		if err != nil {
			return err
		}
		err = persist(ctx, func() error {
			_, err := client.SubmitPlan(ctx, planID)
			return err
		})
		if err == nil {
			return nil
		}
		if tries == recordTriesMax || client.Address() == before || ctx.Err() != nil {
			return fmt.Errorf("plan %.12s: %w", planID, err)
		}
	}
}

// recordTriesMax bounds how often a plan is sent again because the orchestrator
// that had it went away.
const recordTriesMax = 5

// persistMax bounds how long a command is repeated whose outcome is not known,
// persistPause is the wait in between.
const (
	persistMax   = 30 * time.Second
	persistPause = 200 * time.Millisecond
)

// persist repeats a command with a request id while the orchestrator cannot be
// reached or does not know the outcome.
func persist(ctx context.Context, command func() error) error {
	for start := time.Now(); ; {
		err := command()
		if err == nil || !transient(err) || time.Since(start) > persistMax {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(persistPause):
		}
	}
}
