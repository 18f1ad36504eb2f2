package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"quorate/engine/api"
)

// feed gives events to a reporter, one second apart where no time is set.
func feed(t *testing.T, r reporter, events ...api.RunEvent) {
	t.Helper()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i, e := range events {
		e.Time = start.Add(time.Duration(i) * time.Second)
		if err := r.event(e); err != nil {
			t.Fatal(err)
		}
		r.tick()
	}
	r.close()
}

func TestLinesPerTask(t *testing.T) {
	var out bytes.Buffer
	r := &lineReporter{con: &console{out: &out}, out: &out}
	feed(t, r,
		api.RunEvent{Type: "run-started", Summary: &api.Summary{Tasks: 4}},
		api.RunEvent{Type: "step-started", Task: "web-install", Host: "h1"},
		api.RunEvent{Type: "step-started", Task: "web-install", Host: "h2"},
		api.RunEvent{Type: "job-ended", Task: "web-install", Host: "h1", Job: &api.Job{Changed: true}},
		api.RunEvent{Type: "step-ended", Task: "web-install", Host: "h1", Outcome: "succeeded"},
		api.RunEvent{Type: "step-ended", Task: "web-install", Host: "h2", Outcome: "succeeded"},
		api.RunEvent{Type: "task-ended", Task: "web-install", Outcome: "succeeded", Summary: &api.Summary{Tasks: 4, TasksDone: 1}},
		api.RunEvent{Type: "step-started", Task: "web-start", Host: "h1"},
		api.RunEvent{Type: "step-ended", Task: "web-start", Host: "h1", Outcome: "failed", Reason: "job 0 exited with 3\x1b[2J"},
		api.RunEvent{Type: "task-ended", Task: "web-start", Outcome: "failed", Summary: &api.Summary{Tasks: 4, TasksDone: 2}},
		api.RunEvent{Type: "task-ended", Task: "web-check", Outcome: "skipped", Reason: "web-start failed", Summary: &api.Summary{Tasks: 4, TasksDone: 3}},
		api.RunEvent{Type: "task-ended", Task: "web-hello", Outcome: "succeeded", Messages: []string{"hello"}, Summary: &api.Summary{Tasks: 4, TasksDone: 4}},
		api.RunEvent{Type: "run-ended", Outcome: "failed"},
	)
	want := `[1/4] ok        web-install (2 hosts, 5s)
        failed web-start@h1 job 0 exited with 3?[2J
[2/4] failed    web-start (2s)
[3/4] skipped   web-check (web-start failed)
[4/4] ok        web-hello
        hello
`
	if got := out.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// TestLineInMotion wants the last line to fit the terminal, or it would wrap and
// stay, and to be taken away at the end.
func TestLineInMotion(t *testing.T) {
	var out bytes.Buffer
	r := &lineReporter{con: &console{out: &out}, out: &out, live: true}
	long := strings.Repeat("x", 70)
	feed(t, r,
		api.RunEvent{Type: "run-started", Summary: &api.Summary{Tasks: 2}},
		api.RunEvent{Type: "step-started", Task: "a-" + long, Host: "h1"},
		api.RunEvent{Type: "step-started", Task: "b-" + long, Host: "h1"},
	)
	const wipe = "\r\x1b[K"
	if !strings.HasSuffix(out.String(), wipe) {
		t.Errorf("the line in motion stays: %q", out.String())
	}
	for _, drawn := range strings.Split(out.String(), wipe) {
		if n := len([]rune(drawn)); n >= columnsDefault {
			t.Errorf("a line of %d columns wraps at %d: %q", n, columnsDefault, drawn)
		}
	}
	if !strings.Contains(out.String(), "0/2 tasks") || !strings.Contains(out.String(), "a-xxx") {
		t.Errorf("the line in motion does not say what is under way: %q", out.String())
	}
}
