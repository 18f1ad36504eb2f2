package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
	"quorate/planner"
)

func (p *program) demoCommand() *cli.Command {
	return &cli.Command{
		Name: "demo", Category: sectionOther, Usage: "the guided example: a deployment; then one whose leader is killed, and why nothing is lost",
		Description: "Starts one orchestrator and an agent per host as processes of their own in a temporary\n" +
			"directory, deploys to them, shows what happened, and verifies the log. Then it does so with\n" +
			"three orchestrators, kills the one that leads in the middle of the run, proves that every job\n" +
			"took effect once, and looks into what happened. In the end everything is removed.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "services", Aliases: []string{"s"}, Value: "testdata/shop/services", Usage: "`PATH` of the services"},
			&cli.StringFlag{Name: "inventory", Aliases: []string{"i"}, Value: "testdata/shop/inventory.yaml", Usage: "`PATH` of the inventory"},
			&cli.StringFlag{Name: "roles", Aliases: []string{"r"}, Value: "testdata/shop/roles.yaml", Usage: "`PATH` of the roles"},
			&cli.BoolFlag{Name: "keep", Usage: "keep the temporary directory"},
		},
		Action: p.demo,
	}
}

func (p *program) demo(c *cli.Context) (err error) {
	src, err := sources(c)
	if err != nil {
		return err
	}
	opt, err := p.options(c)
	if err != nil {
		return err
	}
	if _, err := os.Stat(src.Services); err != nil {
		return fail(exitError, err, "run the demo from the root of the repository, or name files with -s, -i and -r")
	}
	made := compile(src, opt)
	p.printDiagnostics(made.diagnostics)
	if made.plan == nil {
		return made.refusal()
	}
	// A reader that goes away must not end this process before it has cleaned up.
	// It is caught, not ignored: what is ignored here would be in every job.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	defer signal.Stop(pipe)
	dir, err := temporaryDir("quorate-demo-", filepath.Join(outageDir, serverOf(0), socketName))
	if err != nil {
		return err
	}
	d := &demonstration{program: p, dir: dir, made: made, src: src, opt: opt}
	j, err := startJanitor(dir, c.Bool("keep"))
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	defer func() {
		d.fleet.stop()
		j.dismiss()
		if err != nil && !errors.Is(err, context.Canceled) {
			d.fleet.explain(p.con)
		}
		if c.Bool("keep") {
			p.con.note("kept %s", dir)
			return
		}
		if e := os.RemoveAll(dir); err == nil {
			err = e
		}
	}()
	return d.run(c.Context)
}

// A demonstration is one run of the guided example.
type demonstration struct {
	*program
	dir    string
	made   *compilation
	src    planner.Sources
	opt    planner.Options
	fleet  fleet
	client *api.Client
}

func (d *demonstration) step(n int, format string, args ...any) {
	text := fmt.Sprintf("%d. %s", n, fmt.Sprintf(format, args...))
	fmt.Fprintln(d.con.out, d.con.paint(d.con.out, bold, text))
}

// run goes through the example. The run is cancelled where it is left early, so
// that no job outlives it.
func (d *demonstration) run(ctx context.Context) error {
	hosts := d.made.plan.Hosts
	d.step(1, "start an orchestrator and %s", count(len(hosts), "agent"))
	if err := d.start(ctx, hosts); err != nil {
		return err
	}
	defer d.client.Close()

	d.step(2, "quorate apply -s %s -i %s -r %s", d.src.Services, d.src.Inventory, d.src.Roles)
	run, err := submit(ctx, d.client, d.made, api.RunSubmit{PlanID: d.made.plan.ID(), RequestID: requestID()})
	if err != nil {
		return err
	}
	if err := d.follow(ctx, following{client: d.client, run: run.ID}); err != nil {
		d.abandon(context.WithoutCancel(ctx), run.ID)
		if ctx.Err() != nil {
			return interrupted(errors.New("the run is cancelled and everything removed"))
		}
		return withoutHints(err) // they lead to the run, which is removed
	}

	d.step(3, "quorate run output %d", run.ID)
	if err := d.showOutputs(ctx, run.ID); err != nil {
		return err
	}
	d.step(4, "quorate log ls --run %d", run.ID)
	if err := d.showLog(ctx, run.ID); err != nil {
		return err
	}

	d.step(5, "stop the orchestrator, and prove what it did: quorate replay --verify")
	d.fleet.stop()
	if err := d.verify(ctx, filepath.Join(d.dir, "server")); err != nil {
		return err
	}
	fmt.Fprintln(d.con.out)
	return d.outage(ctx, hosts)
}

