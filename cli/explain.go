package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/history"
	"quorate/engine/replay"
	"quorate/eventlog"
	"quorate/planner"
)

func (p *program) explainCommand() *cli.Command {
	return &cli.Command{
		Name: "explain", Category: sectionRuns, Usage: "say why a task, step, host or variable is as it is",
		ArgsUsage: "TASK|STEP|HOST|VARIABLE",
		Description: "Answers in the first line, and then shows what that rests on: numbers of events (\"quorate log\n" +
			"ls\", \"quorate replay --at N\"), files and lines of the plan's inputs, and operators' words. A\n" +
			"STEP is TASK@HOST, or TASK for a task without hosts. Of a VARIABLE it says where each value was\n" +
			"set, which one that replaced, and who used it; VARIABLE@HOST is of one host. Like replay it works\n" +
			"on a running cluster, on a stopped server's files and on a bundle.\n\n" +
			"  quorate explain web-start@web-1\n" +
			"  quorate explain listen_port@web-1 --run 7",
		Flags: append(pastFlags(),
			&cli.StringFlag{Name: "run", Usage: "in this `RUN`; by default the newest that has such a thing"},
			&cli.StringFlag{Name: "as", Usage: "take the name for that of a `KIND`: task, step, host or variable"},
		),
		Action: p.explain,
	}
}

// kindsExplained are what a name may be of, in the order in which that is tried.
var kindsExplained = []string{"step", "task", "host", "variable"}

func (p *program) explain(c *cli.Context) error {
	help := commandLine(c) + " --help"
	kinds := kindsExplained
	if c.NArg() != 1 {
		return usage(help, "want one TASK, STEP, HOST or VARIABLE")
	}
	if as := c.String("as"); as != "" {
		if !slices.Contains(kinds, as) {
			return unknown("kind", as, kinds, help)
		}
		kinds = []string{as}
	}
	v, err := p.lookBack(c)
	if err != nil {
		return err
	}
	defer v.close()
	e, err := v.explain(c.Context, p.blobReader(c, v.log), c.Args().First(), c.String("run"), kinds)
	if err != nil {
		return afterDamage(err)
	}
	return p.emit(e, func() error { return p.printExplanation(e) })
}

// runsTried bounds how many runs are looked into for a name, from the newest on.
const runsTried = 100

