package cli

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"quorate/engine/api"
	"quorate/planner"
)

// TestReport pins the form of errors and their exit codes: scripts rely on both.
func TestReport(t *testing.T) {
	tests := []struct {
		name string
		err  error
		code int
		want string
	}{
		{"none", nil, 0, ""},
		{"plain", fmt.Errorf("a\nb"), 1, "quorate: error: a b\n"},
		{"usage", usage("quorate plan --help", "missing %s", "-s"), 2, "quorate: error: missing -s\nquorate: hint: see \"quorate plan --help\"\n"},
		{"nothing left to say", ended(exitChanges), 3, ""},
		{"refused by the API", fmt.Errorf("plan: %w", &api.Error{Code: "conflict", Message: "no agent for h1", Hint: "enrol one"}), 5, "quorate: error: plan: no agent for h1\nquorate: hint: enrol one\n"},
		{"not found", &api.Error{Code: "not-found", Message: "no run 7"}, 1, "quorate: error: no run 7\n"},
		{"absent server", &api.Unreachable{Address: "unix:///s", Hint: "start one", Err: syscall.ENOENT}, 1, "quorate: error: no orchestrator at unix:///s: no such file or directory\nquorate: hint: start one\n"},
		{"deadline", fmt.Errorf("ask: %w", context.DeadlineExceeded), 6, "quorate: error: ask: context deadline exceeded\n"},
		{"reader gone", hinted(&fs.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}, "watch it again"), 1, ""},
		{"server gone", &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}, 1, "quorate: error: write tcp: broken pipe\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			if code := (&console{err: &out}).report(tt.err); code != tt.code {
				t.Errorf("code %d, want %d", code, tt.code)
			}
			if out.String() != tt.want {
				t.Errorf("got %q, want %q", out.String(), tt.want)
			}
		})
	}
}

func TestDiagnostics(t *testing.T) {
	var out bytes.Buffer
	p := &program{con: &console{err: &out}}
	p.printDiagnostics([]planner.Diagnostic{
		{Code: "bad-key", Message: "unknown key", Pos: planner.Pos{File: "a.yaml", Line: 3, Column: 5}, Hint: "did you mean \"jobs\"?"},
		{Severity: planner.Warning, Code: "unused", Message: "not used", Pos: planner.Pos{File: "b.yaml", Line: 1}},
		{Code: "cycle", Message: "a needs b needs a"},
	})
	want := "a.yaml:3:5: error: unknown key [bad-key]\n  hint: did you mean \"jobs\"?\nb.yaml:1: warning: not used [unused]\nerror: a needs b needs a [cycle]\n"
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", &out, want)
	}
}

func TestVerdict(t *testing.T) {
	waiting := &api.Run{ID: 3, Status: "waiting", Tasks: []api.Task{{ID: "db", Steps: []api.Step{
		{ID: "db@h1", Status: "waiting"}, {ID: "db@h2", Status: "succeeded"},
	}}}}
	tests := []struct {
		run  *api.Run
		code int
		hint string
	}{
		{&api.Run{Status: "succeeded"}, 0, ""},
		{&api.Run{ID: 2, Status: "failed"}, 4, `see "quorate run output 2"`},
		{&api.Run{Status: "cancelled"}, 4, ""},
		{waiting, 7, "quorate run resolve 3 db@h1 --as succeeded|failed|retry --reason TEXT"},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		p := &program{con: &console{err: &out}}
		if code := p.con.report(p.verdict(tt.run)); code != tt.code {
			t.Errorf("%s: code %d, want %d", tt.run.Status, code, tt.code)
		}
		if !strings.Contains(out.String(), tt.hint) {
			t.Errorf("%s: %q lacks %q", tt.run.Status, &out, tt.hint)
		}
	}
}

func TestSince(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		text string
		seq  uint64
		from time.Time
		ok   bool
	}{
		{"", 0, time.Time{}, true},
		{"17", 17, time.Time{}, true},
		{"1h", 0, now.Add(-time.Hour), true},
		{"2026-01-01T00:00:00Z", 0, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), true},
		{"-1h", 0, time.Time{}, false},
		{"-3", 0, time.Time{}, false},
		{"soon", 0, time.Time{}, false},
	}
	for _, tt := range tests {
		seq, from, err := since(tt.text, now)
		if (err == nil) != tt.ok || tt.ok && (seq != tt.seq || !from.Equal(tt.from)) {
			t.Errorf("since(%q) = %d, %v, %v", tt.text, seq, from, err)
		}
	}
}

func TestYAMLOutput(t *testing.T) {
	var out bytes.Buffer
	p := &program{con: &console{out: &out}, output: "yaml"}
	err := p.emit(api.Agents{Schema: api.Schema, Agents: []api.Agent{{Name: "yes", Hostname: "1.0", ID: 7}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"schema: quorate/v1", `name: "yes"`, `hostname: "1.0"`, "id: 7"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("lacks %q:\n%s", line, &out)
		}
	}
}
