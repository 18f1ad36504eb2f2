package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
	"quorate/engine/replay"
	"quorate/engine/tables"
	"quorate/planner"
)

func (p *program) logSQLCommand() *cli.Command {
	return &cli.Command{
		Name: "sql", Usage: "load the log into a SQLite database, and ask it", ArgsUsage: "FILE.db",
		Description: "Tables events, plans, plan_inputs, plan_jobs, runs, tasks, steps, attempts, jobs, agents and\n" +
			"facts, and a view job_history: docs/sql.md has their columns, and questions to begin with.\n" +
			"Of a running cluster, the files of a stopped orchestrator (--data-dir), or a bundle\n" +
			"(--bundle). A second call adds what is new. With --query and nothing to load from, the\n" +
			"file is read as it is.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "data-dir", Usage: "`DIR` of a stopped server, a copy of one, or of apply --embedded"},
			&cli.StringFlag{Name: "bundle", Usage: "`FILE` that audit export wrote"},
			&cli.StringFlag{Name: "since", Usage: "from behind this `SEQ` on, or from this time on (RFC 3339, or a duration ago such as 1h)"},
			&cli.Uint64Flag{Name: "run", Usage: "the records of this `RUN` only"},
			&cli.StringFlag{Name: "query", Usage: "print what this `SQL` finds"},
		},
		Action: p.logSQL,
	}
}

func (p *program) logSQL(c *cli.Context) error {
	help := commandLine(c) + " --help"
	switch {
	case c.NArg() != 1 || c.Args().First() == "":
		return usage(help, "want the FILE of the database")
	case c.String("bundle") != "" && c.String("data-dir") != "":
		return usage(help, "--bundle and --data-dir are one at a time")
	}
	file := c.Args().First()
	loads := !c.IsSet("query") || p.server != "" || c.String("bundle") != "" || c.String("data-dir") != "" || c.IsSet("since") || c.IsSet("run")
	if !loads {
		if missing(file) {
			return fail(exitError, fmt.Errorf("%s is not there", file), fmt.Sprintf("load it first: quorate log sql %s", file))
		}
		return p.querySQL(c.Context, file, c.String("query"))
	}
	report, err := p.loadSQL(c, file)
	if err != nil {
		return afterDamage(sqlFailure(file, err))
	}
	if c.IsSet("query") {
		return p.querySQL(c.Context, file, c.String("query"))
	}
	return p.emit(struct {
		Schema string `json:"schema"`
		File   string `json:"file"`
		*tables.Report
	}{api.Schema, file, report}, func() error {
		what := "records"
		if report.Run != 0 {
			what = fmt.Sprintf("run %d, of records", report.Run)
		}
		_, err := fmt.Fprintf(p.con.out, "%s: %s %d to %d of cluster %.12s, %d events added\n", file, what, report.First, report.Last, report.Cluster, report.Events)
		if n := len(report.PlansWithoutJobs); n > 0 {
			p.con.warn("the content of %d plans is not there: plan_jobs lacks them", n)
		}
		return err
	})
}

// sqlFailure says what can be done about a database that does not fit.
func sqlFailure(file string, err error) error {
	switch {
	case errors.Is(err, tables.ErrNotOurs), errors.Is(err, tables.ErrVersion), errors.Is(err, tables.ErrOther), errors.Is(err, tables.ErrRange):
		return fail(exitRefused, fmt.Errorf("%s: %w", file, err), "name another file, or remove this one to load it anew")
	case errors.Is(err, replay.ErrOutside):
		return hinted(err, "the bundle holds a part of the log, and not that one: leave --since out, or export it with --all")
	}
	return err
}

// loadSQL loads into a copy of the file, which takes its place once it is whole.
func (p *program) loadSQL(c *cli.Context, file string) (report *tables.Report, err error) {
	from, err := readBound(c, "--since", c.String("since"))
	if err != nil {
		return nil, err
	}
	source, err := p.openPast(c)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	past, err := replay.New(c.Context, source)
	if err != nil {
		return nil, err
	}
	opt := tables.Options{Run: c.Uint64("run"), By: "quorate " + p.version, Plan: p.planReader(c, source)}
	if c.IsSet("since") {
		if from.seq == theEnd().seq {
			// A time is of the records from it on.
			if from.seq, err = past.IndexAt(c.Context, from.time-1); err != nil {
				return nil, err
			}
		}
		opt.From = from.seq + 1
	}
	copied, err := beginCopy(file)
	if err != nil {
		return nil, err
	}
	defer copied.Close() // and with it the lock
	done := false
	defer func() {
		if !done {
			_ = os.Remove(copied.Name())
		}
	}()
	if report, err = tables.Load(c.Context, copied.Name(), past, opt); err != nil {
		return nil, err
	}
	if err := copied.Sync(); err != nil {
		return nil, err
	}
	if err := os.Rename(copied.Name(), file); err != nil {
		return nil, err
	}
	done = true
	return report, syncDir(filepath.Dir(file))
}

// beginCopy makes the file that is worked on: a copy of the one that is there, if any.
// Its lock keeps two from working on it at once; what a crash has left is overwritten.
func beginCopy(file string) (*os.File, error) {
	f, err := os.OpenFile(partial(file), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fail(exitRefused, fmt.Errorf("%s is being loaded by another process", file), "wait until that is done"), f.Close())
	}
	err = f.Truncate(0)
	before, openErr := os.Open(file)
	switch {
	case errors.Is(openErr, fs.ErrNotExist):
	case openErr != nil:
		err = openErr
	case err == nil:
		_, err = io.Copy(f, before)
		_ = before.Close() // it was only read
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(f.Name()), f.Close())
	}
	return f, nil
}

// planReader returns what reads the plans of a source.
func (p *program) planReader(c *cli.Context, source pastLog) func(ctx context.Context, id string) (*planner.Plan, error) {
	open := p.blobReader(c, source)
	return func(ctx context.Context, id string) (*planner.Plan, error) {
		data, err := readBlob(ctx, open, id)
		if err != nil {
			return nil, err
		}
		return planner.Decode(data)
	}
}

// querySQL prints the rows that a query finds.
func (p *program) querySQL(ctx context.Context, file, text string) error {
	g, rows := &grid{}, []tables.Row{}
	var names []string
	err := tables.Query(ctx, file, text, func(columns []string) error {
		names = columns
		for _, name := range columns {
			g.header = append(g.header, name)
		}
		return nil
	}, func(values []any) error {
		switch p.format() {
		case formatNDJSON:
			return p.printJSON(tables.Row{Columns: names, Values: values}, "")
		case formatTable:
			cells := make([]any, len(values))
			for i, v := range values {
				cells[i] = tables.Text(v)
			}
			g.add(cells...)
		default:
			rows = append(rows, tables.Row{Columns: names, Values: append([]any{}, values...)})
		}
		return nil
	})
	if errors.Is(err, tables.ErrNotOurs) {
		return sqlFailure(file, err)
	}
	if err != nil {
		return hinted(err, "docs/sql.md has the tables and their columns; so has: quorate log sql %s --query %s", file, strconv.Quote("SELECT sql FROM sqlite_schema"))
	}
	if p.format() == formatNDJSON {
		return nil
	}
	return p.emit(struct {
		Schema  string       `json:"schema"`
		Columns []string     `json:"columns"`
		Rows    []tables.Row `json:"rows"`
	}{api.Schema, names, rows}, func() error { return p.printGrid(g) })
}
