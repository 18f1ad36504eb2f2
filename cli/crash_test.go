package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"quorate/internal/bench/biglog"
)

// TestToolsKilled kills each command that writes a file in the moment in which something
// of it appears: under the final name there is all of it, or nothing, and the next
// attempt does not mind what was left.
func TestToolsKilled(t *testing.T) {
	t.Parallel()
	log := t.TempDir()
	if _, err := biglog.Write(log, "0123456789abcdef", biglog.Shape{Hosts: 5, Tasks: 4, Jobs: 2}, 3000); err != nil {
		t.Fatal(err)
	}
	incident := filepath.Join(repositoryRoot(t), "testdata", "incident", "run-74.tar")
	for name, args := range map[string][]string{
		"database": {"log", "sql", "FILE", "--data-dir", log},
		"bundle":   {"audit", "export", "FILE", "--all", "--data-dir", log},
		"drawing":  {"run", "timeline", "74", "--bundle", incident, "--svg", "FILE"},
		"trace":    {"run", "timeline", "74", "--bundle", incident, "--trace", "FILE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := writtenBy(t, args, t.TempDir(), false)
			same := func(got []byte) bool {
				if name == "tables" { // SQLite counts its changes in them
					return len(got) == len(want) && bytes.HasPrefix(got, want[:16])
				}
				return bytes.Equal(got, want)
			}
			dir := ""
			for range 4 {
				dir = t.TempDir()
				if got := writtenBy(t, args, dir, true); got != nil && !same(got) {
					t.Fatalf("a command that was killed left %d bytes of %d", len(got), len(want))
				}
			}
			if err := os.RemoveAll(filepath.Join(dir, "file")); err != nil { // it was quicker than its killer
				t.Fatal(err)
			}
			if got := writtenBy(t, args, dir, false); !same(got) {
				t.Errorf("behind a crash it wrote %d bytes, want %d", len(got), len(want))
			}
		})
	}
}

// writtenBy runs a command that writes a FILE in the directory, which is killed or ends,
// and returns what is in the file, or nil where there is none.
func writtenBy(t *testing.T, args []string, dir string, killed bool) []byte {
	t.Helper()
	file := filepath.Join(dir, "file")
	cmd := exec.Command("quorate")
	var said bytes.Buffer
	cmd.Stderr = &said
	for _, a := range args {
		if a == "FILE" {
			a = file
		}
		cmd.Args = append(cmd.Args, a)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for running := killed; running; {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Error(err)
		}
		if running = len(entries) == 0 && err == nil && len(ended) == 0; !running {
			_ = cmd.Process.Kill() // it may have ended
		}
	}
	if err := <-ended; err != nil && !killed {
		t.Fatalf("%v: %v: %s", args, err, &said)
	}
	content, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return content
}
