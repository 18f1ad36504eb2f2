package tables_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quorate/engine"
	"quorate/engine/replay"
	"quorate/engine/tables"
	"quorate/eventlog"
	"quorate/internal/bench/biglog"
	"quorate/internal/job"
	"quorate/planner"
)

// big makes a log and returns its directory and what it folds to.
func big(t *testing.T, cluster string, records uint64) (string, *engine.State) {
	t.Helper()
	dir := t.TempDir()
	s, err := biglog.Write(dir, cluster, biglog.Shape{Hosts: 4, Tasks: 3, Jobs: 2}, records)
	if err != nil {
		t.Fatal(err)
	}
	return dir, s
}

// upTo is a log that ends earlier.
type upTo struct {
	replay.Log
	last uint64
}

func (u upTo) Bounds(ctx context.Context) (uint64, uint64, error) {
	first, last, err := u.Log.Bounds(ctx)
	return first, min(last, u.last), err
}

func load(t *testing.T, dir, file string, last uint64, opt tables.Options) (*tables.Report, error) {
	t.Helper()
	files, err := replay.OpenFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	past, err := replay.New(t.Context(), upTo{files, last})
	if err != nil {
		t.Fatal(err)
	}
	return tables.Load(t.Context(), file, past, opt)
}

// rows returns what a query finds, a line for each row.
func rows(t *testing.T, file, query string) string {
	t.Helper()
	var out []string
	err := tables.Query(t.Context(), file, query, func([]string) error { return nil }, func(values []any) error {
		var cells []string
		for _, v := range values {
			cells = append(cells, tables.Text(v))
		}
		out = append(out, strings.Join(cells, " "))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, "\n")
}

const allRows = 1 << 62

// dump is everything in the tables but who loaded them.
func dump(t *testing.T, file string) string {
	t.Helper()
	var out []string
	for _, table := range strings.Fields("meta events plans plan_inputs plan_jobs runs tasks steps attempts jobs agents facts") {
		lines := strings.Split(rows(t, file, "SELECT * FROM "+table), "\n")
		slices.Sort(lines)
		out = append(append(out, table), lines...)
	}
	return strings.Join(out, "\n")
}

// TestLoadIsTheFold: the tables hold what the state does.
func TestLoadIsTheFold(t *testing.T) {
	dir, s := big(t, "c1", 2000)
	file := filepath.Join(t.TempDir(), "log.db")
	plan := func(_ context.Context, id string) (*planner.Plan, error) {
		return &planner.Plan{Tasks: []planner.Task{{ID: s.Plans[id].Tasks[0].ID, Jobs: []planner.Job{
			{Spec: job.Job{Verb: "RUN", Text: "systemctl reload nginx", Fingerprint: "f0"}}, {Spec: job.Job{Verb: "ECHO", Fingerprint: "f1"}},
		}}}}, nil
	}
	report, err := load(t, dir, file, allRows, tables.Options{Plan: plan})
	if err != nil {
		t.Fatal(err)
	}
	if report.Last != s.Index || report.First != 1 || report.Events != s.Index || report.Cluster != "c1" || len(report.PlansWithoutJobs) > 0 {
		t.Errorf("report %+v, the log ends at %d", report, s.Index)
	}
	jobs := 0
	for _, a := range s.Attempts {
		jobs += a.Jobs.Len()
	}
	steps, succeeded, tasks := 0, 0, 0
	for _, r := range s.Runs {
		steps, succeeded, tasks = steps+r.Counts.Steps, succeeded+r.Counts.Succeeded, tasks+len(r.Tasks)
	}
	for query, want := range map[string]string{
		"SELECT count(*), min(seq), max(seq) FROM events":                                     fmt.Sprintf("%d 1 %d", s.Index, s.Index),
		"SELECT count(*), max(id) FROM runs":                                                  fmt.Sprintf("%d %d", len(s.Runs), len(s.Runs)),
		"SELECT count(*) FROM tasks":                                                          fmt.Sprint(tasks),
		"SELECT count(*), count(*) FILTER (WHERE status = 'succeeded') FROM steps":            fmt.Sprintf("%d %d", steps, succeeded),
		"SELECT count(*) FROM attempts":                                                       fmt.Sprint(len(s.Attempts)),
		"SELECT count(*) FROM jobs":                                                           fmt.Sprint(jobs),
		"SELECT count(*) FROM agents":                                                         fmt.Sprint(len(s.Agents)),
		"SELECT count(*) FROM attempts a LEFT JOIN runs r ON r.id = a.run WHERE r.id IS NULL": "0",
		"SELECT count(DISTINCT host) FROM job_history WHERE text = 'systemctl reload nginx' AND started_at < '2100-05-01'": "4",
		"SELECT count(*) FROM job_history WHERE text = 'systemctl reload nginx' AND started_at < '1970-01-01'":             "0",
		"SELECT count(*) FROM events WHERE json_extract(data, '$.plan_id') IS NOT NULL AND kind = 'plan_recorded'":         "1",
		"SELECT value FROM meta WHERE key = 'last_hash'":                                                                   s.Head.String(),
		"SELECT DISTINCT length(time), substr(time, 11, 1), substr(time, -1) FROM events":                                  "30 T Z",
	} {
		if got := rows(t, file, query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

// TestLoadGoesOn: in any number of loads comes out what comes out of one.
func TestLoadGoesOn(t *testing.T) {
	dir, s := big(t, "c1", 1200)
	folder := t.TempDir()
	whole, parts := filepath.Join(folder, "whole.db"), filepath.Join(folder, "parts.db")
	if _, err := load(t, dir, whole, allRows, tables.Options{}); err != nil {
		t.Fatal(err)
	}
	events := uint64(0)
	for _, last := range []uint64{1, 2, 17, 400, 401, 777, allRows, allRows} {
		report, err := load(t, dir, parts, last, tables.Options{})
		if err != nil {
			t.Fatalf("up to %d: %v", last, err)
		}
		if events += report.Events; report.Last != min(last, s.Index) {
			t.Errorf("up to %d it loaded up to %d", last, report.Last)
		}
	}
	if events != s.Index {
		t.Errorf("%d events were added in all, of %d", events, s.Index)
	}
	if a, b := dump(t, whole), dump(t, parts); a != b {
		t.Errorf("what was loaded in parts is different:\n%.2000s\n\n%.2000s", a, b)
	}
}

func TestLoadPart(t *testing.T) {
	dir, s := big(t, "c1", 1200)
	if len(s.Runs) < 3 {
		t.Fatalf("only %d runs", len(s.Runs))
	}
	file := filepath.Join(t.TempDir(), "run.db")
	report, err := load(t, dir, file, allRows, tables.Options{Run: 2})
	if err != nil || report.Run != 2 || report.First != s.Run(2).Index {
		t.Fatalf("%+v, %v", report, err)
	}
	if got := rows(t, file, "SELECT group_concat(DISTINCT run) FROM (SELECT run FROM events UNION SELECT id FROM runs UNION SELECT run FROM steps UNION SELECT run FROM jobs)"); got != "2" {
		t.Errorf("it holds runs %s", got)
	}
	if got := rows(t, file, "SELECT count(*) FROM plans"); got != "1" {
		t.Errorf("%s plans", got)
	}
	if report, err := load(t, dir, file, allRows, tables.Options{}); err != nil || report.Run != 2 || report.Events != 0 {
		t.Errorf("going on: %+v, %v", report, err)
	}
	since := filepath.Join(t.TempDir(), "since.db")
	if _, err := load(t, dir, since, allRows, tables.Options{From: 500}); err != nil {
		t.Fatal(err)
	}
	if got := rows(t, since, "SELECT min(seq), max(seq) FROM events"); got != fmt.Sprintf("500 %d", s.Index) {
		t.Error(got)
	}
}

// TestLoadRefuses what would make a database of two logs, or of somebody else's file.
func TestLoadRefuses(t *testing.T) {
	dir, s := big(t, "c1", 300)
	other, _ := big(t, "c2", 600)
	folder := t.TempDir()
	copyOf := func(name string) string {
		file := filepath.Join(folder, name)
		if _, err := load(t, dir, file, allRows, tables.Options{}); err != nil {
			t.Fatal(err)
		}
		return file
	}
	text := filepath.Join(folder, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, dir, file string
		last            uint64
		opt             tables.Options
		want            error
	}{
		{"another cluster", other, copyOf("a"), allRows, tables.Options{}, tables.ErrOther},
		{"a log that lost records", dir, copyOf("b"), s.Index - 1, tables.Options{}, tables.ErrOther},
		{"another run", dir, copyOf("c"), allRows, tables.Options{Run: 1}, tables.ErrRange},
		{"another beginning", dir, copyOf("d"), allRows, tables.Options{From: 7}, tables.ErrRange},
		{"text", dir, text, allRows, tables.Options{}, tables.ErrNotOurs},
		{"the log itself", dir, filepath.Join(other, eventlog.StoreFile), allRows, tables.Options{}, tables.ErrNotOurs},
	}
	for _, tt := range tests {
		if _, err := load(t, tt.dir, tt.file, tt.last, tt.opt); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := load(t, dir, filepath.Join(folder, "e"), allRows, tables.Options{Run: 99}); err == nil || !strings.Contains(err.Error(), "no run 99") {
		t.Errorf("a run that is none: %v", err)
	}
}

// TestQueryOnlyReads: nothing is written, wherever the SQL says so.
func TestQueryOnlyReads(t *testing.T) {
	dir, _ := big(t, "c1", 100)
	folder := t.TempDir()
	file, aside := filepath.Join(folder, "log.db"), filepath.Join(folder, "aside.db")
	if _, err := load(t, dir, file, allRows, tables.Options{}); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	none := func([]string) error { return nil }
	for _, text := range []string{
		"DELETE FROM events", "DROP TABLE events", "SELECT 1; DELETE FROM events", "PRAGMA user_version = 7", "PRAGMA query_only = 0; DELETE FROM events",
		"ATTACH '" + aside + "' AS aside; CREATE TABLE aside.t (a)", "VACUUM INTO '" + aside + "'", "SELECT * FROM nothing",
	} {
		if err := tables.Query(t.Context(), file, text, none, func([]any) error { return nil }); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
		t.Errorf("the file has changed (%v)", err)
	}
	if entries, _ := os.ReadDir(folder); len(entries) != 1 {
		t.Errorf("files: %v", entries)
	}
	if err := tables.Query(t.Context(), filepath.Join(folder, "none.db"), "SELECT 1", none, func([]any) error { return nil }); err == nil {
		t.Error("a file that is not there was read")
	}
	row := tables.Row{Columns: []string{"b", "a"}, Values: []any{int64(1), nil}}
	if data, err := row.MarshalJSON(); err != nil || string(data) != `{"b":1,"a":null}` {
		t.Errorf("%s, %v", data, err)
	}
}
