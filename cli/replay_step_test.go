package cli

import (
	"bufio"
	"strings"
	"testing"

	"quorate/engine/replay"
	"quorate/internal/bench/biglog"
)

// TestStepper types keys into a walk and reads the screen.
func TestStepper(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := biglog.Write(dir, "c1", biglog.Shape{Hosts: 3, Tasks: 2, Jobs: 2}, 200); err != nil {
		t.Fatal(err)
	}
	files, err := replay.OpenFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	past, err := replay.New(t.Context(), files)
	if err != nil {
		t.Fatal(err)
	}
	st := &stepper{walk: replay.NewWalker(past), at: 1}
	last := past.Last()
	for _, step := range []struct {
		keys []string
		at   uint64
		says string
	}{
		{nil, 1, "cluster_created"},
		{[]string{"p"}, 1, "this is the first event"},
		{[]string{"n", " ", keyForward, keyDown}, 5, "agent_connected"},
		{[]string{keyBack, keyUp, "p"}, 2, "epoch: - -> 2"},
		{[]string{"g", "1", "3", "\x7f", "2", "\r"}, 12, "plan_recorded"},
		{[]string{"g", "x", "\r"}, 12, `"x" is no number`},
		{[]string{"g", "9", keyEscape}, 12, "n next  p previous"},
		{[]string{keyPageDown}, 32, "32 of"},
		{[]string{"G"}, last, ""},
		{[]string{"n"}, last, "this is the last event"},
		{[]string{keyHome, "k", "attempt_ended", "\r"}, 26, "only kind attempt_ended"},
		{[]string{"n", "n", "p"}, 27, ""},
		{[]string{"h", "host-002", "\r"}, 28, "step task-00@host-002 (run 1)  status: running -> succeeded"},
		{[]string{"k", "nonsense", "\r"}, 28, "nonsense"},
		{[]string{"c", "p"}, 27, "27 of"},
		{[]string{"?"}, 27, "see the last line"},
	} {
		for _, key := range step.keys {
			if quit, err := st.key(t.Context(), key); quit || err != nil {
				t.Fatalf("%q: %v, %v", key, quit, err)
			}
		}
		screen, err := st.screen(t.Context(), 100, 24)
		if err != nil {
			t.Fatal(err)
		}
		if st.at != step.at || !strings.Contains(screen, step.says) {
			t.Errorf("%q: at %d, want %d; the screen lacks %q:\n%s", step.keys, st.at, step.at, step.says, screen)
		}
	}
	for _, size := range [][2]int{{100, 24}, {20, 5}, {1, 1}} {
		screen, err := st.screen(t.Context(), size[0], size[1])
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(screen, "\n")
		if len(lines) > max(size[1], 3) {
			t.Errorf("%v: %d lines", size, len(lines))
		}
		for _, line := range lines {
			if n := len([]rune(line)); n > size[0] {
				t.Errorf("%v: a line of %d columns", size, n)
			}
		}
	}
	if quit, err := st.key(t.Context(), "q"); !quit || err != nil {
		t.Errorf("q: %v, %v", quit, err)
	}
}

// TestNextKey takes what terminals send apart.
func TestNextKey(t *testing.T) {
	t.Parallel()
	r := bufio.NewReader(strings.NewReader("n\x1b[C\x1bOD\x1b[5~é\r\x1b"))
	for _, want := range []string{"n", keyForward, keyBack, keyPageUp, "é", "\r", keyEscape} {
		if got, err := nextKey(r); got != want || err != nil {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	if _, err := nextKey(r); err == nil {
		t.Error("a key behind the end")
	}
}
