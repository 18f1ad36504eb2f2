package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	cli "github.com/urfave/cli/v2"

	"quorate/engine"
	"quorate/engine/api"
	"quorate/engine/replay"
)

func (p *program) replayCommand() *cli.Command {
	return &cli.Command{
		Name: "replay", Category: sectionRuns, Usage: "show the state as it was, what changed, and why",
		Description: "Folds the log as the orchestrators did, up to any point, and shows what comes out: of a\n" +
			"running cluster, of the files of a stopped or dead orchestrator (--data-dir), or of a bundle\n" +
			"(--bundle). It changes nothing, and writes to nothing that it reads.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "data-dir", EnvVars: []string{"QUORATE_DATA_DIR"}, Usage: "`DIR` of a stopped server, a copy of one, or of apply --embedded"},
			&cli.StringFlag{Name: "bundle", Usage: "`FILE` that audit export wrote"},
			&cli.StringFlag{Name: "at", Usage: "stop after this `SEQ`, or at this time (RFC 3339, or a duration ago such as 1h)"},
			&cli.StringFlag{Name: "run", Usage: "show this `RUN` with its tasks, steps and attempts; latest for the newest"},
			&cli.StringFlag{Name: "diff", Usage: "show what changed behind this point, `A`, up to the point that follows: --diff A B"},
			&cli.BoolFlag{Name: "step", Usage: "walk over the events, forward and back, from --at or the beginning"},
			&cli.BoolFlag{Name: "verify", Usage: "check the whole chain, and print the hashes of the head and of the state"},
		}, recompileFlags()...),
		ArgsUsage: "[B]",
		Action:    p.replay,
	}
}

func (p *program) replay(c *cli.Context) error {
	if err := checkReplay(c); err != nil {
		return err
	}
	if c.Bool("verify") {
		dir, err := p.dataDir(c, "server")
		if err != nil {
			return err
		}
		return p.verify(c.Context, dir)
	}
	if c.Bool("recompile") {
		return p.replayRecompile(c)
	}
	if c.Bool("what-if") {
		return p.whatIf(c)
	}
	if c.Bool("step") && !p.con.inTerminal {
		return noTerminal()
	}
	// A mistyped point is a mistake whatever can be opened.
	at, err := readBound(c, "--at", c.String("at"))
	if err != nil {
		return err
	}
	from, err := readBound(c, "--diff", c.String("diff"))
	if err != nil {
		return err
	}
	to, err := readBound(c, "--diff", c.Args().First())
	if err != nil {
		return err
	}
	run, err := readRun(c)
	if err != nil {
		return err
	}
	source, err := p.openPast(c)
	if err != nil {
		return err
	}
	defer source.Close()
	past, err := replay.New(c.Context, source)
	if err != nil {
		return afterDamage(err)
	}
	switch {
	case c.IsSet("diff"):
		err = p.replayDiff(c.Context, past, from, to, run)
	case c.Bool("step"):
		err = p.replayStep(c.Context, past, at)
	default:
		err = p.replayAt(c.Context, past, at, run)
	}
	return afterDamage(err)
}

// checkReplay refuses flags that do not go together.
func checkReplay(c *cli.Context) error {
	help := commandLine(c) + " --help"
	modes := 0
	for _, name := range []string{"verify", "step", "diff", "recompile", "what-if"} {
		if c.IsSet(name) {
			modes++
		}
	}
	switch {
	case modes > 1:
		return usage(help, "--verify, --step, --diff, --recompile and --what-if are one at a time")
	case c.Bool("verify") && (c.IsSet("at") || c.IsSet("run") || c.IsSet("bundle")):
		return usage(help, "--verify is about the whole log of a directory: it goes without --at, --run and --bundle (\"quorate audit verify\" checks a bundle)")
	case c.IsSet("diff") && c.IsSet("at"):
		return usage(help, "--diff names both points: it goes without --at")
	case c.IsSet("diff") && c.NArg() != 1:
		return usage(help, "--diff takes two points: --diff 120 180")
	case !c.IsSet("diff") && c.NArg() > 0:
		return usage(help, "%q: nothing is expected here", c.Args().First())
	case c.IsSet("bundle") && c.IsSet("data-dir") && c.String("data-dir") != "":
		return usage(help, "--bundle and --data-dir are one at a time")
	case (c.Bool("recompile") || c.Bool("what-if")) && c.IsSet("at"):
		return usage(help, "--recompile and --what-if are about plans, which do not change: they go without --at")
	case c.IsSet("plan") && c.IsSet("run"):
		return usage(help, "--plan and --run are one at a time")
	case !c.Bool("recompile") && !c.Bool("what-if") && c.IsSet("plan"):
		return usage(help, "--plan goes with --recompile or --what-if")
	case c.Bool("step") && c.IsSet("run"):
		return usage(help, "--step walks over all events: it goes without --run")
	}
	return nil
}

// latestRun stands for the newest run.
const latestRun = math.MaxUint64

// readRun reads --run: a number, latest, or nothing, which is 0.
func readRun(c *cli.Context) (uint64, error) {
	switch text := c.String("run"); text {
	case "":
		return 0, nil
	case "latest":
		return latestRun, nil
	default:
		id, err := strconv.ParseUint(text, 10, 64)
		if err != nil || id == 0 {
			return 0, usage(commandLine(c)+" --help", "--run %q: want the number of a run, or latest", text)
		}
		return id, nil
	}
}

