package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
)

func (p *program) runCommand() *cli.Command {
	timeout := &cli.DurationFlag{Name: "timeout", Usage: "give up after this `DURATION`; the run goes on"}
	return &cli.Command{
		Name: "run", Category: sectionRuns, Usage: "list, follow, cancel and resolve runs",
		Description: "RUN is a number, or latest. Runs go on by themselves after an orchestrator or an agent\n" +
			"was restarted: there is nothing to resume by hand.",
		Subcommands: []*cli.Command{
			{Name: "ls", Usage: "list runs, newest first", Action: p.runList,
				Flags: []cli.Flag{&cli.IntFlag{Name: "limit", Value: 50, Usage: "show at most `N`; 0 shows all"}}},
			{Name: "show", Usage: "show a run with its tasks", ArgsUsage: "RUN", Action: p.runShow},
			{Name: "watch", Usage: "follow a run to its end", ArgsUsage: "RUN", Flags: []cli.Flag{timeout},
				Action: func(c *cli.Context) error { return p.runFollow(c, false) }},
			{Name: "wait", Usage: "wait for the end of a run in silence", ArgsUsage: "RUN", Flags: []cli.Flag{timeout},
				Action: func(c *cli.Context) error { return p.runFollow(c, true) }},
			{Name: "output", Usage: "show what the jobs of a run printed", ArgsUsage: "RUN", Action: p.runOutput,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "task", Usage: "of this `TASK` only"},
					&cli.StringFlag{Name: "host", Usage: "of this `HOST` only"},
				}},
			p.analyzeCommand(), p.timelineCommand(),
			{Name: "cancel", Usage: "start nothing more and stop what is under way", ArgsUsage: "RUN", Action: p.runCancel,
				Flags: []cli.Flag{reasonFlag(), yesFlag()}},
			{Name: "resolve", Usage: "decide on a step whose outcome is unknown", ArgsUsage: "RUN STEP", Action: p.runResolve,
				Description: "Find out on the host whether the step took effect, and say so; \"quorate run resume RUN\" names\n" +
					"the steps that wait for that.\n\n" +
					"  quorate run resolve 7 web-start@web-1 --as succeeded --reason 'nginx is up'",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "as", Usage: "`DECISION`: succeeded, failed or retry"},
					reasonFlag(),
				}},
			p.runRetryCommand(),
			{Name: "resume", Usage: "nothing to do: runs resume by themselves", ArgsUsage: "RUN", Action: p.runResume},
		},
	}
}

func reasonFlag() cli.Flag {
	return &cli.StringFlag{Name: "reason", Usage: "why; kept in the log (`TEXT`)"}
}

func yesFlag() cli.Flag {
	return &cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"}
}

// runID reads the run that a command is about.
func runID(c *cli.Context, argsWanted int) (string, error) {
	if c.NArg() != argsWanted {
		return "", usage(commandLine(c)+" --help", "want %s", c.Command.ArgsUsage)
	}
	id := c.Args().First()
	if id == "latest" {
		return id, nil
	}
	if n, err := strconv.ParseUint(id, 10, 64); err != nil || n == 0 {
		return "", usage(commandLine(c)+" --help", "%q is not a run: want a number, or latest", id)
	}
	return id, nil
}

// onRun runs a command about one run.
func (p *program) onRun(c *cli.Context, argsWanted int, do func(ctx context.Context, client *api.Client, id string) error) error {
	id, err := runID(c, argsWanted)
	if err != nil {
		return err
	}
	client, err := p.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	return do(c.Context, client, id)
}

func (p *program) runList(c *cli.Context) error {
	if n := c.Int("limit"); n < 0 {
		return usage(commandLine(c)+" --help", "--limit %d: want a number, or 0 for all", n)
	}
	client, err := p.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	runs, err := client.Runs(c.Context, c.Int("limit"))
	if err != nil {
		return err
	}
	return emitAll(p, api.Runs{Schema: api.Schema, Runs: notNil(runs)}, runs, runGrid(runs))
}

func runGrid(runs []api.Run) *grid {
	g := &grid{header: []any{"RUN", "STATUS", "CREATED", "ELAPSED", "TASKS", "FAILED", "PLAN", "BY"}}
	for _, r := range runs {
		g.add(r.ID, statusOf(&r), stamp(r.CreatedAt), elapsed(time.Duration(r.ElapsedMS)*time.Millisecond),
			fmt.Sprintf("%d/%d", r.Summary.TasksDone, r.Summary.Tasks), r.Summary.Failed, r.PlanID[:min(8, len(r.PlanID))], r.By)
	}
	return g
}

