package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/history"
)

func (p *program) timelineCommand() *cli.Command {
	return &cli.Command{
		Name: "timeline", Usage: "show when each step of a run waited and ran, and what it waited for", ArgsUsage: "[RUN]",
		Description: "Draws the run, marks the critical path, and splits each step's time into waiting for other\n" +
			"steps, for a slot, for the network, and execution. RUN is a number, or latest, which it is where\n" +
			"none is given. Like replay it works on a running cluster, on a stopped server's files and on a\n" +
			"bundle. Times are by the log's clock: those of an agent whose clock is off are moved to fit.",
		Flags: append(pastFlags(),
			&cli.StringFlag{Name: "by", Usage: "a row for each `WHAT`: step, task or host; by default whatever fits"},
			&cli.StringFlag{Name: "svg", Usage: "draw it into this `FILE` as well"},
			&cli.StringFlag{Name: "trace", Usage: "write this `FILE` as well, for ui.perfetto.dev or chrome://tracing"},
		),
		Action: p.runTimeline,
	}
}

func (p *program) runTimeline(c *cli.Context) error {
	help := commandLine(c) + " --help"
	if c.NArg() > 1 {
		return usage(help, "want one RUN")
	}
	by, err := foldingOf(c.String("by"))
	if err != nil {
		return usage(help, "%w", err)
	}
	v, err := p.lookBack(c)
	if err != nil {
		return err
	}
	defer v.close()
	id, err := v.runNamed(c.Args().First())
	if err != nil {
		return err
	}
	run, err := v.run(c.Context, id)
	if err != nil {
		return afterDamage(err)
	}
	t := run.Timeline()
	for flag, draw := range map[string]func(io.Writer, *history.Timeline) error{"svg": timelineSVG, "trace": timelineTrace} {
		if path := c.String(flag); path != "" {
			if err := writeWhole(c.Context, path, func(w io.Writer) error { return draw(w, t) }); err != nil {
				return err
			}
			p.con.note("wrote %s", path)
		}
	}
	return p.emit(t, func() error { return p.printTimeline(t, by) })
}

// writeWhole writes a file that is there as a whole, or not at all.
func writeWhole(ctx context.Context, path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	out := bufio.NewWriter(f)
	err = write(out)
	for _, end := range []func() error{out.Flush, func() error { return f.Chmod(0o644) }, f.Sync, ctx.Err} {
		if err == nil {
			err = end()
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// pathListedMax and hostsListedMax bound the tables; -o json has all of it.
const (
	pathListedMax  = 24
	hostsListedMax = 24
)

// printTimeline draws the run for a terminal, and says where its time went.
func (p *program) printTimeline(t *history.Timeline, by folding) error {
	check := ""
	if t.Check {
		check = "check of "
	}
	err := p.prose("", "%srun %d %s after %s: %s on %s, by %s, plan %.12s", check, t.Run, t.Status, took(t.Elapsed),
		count(len(t.Steps), "step"), count(hostsOf(t), "host"), printable(t.By), t.PlanID)
	if err != nil {
		return err
	}
	for _, l := range t.Leaders {
		fmt.Fprintf(p.con.out, "at %s orchestrator %d began to lead (#%d)\n", took(history.Span(l.At.Sub(t.CreatedAt))), l.Replica, l.Seq)
	}
	fmt.Fprintln(p.con.out)
	if err := p.printGantt(t, by); err != nil {
		return err
	}
	if err := p.printPath(t); err != nil {
		return err
	}
	if err := p.printShares(t); err != nil {
		return err
	}
	for _, n := range t.Clocks {
		p.con.note("%s", clockText(&n))
	}
	return nil
}

func hostsOf(t *history.Timeline) (n int) {
	for i := range t.Hosts {
		if t.Hosts[i].Host != "" {
			n++
		}
	}
	return n
}

// clockText says what was done about an agent's clock.
func clockText(n *history.ClockNote) string {
	text := fmt.Sprintf("the clock of %s does not fit the log's: its times were moved in %s", printable(n.Agent), count(n.Attempts, "attempt"))
	switch {
	case n.Ahead > 0:
		text += fmt.Sprintf(", by up to %s that it was ahead", n.Ahead.Duration().Round(time.Microsecond))
	case n.Ahead < 0:
		text += fmt.Sprintf(", by up to %s that it was behind", (-n.Ahead).Duration().Round(time.Microsecond))
	}
	if n.Jumped > 0 {
		text += fmt.Sprintf("; it jumped within %d of them", n.Jumped)
	}
	return text
}

// printPath lists the critical path.
func (p *program) printPath(t *history.Timeline) error {
	fmt.Fprintf(p.con.out, "\ncritical path: %s, %s; the end of the run %s\n", count(len(t.Critical), "step"), took(t.Elapsed-t.Tail), took(t.Tail))
	g := &grid{header: []any{"STEP", "FROM", "SPAN", "SLOT", "NETWORK", "EXECUTION", "OTHER"}}
	shown := t.Critical[:min(len(t.Critical), pathListedMax)]
	for i := range shown {
		l := &shown[i]
		g.add(l.Step, "+"+took(history.Span(l.From.Sub(t.CreatedAt))), took(l.Span), took(l.Parts.Slot), took(l.Parts.Network),
			took(l.Parts.Execution), took(l.Parts.Between+l.Parts.Operator+l.Parts.Dependencies))
	}
	return p.printSome(g, len(t.Critical)-len(shown), "step")
}

// printShares lists where the time of all steps went, by host.
func (p *program) printShares(t *history.Timeline) error {
	fmt.Fprintln(p.con.out)
	g := &grid{header: []any{"HOST", "STEPS", "DEPENDENCIES", "SLOT", "NETWORK", "EXECUTION", "BETWEEN", "OPERATOR"}}
	row := func(name string, steps int, parts *history.Parts) {
		g.add(name, steps, took(parts.Dependencies), took(parts.Slot), took(parts.Network), took(parts.Execution), took(parts.Between), took(parts.Operator))
	}
	shown := t.Hosts[:min(len(t.Hosts), hostsListedMax)]
	for i := range shown {
		h := &shown[i]
		name := h.Host
		if name == "" {
			name = "(orchestrator)"
		}
		row(name, h.Steps, &h.Parts)
	}
	row("all", len(t.Steps), &t.Totals)
	return p.printSome(g, len(t.Hosts)-len(shown), "host")
}

// printSome prints a table where it has rows, and says how many more there are.
func (p *program) printSome(g *grid, more int, what string) error {
	if len(g.rows) == 0 {
		return nil
	}
	if err := p.printGrid(g); err != nil {
		return err
	}
	if more > 0 {
		p.con.note("and %d more: -o json has every %s", more, what)
	}
	return nil
}

// took is a span for people.
func took(s history.Span) string {
	if d := s.Duration(); d > 0 && d < time.Millisecond {
		return "<1ms"
	}
	return elapsed(s.Duration())
}