// runIn is the number of the run in a state, 0 where there is none yet.
func runIn(s *engine.State, id uint64) uint64 {
	if id == latestRun {
		return uint64(len(s.Runs))
	}
	return id
}

// A bound is a place in a log: a record, a time, or its end.
type bound struct {
	seq  uint64 // the largest number for none
	time int64  // unix nanoseconds, the largest number for none
}

// theEnd is behind every record.
func theEnd() bound { return bound{math.MaxUint64, math.MaxInt64} }

// readBound reads the value of a flag; empty is the log's end.
func readBound(c *cli.Context, flag, text string) (bound, error) {
	seq, at, err := since(text, time.Now())
	end := theEnd()
	switch {
	case err != nil:
		return end, usage(commandLine(c)+" --help", flag+" %w", err)
	case !at.IsZero():
		end.time = at.UnixNano()
	case text != "":
		end.seq = seq
	}
	return end, nil
}

// in returns the index of the point in a log.
func (at bound) in(ctx context.Context, past *replay.Replay) (uint64, error) {
	switch {
	case at.time != math.MaxInt64:
		return past.IndexAt(ctx, at.time)
	case at.seq == math.MaxUint64:
		return past.Last(), nil
	case at.seq > past.Last():
		return 0, fail(exitError, fmt.Errorf("the log ends at %d, before %d", past.Last(), at.seq))
	}
	return at.seq, nil
}

// stateAt returns the state at a point.
func stateAt(ctx context.Context, past *replay.Replay, at bound) (*engine.State, error) {
	index, err := at.in(ctx, past)
	if err != nil {
		return nil, err
	}
	s, err := past.StateAt(ctx, index)
	if errors.Is(err, replay.ErrOutside) && past.First() > 1 {
		return nil, hinted(err, "this bundle holds a part of the log: \"quorate audit export --all\" writes one of all of it")
	}
	return s, err
}

// replayTo returns the state at a point of a stopped node's log.
func replayTo(dir string, until bound) (*engine.State, error) {
	files, err := replay.OpenFiles(dir)
	if err != nil {
		return nil, unread(err)
	}
	defer files.Close()
	past, err := replay.New(context.Background(), files)
	if err != nil {
		return nil, err
	}
	return stateAt(context.Background(), past, until)
}

// replayAt shows the state, or a run, as it was.
func (p *program) replayAt(ctx context.Context, past *replay.Replay, at bound, id uint64) error {
	state, err := stateAt(ctx, past, at)
	if err != nil {
		return err
	}
	if id == 0 {
		return p.printState(state)
	}
	run := state.Run(runIn(state, id))
	if run == nil && id == latestRun {
		return fail(exitError, fmt.Errorf("there is no run yet at %d", state.Index))
	}
	if run == nil {
		return fail(exitError, fmt.Errorf("there is no run %d at %d", id, state.Index))
	}
	return p.printPastRun(state, run)
}

// A changeList is what --diff prints.
type changeList struct {
	Schema  string          `json:"schema"`
	From    uint64          `json:"from"`
	To      uint64          `json:"to"`
	Changes []replay.Change `json:"changes"`
}

// replayDiff shows what changed between two points, of one run where it is not 0.
func (p *program) replayDiff(ctx context.Context, past *replay.Replay, from, to bound, run uint64) error {
	a, err := from.in(ctx, past)
	if err != nil {
		return err
	}
	b, err := to.in(ctx, past)
	if err != nil {
		return err
	}
	if a > b {
		return fail(exitUsage, fmt.Errorf("%d is behind %d", a, b), fmt.Sprintf("the earlier point comes first: --diff %d %d", b, a))
	}
	if run == latestRun {
		state, err := past.StateAt(ctx, b)
		if err != nil {
			return err
		}
		if run = runIn(state, run); run == 0 {
			return fail(exitError, fmt.Errorf("there is no run yet at %d", b))
		}
	}
	changes, err := past.Diff(ctx, a, b)
	if err != nil {
		return err
	}
	list := changeList{Schema: api.Schema, From: a, To: b, Changes: []replay.Change{}}
	for _, c := range changes {
		if run == 0 || c.Run == run {
			list.Changes = append(list.Changes, c)
		}
	}
	if p.format() == formatNDJSON {
		for _, c := range list.Changes {
			if err := p.printJSON(c, ""); err != nil {
				return err
			}
		}
		return nil
	}
	return p.emit(list, func() error {
		g := &grid{header: []any{"WHAT", "WHICH", "RUN", "FIELD", "BEFORE", "AFTER"}}
		for _, c := range list.Changes {
			g.add(c.What, c.Which, dash(c.Run), c.Field, orDash(c.Before), orDash(c.After))
		}
		fmt.Fprintf(p.con.out, "from %d to %d: %d changes\n", a, b, len(list.Changes))
		if len(list.Changes) == 0 {
			return nil
		}
		return p.printGrid(g)
	})
}

// dash is a number, or a dash for none.
func dash(n uint64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}