// stamp writes a time as all output does.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// notNil keeps an empty list from becoming null.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (p *program) runShow(c *cli.Context) error {
	return p.onRun(c, 1, func(ctx context.Context, client *api.Client, id string) error {
		run, err := client.Run(ctx, id)
		if err != nil {
			return err
		}
		return p.emit(run, func() error { return p.printRun(run) })
	})
}

func (p *program) printRun(run *api.Run) error {
	fmt.Fprintf(p.con.out, "run %d %s, plan %.12s, by %s\ncreated %s, elapsed %s\n", run.ID, statusOf(run), run.PlanID, printable(run.By),
		stamp(run.CreatedAt), elapsed(time.Duration(run.ElapsedMS)*time.Millisecond))
	if run.RetryOf != 0 {
		fmt.Fprintf(p.con.out, "retries run %d\n", run.RetryOf)
		if run.RetryReason != "" {
			fmt.Fprintf(p.con.out, "since %s\n", printable(run.RetryReason))
		}
	}
	for _, w := range run.WaitingFor {
		fmt.Fprintf(p.con.out, "waiting for %s\n", printable(w))
	}
	fmt.Fprintln(p.con.out)
	g := &grid{header: []any{"TASK", "STATUS", "STEPS", "REASON"}}
	for _, t := range run.Tasks {
		counts, reason := map[string]int{}, t.Reason
		if reason == "" {
			reason = outcome(run, &t)
		}
		for _, s := range t.Steps {
			if counts[s.Status]++; s.Status == "shipped" && reason == "" {
				reason = s.Reason
			}
		}
		var steps []string
		for status, n := range counts {
			steps = append(steps, fmt.Sprintf("%d %s", n, status))
		}
		slices.Sort(steps)
		g.add(t.ID, t.Status, some(steps, 4), reason)
	}
	return p.printGrid(g)
}

func (p *program) runFollow(c *cli.Context, quiet bool) error {
	if err := checkTimeout(c); err != nil {
		return err
	}
	return p.onRun(c, 1, func(ctx context.Context, client *api.Client, id string) error {
		run, err := client.Run(ctx, id)
		if err != nil {
			return err
		}
		f := following{client: client, run: run.ID, timeout: c.Duration("timeout"), quiet: quiet}
		return p.follow(ctx, f)
	})
}

func (p *program) runOutput(c *cli.Context) error {
	return p.onRun(c, 1, func(ctx context.Context, client *api.Client, id string) error {
		task, host := c.String("task"), c.String("host")
		if task != "" || host != "" {
			run, err := client.Run(ctx, id)
			if err != nil {
				return err
			}
			if err := holds(run, task, host); err != nil {
				return err
			}
			id = strconv.FormatUint(run.ID, 10) // latest may be another one by now
		}
		return p.printOutputs(ctx, client, id, task, host)
	})
}

// holds refuses a task and a host that a run does not have: a mistyped name must
// not look like a job that printed nothing.
func holds(run *api.Run, task, host string) error {
	foundTask, foundHost, both := task == "", host == "", false
	for _, t := range run.Tasks {
		onHost := host == "" || slices.ContainsFunc(t.Steps, func(s api.Step) bool { return s.Host == host })
		isTask := task == "" || t.ID == task
		foundTask, foundHost, both = foundTask || isTask, foundHost || onHost, both || isTask && onHost
	}
	see := fmt.Sprintf("see \"quorate run show %d\"", run.ID)
	hosts := fmt.Sprintf("see \"quorate run show %d -o json\"", run.ID)
	switch {
	case !foundTask:
		return fail(exitError, fmt.Errorf("run %d has no task %q", run.ID, task), see)
	case !foundHost:
		return fail(exitError, fmt.Errorf("run %d has no host %q", run.ID, host), hosts)
	case !both && len(run.Tasks) > 0:
		return fail(exitError, fmt.Errorf("task %q of run %d is not for host %q", task, run.ID, host), hosts)
	}
	return nil
}

