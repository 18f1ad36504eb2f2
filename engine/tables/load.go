package tables

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"quorate/engine"
	"quorate/engine/replay"
	"quorate/eventlog"
	"quorate/planner"
)

// Options say what of a log is loaded.
type Options struct {
	// From is the first record; 0 is the beginning, or where an earlier load ended. The
	// log has to reach back to it: there has to be a state in front of it.
	From uint64
	// Run loads the records of one run only; 0 is all records.
	Run uint64
	// Plan returns a plan by its id, for what its jobs are. Where it fails, or is nil,
	// the plan's jobs are left out.
	Plan func(ctx context.Context, id string) (*planner.Plan, error)
	// By is who loads, and is noted.
	By string
}

// A Report says what was loaded.
type Report struct {
	Cluster string `json:"cluster_id"`
	// First and Last are the first and the last record that the database stands for.
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	// Run is set where it has the records of one run only.
	Run uint64 `json:"run,omitempty"`
	// Events counts those that this load has added.
	Events uint64 `json:"events"`
	// PlansWithoutJobs are plans whose content was not there, sorted by nothing.
	PlansWithoutJobs []string `json:"plans_without_jobs"`
}

// Load loads what is new of a log into a database, which is made where the file is empty
// or missing. Nobody else may have the file open, and it is of no use where Load returns
// an error: call it for a copy, and rename that. Errors wrap [ErrNotOurs], [ErrVersion],
// [ErrOther] and [ErrRange], or are of the log.
func Load(ctx context.Context, path string, past *replay.Replay, opt Options) (report *Report, err error) {
	// Nothing is kept of a file that was not written to the end, so it needs no journal.
	db, err := open(path, "rwc", "journal_mode(OFF)", "synchronous(OFF)", "locking_mode(EXCLUSIVE)")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	fresh, err := prepare(ctx, db)
	if err != nil {
		return nil, err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() // nothing, once it is committed
	l := &loader{ctx: ctx, tx: tx, opt: opt, past: past, statements: map[string]*sql.Stmt{}, touched: map[uint64]bool{}, plans: map[string]bool{}}
	l.report.PlansWithoutJobs = []string{}
	var s *engine.State
	if fresh {
		s, err = l.begin()
	} else {
		s, err = l.resume()
	}
	if err != nil {
		return nil, err
	}
	if err := past.Fold(ctx, s, past.Last(), l.seen); err != nil {
		return nil, errors.Join(l.err, err)
	}
	if err := l.finish(s); err != nil {
		return nil, err
	}
	return &l.report, tx.Commit()
}

// A loader writes rows.
type loader struct {
	ctx        context.Context
	tx         *sql.Tx
	opt        Options
	past       *replay.Replay
	statements map[string]*sql.Stmt
	// touched are the runs whose rows are not what they should be.
	touched map[uint64]bool
	plans   map[string]bool // that are written
	report  Report
	err     error // the first one; nothing is written behind it
}

// begin finds the state in front of the first record of a database that is empty.
func (l *loader) begin() (*engine.State, error) {
	first := max(l.opt.From, l.past.First(), 1)
	if l.opt.Run != 0 {
		s, err := l.past.StateAt(l.ctx, l.past.Last())
		if err != nil {
			return nil, err
		}
		run := s.Run(l.opt.Run)
		if run == nil {
			return nil, fmt.Errorf("there is no run %d", l.opt.Run)
		}
		first = max(first, run.Index)
	}
	l.report.First, l.report.Run = first, l.opt.Run
	return l.past.StateAt(l.ctx, first-1)
}

// resume finds the state behind the last record of a database, which has to be of this
// log and of what is asked for.
func (l *loader) resume() (*engine.State, error) {
	meta := map[string]string{}
	rows, err := l.tx.QueryContext(l.ctx, "SELECT key, value FROM meta")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var key, value string
		if err := rows.Scan(&key, &value); err != nil {
			return nil, err
		}
		meta[key] = value
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	number := func(key string) uint64 {
		n, _ := strconv.ParseUint(meta[key], 10, 64) // what is no number is no record either
		return n
	}
	first, last, run := number("first"), number("last"), number("run")
	l.report.First, l.report.Run = first, run
	switch {
	case run != l.opt.Run && l.opt.Run != 0 && run == 0:
		return nil, fmt.Errorf("%w: it holds all runs, and not run %d alone", ErrRange, l.opt.Run)
	case run != l.opt.Run && l.opt.Run != 0:
		return nil, fmt.Errorf("%w: it holds run %d, and not run %d", ErrRange, run, l.opt.Run)
	case l.opt.From != 0 && l.opt.From != first:
		return nil, fmt.Errorf("%w: it begins with record %d, and not with record %d", ErrRange, first, l.opt.From)
	case last > l.past.Last():
		return nil, fmt.Errorf("%w: it holds records up to %d of cluster %.12s, and this log ends at %d", ErrOther, last, meta["cluster"], l.past.Last())
	}
	l.opt.Run = run
	s, err := l.past.StateAt(l.ctx, last)
	if err != nil {
		return nil, err
	}
	if s.Head.String() != meta["last_hash"] {
		return nil, fmt.Errorf("%w: of cluster %.12s, and record %d of cluster %.12s is another one", ErrOther, meta["cluster"], last, s.ClusterID)
	}
	return s, nil
}

// seen is told of each record by the fold.
func (l *loader) seen(s *engine.State, rec *eventlog.Record, e eventlog.Event) func(void string) {
	if l.err == nil {
		l.err = l.ctx.Err()
	}
	if l.err != nil {
		return nil
	}
	at := *rec
	return func(void string) {
		about := refsOf(s, &at, e, void)
		if q, ok := e.(*eventlog.AgentQuarantined); ok && void == "" {
			l.disproved(s, q)
		}
		if l.opt.Run != 0 && about.run != l.opt.Run {
			return
		}
		l.event(&at, e, about, void)
		if void != "" {
			return
		}
		if about.run != 0 {
			l.touched[about.run] = true
		}
		switch e := e.(type) {
		case *eventlog.PlanRecorded:
			l.plan(s.Plans[e.PlanID])
		case *eventlog.JobEnded:
			l.job(s, &at, e)
		case *eventlog.RunEnded:
			l.run(s, e.Run)
			delete(l.touched, e.Run)
		}
	}
}

// disproved notes the runs of attempts whose outcome is another one now.
func (l *loader) disproved(s *engine.State, e *eventlog.AgentQuarantined) {
	for _, id := range e.Disproved {
		if a := s.Attempts[id]; a != nil && (l.opt.Run == 0 || l.opt.Run == a.Run) {
			l.touched[a.Run] = true
		}
	}
}

// finish writes what is as it is at the end.
func (l *loader) finish(s *engine.State) error {
	for _, r := range s.Runs {
		open := r.Outcome == 0 && (l.opt.Run == 0 || l.opt.Run == r.ID) // what becomes of an agent changes it as well
		if open || l.touched[r.ID] {
			l.run(s, r.ID)
		}
	}
	l.agents(s)
	l.report.Cluster, l.report.Last = s.ClusterID, s.Index
	for _, row := range [][2]string{
		{"cluster", s.ClusterID}, {"generation", strconv.FormatUint(s.Generation, 10)}, {"first", strconv.FormatUint(l.report.First, 10)},
		{"last", strconv.FormatUint(s.Index, 10)}, {"last_hash", s.Head.String()}, {"run", strconv.FormatUint(l.opt.Run, 10)}, {"loaded_by", l.opt.By},
	} {
		l.write("meta", row[0], row[1])
	}
	return l.err
}

// write puts a row into a table, in the place of one with the same key.
func (l *loader) write(table string, values ...any) {
	if l.err != nil {
		return
	}
	stmt := l.statements[table]
	if stmt == nil {
		marks := "?"
		for range len(values) - 1 {
			marks += ",?"
		}
		if stmt, l.err = l.tx.PrepareContext(l.ctx, "INSERT OR REPLACE INTO "+table+" VALUES ("+marks+")"); l.err != nil {
			return
		}
		l.statements[table] = stmt
	}
	if _, err := stmt.ExecContext(l.ctx, values...); err != nil {
		l.err = fmt.Errorf("table %s: %w", table, err)
	}
}

func (l *loader) event(rec *eventlog.Record, e eventlog.Event, about refs, void string) {
	data, err := json.Marshal(e)
	if err != nil && l.err == nil {
		l.err = fmt.Errorf("record %d: %w", rec.Index, err)
	}
	l.report.Events++
	l.write("events", int64(rec.Index), stamp(rec.Time), rec.Kind.String(), id(about.run), id(about.attempt), id(about.agent), text(void), rec.Hash.String(), string(data))
}

// stamp is a time, unix nanoseconds, or NULL for none.
func stamp(nanos int64) any {
	if nanos == 0 {
		return nil
	}
	return time.Unix(0, nanos).UTC().Format(timeLayout)
}

// id is a number, or NULL for 0. SQLite's numbers have a sign: the numbers that only a
// clock far in the future makes so large become negative, and stay different.
func id(n uint64) any {
	if n == 0 {
		return nil
	}
	return int64(n)
}

// text is NULL where it is empty.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}
