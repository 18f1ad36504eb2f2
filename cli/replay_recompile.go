package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	cli "github.com/urfave/cli/v2"

	"quorate/engine"
	"quorate/engine/api"
	"quorate/engine/replay"
	"quorate/planner"
)

// A recompilation is what replay --recompile says of a plan.
type recompilation struct {
	PlanID string   `json:"plan_id"`
	Runs   []uint64 `json:"runs"`
	// PlannerVersion is of the planner that made the plan, ThisPlanner of this program's.
	PlannerVersion string `json:"planner_version"`
	ThisPlanner    string `json:"this_planner_version"`
	// RecompiledID is the id of what comes out now; empty where there is no plan.
	RecompiledID string `json:"recompiled_id"`
	Same         bool   `json:"same"`
	// Options are those that narrowed the plan, found by trying.
	Options string `json:"options,omitempty"`
	// Problem says why the plan cannot be compiled: what is not there, or is not what
	// its name says.
	Problem    string                   `json:"problem,omitempty"`
	Errors     []planner.DiagnosticView `json:"errors,omitempty"`
	Difference *planner.Difference      `json:"difference,omitempty"`
}

// recompileFlags are those of replay --recompile and --what-if.
func recompileFlags() []cli.Flag {
	return slices.Concat([]cli.Flag{
		&cli.BoolFlag{Name: "recompile", Usage: "compile the stored inputs again, of all plans or those of --run or --plan, and compare"},
		&cli.StringFlag{Name: "plan", Usage: "with --recompile or --what-if, this plan: its `ID` or how that begins"},
		&cli.BoolFlag{Name: "what-if", Usage: "show what would be done differently to what was run, with the inputs of -s, -i, -r or another --planner"},
		&cli.StringFlag{Name: "planner", Usage: "with --what-if, compile with this `BINARY` of another version"},
	}, sourceFlags(), selectFlags())
}

// withPast calls f with the log that the flags name, and the state at its end.
func (p *program) withPast(c *cli.Context, f func(source pastLog, s *engine.State) error) error {
	source, err := p.openPast(c)
	if err != nil {
		return err
	}
	defer source.Close()
	past, err := replay.New(c.Context, source)
	if err != nil {
		return afterDamage(err)
	}
	s, err := past.StateAt(c.Context, past.Last())
	if err != nil {
		return afterDamage(err)
	}
	return f(source, s)
}

// reader reads what a source holds beside its log, into memory.
func (p *program) reader(c *cli.Context, source pastLog) func(ctx context.Context, digest string) ([]byte, error) {
	open := p.blobReader(c, source)
	return func(ctx context.Context, digest string) ([]byte, error) { return readBlob(ctx, open, digest) }
}

// plansNamed are the plans that --run or --plan name, or all of them, in the order in
// which they were recorded.
func plansNamed(s *engine.State, run uint64, plan string) ([]*engine.Graph, error) {
	if run = runIn(s, run); run != 0 {
		r := s.Run(run)
		if r == nil {
			return nil, fail(exitError, fmt.Errorf("there is no run %d", run), `see "quorate run ls", or "quorate replay"`)
		}
		return []*engine.Graph{r.Graph}, nil
	}
	var found []*engine.Graph
	for id, g := range s.Plans {
		if strings.HasPrefix(id, plan) {
			found = append(found, g)
		}
	}
	if plan != "" && len(found) != 1 {
		return nil, fail(exitError, fmt.Errorf("%d plans have an id that begins with %q", len(found), plan), "name more of it, or name a run with --run")
	}
	slices.SortFunc(found, func(a, b *engine.Graph) int { return int(a.Index) - int(b.Index) })
	return found, nil
}

// replayRecompile compiles the inputs of plans on record again.
func (p *program) replayRecompile(c *cli.Context) error {
	run, err := readRun(c)
	if err != nil {
		return err
	}
	return p.withPast(c, func(source pastLog, s *engine.State) error {
		graphs, err := plansNamed(s, run, c.String("plan"))
		if err != nil {
			return err
		}
		all := []recompilation{}
		different := false
		for _, g := range graphs {
			r, err := recompile(c.Context, p.reader(c, source), g)
			if err != nil {
				return err
			}
			for _, run := range s.Runs {
				if run.Graph == g {
					r.Runs = append(r.Runs, run.ID)
				}
			}
			different = different || !r.Same
			all = append(all, *r)
		}
		if err := p.printRecompiled(all); err != nil {
			return err
		}
		if different {
			return ended(exitChanges)
		}
		return nil
	})
}

// recompile compiles one plan again. The error is the context's: what is wrong with the
// plan is told.
func recompile(ctx context.Context, read func(ctx context.Context, digest string) ([]byte, error), g *engine.Graph) (*recompilation, error) {
	r := &recompilation{PlanID: g.PlanID, Runs: []uint64{}, PlannerVersion: g.PlannerVersion, ThisPlanner: planner.Version}
	stored, err := openStored(ctx, read, g.PlanID)
	if err != nil {
		r.Problem = err.Error()
		return r, ctx.Err()
	}
	made, opt, found, err := stored.again()
	if err != nil {
		r.Problem = err.Error()
		return r, ctx.Err()
	}
	r.Same = found
	if made.plan == nil {
		r.Errors = planner.View(nil, made.diagnostics, nil).Errors
		r.Problem = fmt.Sprintf("it compiled, and does not now: errors: %d", len(r.Errors))
		return r, ctx.Err()
	}
	r.RecompiledID, r.Options = made.plan.ID(), optionsText(opt)
	if !found {
		r.Difference = planner.Compare(stored.plan, made.plan)
	}
	return r, ctx.Err()
}

func (p *program) printRecompiled(all []recompilation) error {
	g := &grid{header: []any{"PLAN", "RUNS", "PLANNER", "RECOMPILED", "RESULT"}}
	for i := range all {
		r := &all[i]
		var runs []string
		for _, id := range r.Runs {
			runs = append(runs, strconv.FormatUint(id, 10))
		}
		result := "the same"
		switch {
		case r.Problem != "":
			result = r.Problem
		case !r.Same:
			result = "different"
		case r.Options != "":
			result += ", with " + r.Options
		}
		version := r.PlannerVersion
		if version != r.ThisPlanner {
			version += " (this is " + r.ThisPlanner + ")"
		}
		g.add(fmt.Sprintf("%.12s", r.PlanID), some(runs, hostsShownMax), version, orDash(fmt.Sprintf("%.12s", r.RecompiledID)), result)
	}
	err := emitAll(p, struct {
		Schema string          `json:"schema"`
		Plans  []recompilation `json:"plans"`
	}{api.Schema, all}, all, g)
	if err != nil || p.format() != formatTable {
		return err
	}
	for i := range all {
		for _, e := range all[i].Errors {
			fmt.Fprintf(p.con.out, "\n%s:%d:%d: %s [%s]\n", printable(e.File), e.Line, e.Column, printable(e.Message), e.Code)
		}
		if d := all[i].Difference; d != nil {
			fmt.Fprintln(p.con.out)
			p.printDifference(d)
		}
	}
	return nil
}