// printOutputs prints what the jobs of a run wrote, of one task and host where
// they are named.
func (p *program) printOutputs(ctx context.Context, client *api.Client, id, task, host string) error {
	all := []api.Output{}
	for out, err := range client.Output(ctx, id, task, host) {
		if err != nil {
			return err
		}
		switch p.format() {
		case formatTable:
			err = p.printOutput(out)
		case formatNDJSON:
			err = p.printJSON(out, "")
		default:
			all = append(all, out)
		}
		if err != nil {
			return err
		}
	}
	if p.format() == formatTable || p.format() == formatNDJSON {
		return nil
	}
	return p.emit(struct {
		Schema  string       `json:"schema"`
		Outputs []api.Output `json:"outputs"`
	}{api.Schema, all}, nil)
}

func (p *program) printOutput(out api.Output) error {
	color := green
	if out.Outcome != "succeeded" {
		color = red
	}
	head := fmt.Sprintf("%s@%s job %d %s", out.Task, out.Host, out.Job, out.Verb)
	if out.Name != "" {
		head += " " + printable(out.Name)
	}
	head = fmt.Sprintf("%s: %s, exit %d, %s", head, p.con.paint(p.con.out, color, out.Outcome), out.Exit, elapsed(time.Duration(out.DurationMS)*time.Millisecond))
	if _, err := fmt.Fprintln(p.con.out, head); err != nil {
		return err
	}
	if out.Info != "" {
		fmt.Fprintf(p.con.out, "  info: %s\n", printable(out.Info))
	}
	for _, stream := range []struct{ mark, text string }{{"  ", out.Stdout}, {"! ", out.Stderr}} {
		for _, line := range lastLines(stream.text, len(stream.text)) {
			if _, err := fmt.Fprintf(p.con.out, "%s%s\n", stream.mark, printable(line)); err != nil {
				return err
			}
		}
	}
	if out.Truncated > 0 {
		fmt.Fprintf(p.con.out, "  (%d bytes were dropped from the middle)\n", out.Truncated)
	}
	return nil
}

func (p *program) runCancel(c *cli.Context) error {
	return p.onRun(c, 1, func(ctx context.Context, client *api.Client, id string) error {
		if id == "latest" { // the one that is asked about, whatever is started meanwhile
			latest, err := client.Run(ctx, id)
			if err != nil {
				return err
			}
			id = strconv.FormatUint(latest.ID, 10)
		}
		if err := p.con.confirm(c.Context, c.Bool("yes"), "run %s will be cancelled and its jobs stopped", id); err != nil {
			return err
		}
		var run *api.Run
		in := api.Cancel{RequestID: requestID(), Reason: c.String("reason")}
		err := persist(ctx, func() (err error) {
			run, err = client.CancelRun(ctx, id, in)
			return err
		})
		if err != nil {
			return err
		}
		return p.emit(run, func() error {
			_, err := fmt.Fprintf(p.con.out, "run %d %s\n", run.ID, run.Status)
			return err
		})
	})
}

func (p *program) runResolve(c *cli.Context) error {
	return p.onRun(c, 2, func(ctx context.Context, client *api.Client, id string) error {
		in := api.Resolve{RequestID: requestID(), Step: c.Args().Get(1), As: c.String("as"), Reason: c.String("reason")}
		switch {
		case in.As != "succeeded" && in.As != "failed" && in.As != "retry":
			return usage(commandLine(c)+" --help", "--as %q: want succeeded, failed or retry", in.As)
		case in.Reason == "":
			return usage(commandLine(c)+" --help", "--reason is missing: the log keeps why")
		}
		var run *api.Run
		err := persist(ctx, func() (err error) {
			run, err = client.Resolve(ctx, id, in)
			return err
		})
		if err != nil {
			return err
		}
		return p.emit(run, func() error {
			_, err := fmt.Fprintf(p.con.out, "step %s of run %d resolved as %s; the run is %s\n", in.Step, run.ID, in.As, run.Status)
			return err
		})
	})
}

// runResume is for those who look for it.
func (p *program) runResume(c *cli.Context) error {
	return p.onRun(c, 1, func(ctx context.Context, client *api.Client, id string) error {
		run, err := client.Run(ctx, id)
		if err != nil {
			return err
		}
		switch {
		case !run.Done():
			p.con.note("runs resume by themselves; run %d is %s", run.ID, run.Status)
		case run.Status == "succeeded":
			p.con.note("run %d has ended, there is nothing to resume: it has succeeded", run.ID)
		default:
			p.con.note("run %d has ended, there is nothing to resume: \"quorate run retry %d\" does what it has left, in a new run", run.ID, run.ID)
		}
		switch run.Status {
		case "waiting":
			return p.verdict(run)
		case "running":
			p.con.note("\"quorate run watch %d\" follows it", run.ID)
		}
		return nil
	})
}