func (d *demonstration) start(ctx context.Context, hosts []string) error {
	program, err := executable()
	if err != nil {
		return err
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	data := filepath.Join(d.dir, "server")
	d.fleet = fleet{program: program, logs: d.dir}
	if err := d.fleet.start(ctx, "server", nil, "server", "--data-dir", data, "--listen", address, "--log", logEmbedded); err != nil {
		return err
	}
	if d.client, err = api.Dial("unix://" + filepath.Join(data, socketName)); err != nil {
		return err
	}
	if err := d.ready(ctx); err != nil {
		return err
	}
	return d.startAgents(ctx, hosts, filepath.Join(d.dir, "agents"), address)
}

// ready waits until the orchestrator leads and has read its log, and no longer than
// all processes run.
func (d *demonstration) ready(ctx context.Context) error {
	return until(ctx, readyMax, "the orchestrator did not start", func() (bool, error) {
		if name := d.fleet.ended(); name != "" {
			return false, fmt.Errorf("%s ended while it started", name)
		}
		return (&embedded{client: d.client}).leads(ctx), nil
	})
}

// startAgents starts an agent per host, and waits until all are connected. The
// servers are the addresses of orchestrators, separated by commas.
func (d *demonstration) startAgents(ctx context.Context, hosts []string, below, servers string) error {
	for i, host := range hosts {
		in := api.TokenCreate{Name: host, Role: roleAgent, TTLSeconds: 600}
		if i == 0 {
			in.Labels = []string{controllerLabel}
		}
		token, err := d.client.CreateToken(ctx, in)
		if err != nil {
			return err
		}
		dir := filepath.Join(below, host)
		if err := os.MkdirAll(filepath.Join(dir, "root"), 0o700); err != nil {
			return err
		}
		env := []string{"QUORATE_TOKEN=" + token.Token}
		if err := d.fleet.start(ctx, "agent-"+host, env, "agent", "--server", servers, "--data-dir", dir, "--work-dir", filepath.Join(dir, "root")); err != nil {
			return err
		}
	}
	return (&agentGroup{}).connected(ctx, d.client, hosts)
}

// abandonMax bounds how long the end of a cancelled run is waited for.
const abandonMax = 15 * time.Second

// abandon cancels a run and waits until its jobs are stopped.
func (d *demonstration) abandon(ctx context.Context, id uint64) {
	ctx, cancel := context.WithTimeout(ctx, abandonMax)
	defer cancel()
	name := fmt.Sprint(id)
	if run, err := d.client.CancelRun(ctx, name, api.Cancel{RequestID: requestID(), Reason: "the demo was interrupted"}); err != nil || run.Done() {
		return
	}
	_ = until(ctx, abandonMax, "the run did not end", func() (bool, error) {
		run, err := d.client.Run(ctx, name)
		return err != nil || run.Done(), nil
	})
}

// demoOutputsMax and demoEventsMax bound what the demo shows.
const (
	demoOutputsMax = 6
	demoEventsMax  = 8
)

func (d *demonstration) showOutputs(ctx context.Context, id uint64) error {
	shown := 0
	for out, err := range d.client.Output(ctx, fmt.Sprint(id), "", "") {
		if err != nil {
			return err
		}
		if out.Stdout == "" {
			continue
		}
		if err := d.printOutput(out); err != nil {
			return err
		}
		if shown++; shown == demoOutputsMax {
			fmt.Fprintln(d.con.out, "...")
			return nil
		}
	}
	return nil
}

func (d *demonstration) showLog(ctx context.Context, id uint64) error {
	shown := 0
	for event, err := range d.client.Log(ctx, api.LogQuery{Run: id, Limit: demoEventsMax + 1}) {
		if err != nil {
			return err
		}
		if shown++; shown > demoEventsMax {
			fmt.Fprintln(d.con.out, "   ...")
			break
		}
		if err := d.printLogEvent(event); err != nil {
			return err
		}
	}
	return nil
}