// explain finds what a name is of, and explains that.
func (v *pastView) explain(ctx context.Context, open blobOpener, name, run string, kinds []string) (*history.Explanation, error) {
	newest, err := v.runNamed(run)
	if err != nil {
		return nil, err
	}
	oldest := newest
	if run == "" && v.about() == 0 {
		oldest = max(1, newest-min(newest-1, runsTried-1))
	}
	src := v.sources(ctx, open)
	for id := newest; id >= oldest; id-- {
		if !v.mayHave(id, name, kinds, id == newest) {
			continue
		}
		told, err := v.run(ctx, id)
		if errors.Is(err, replay.ErrOutside) && id != newest {
			break // a bundle has what it has
		}
		if err != nil {
			return nil, err
		}
		x := &history.Explainer{Run: told, State: v.state, Sources: src}
		if plan, err := src.PlanOf(told.Graph.PlanID); err == nil && told.PlanFits(plan) {
			x.Plan = plan
		}
		if e := explainAs(x, name, kinds); e != nil {
			return e, ctx.Err()
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	what := kinds[0]
	if n := len(kinds) - 1; n > 0 {
		what = strings.Join(kinds[:n], ", ") + " or " + kinds[n]
	}
	return nil, fail(exitError, fmt.Errorf("run %d has no %s named %q", newest, what, name), fmt.Sprintf("\"quorate run show %d\" lists its tasks; a step is TASK@HOST", newest))
}

// mayHave reports whether it is worth while to look into a run: variables are looked for
// in the newest only.
func (v *pastView) mayHave(id uint64, name string, kinds []string, newest bool) bool {
	if newest {
		return true
	}
	task, _, _ := strings.Cut(name, "@")
	g := v.state.Run(id).Graph
	return slices.ContainsFunc(kinds, func(k string) bool {
		return k == "host" && slices.Contains(g.Hosts, name) ||
			(k == "task" || k == "step") && slices.ContainsFunc(g.Tasks, func(t eventlog.PlanTask) bool { return t.ID == task })
	})
}

// explainAs explains the first of the kinds that the run has under the name, or returns
// nil.
func explainAs(x *history.Explainer, name string, kinds []string) *history.Explanation {
	for _, kind := range kinds {
		switch {
		case kind == "variable":
			variable, host, _ := strings.Cut(name, "@")
			if e := x.Variable(variable, host); e != nil {
				return e
			}
		case !x.Has(kind, name):
		case kind == "step":
			return x.Step(name)
		case kind == "task":
			return x.Task(name)
		case kind == "host":
			return x.Host(name)
		}
	}
	return nil
}

// blobOpener opens a blob by its digest.
type blobOpener = func(ctx context.Context, digest string) (io.ReadCloser, error)

// sources are where explanations look beside the run's records. What was read is kept.
func (v *pastView) sources(ctx context.Context, open blobOpener) history.Sources {
	plans, files := map[string]*planner.Plan{}, map[string][]byte{}
	return history.Sources{
		PlanOf: func(id string) (*planner.Plan, error) {
			if plan, known := plans[id]; known {
				return plan, nil
			}
			data, err := readBlob(ctx, open, id)
			if err != nil {
				return nil, err
			}
			plan, err := planner.Decode(data)
			if err == nil {
				plans[id] = plan
			}
			return plan, err
		},
		File: func(digest string) ([]byte, error) {
			if data, known := files[digest]; known {
				return data, nil
			}
			data, err := readBlob(ctx, open, digest)
			if err == nil {
				files[digest] = data
			}
			return data, err
		},
		Record: func(index uint64) (eventlog.Record, error) {
			if index < v.past.First() || index > v.past.Last() {
				return eventlog.Record{}, replay.ErrOutside
			}
			records, err := v.log.Records(ctx, index, 1)
			if err != nil || len(records) == 0 {
				return eventlog.Record{}, errors.Join(err, replay.ErrOutside)
			}
			return records[0], nil
		},
	}
}

// explainedAt is how times of a day are written that is named above them.
const explainedAt = "15:04:05.000Z"

// printExplanation prints the answer, what to do, and the evidence.
func (p *program) printExplanation(e *history.Explanation) error {
	width := columnsDefault
	if p.con.outTerminal {
		width = p.con.columns()
	}
	fmt.Fprintln(p.con.out, p.con.paint(p.con.out, bold, folded(printable(e.Answer), width, "")))
	if e.Hint != "" {
		fmt.Fprintf(p.con.out, "next: %s\n", printable(e.Hint))
	}
	fmt.Fprintln(p.con.out)
	number := 0
	for i := range e.Evidence {
		number = max(number, len(fmt.Sprint(e.Evidence[i].Seq))+1)
	}
	day := ""
	for i := range e.Evidence {
		ev := &e.Evidence[i]
		head := fmt.Sprintf("%*s", number, "")
		if ev.Seq != 0 {
			head = fmt.Sprintf("%*s", number, fmt.Sprintf("#%d", ev.Seq))
		}
		at := strings.Repeat(" ", len(explainedAt))
		if ev.Time != nil {
			if of := ev.Time.UTC().Format(time.DateOnly); of != day {
				day = of
				fmt.Fprintf(p.con.out, "%*s  %s\n", number, "", day)
			}
			at = ev.Time.UTC().Format(explainedAt)
		}
		text := ev.Text
		if ev.By != "" {
			text += ", by " + ev.By
		}
		if ev.Source != "" {
			text += " [" + ev.Source + "]"
		}
		indent := strings.Repeat(" ", number+len(at)+4)
		if _, err := fmt.Fprintf(p.con.out, "%s  %s  %s\n", head, at, folded(printable(text), width-len(indent), indent)); err != nil {
			return err
		}
	}
	for _, u := range e.Unknown {
		p.con.note("%s", u)
	}
	return nil
}

// folded breaks a text into lines of so many columns, all but the first behind an indent.
func folded(text string, columns int, indent string) string {
	columns = max(columns, 20)
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len([]rune(line))+1+len([]rune(word)) > columns {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return strings.Join(append(lines, line), "\n"+indent)
}
