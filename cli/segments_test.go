package cli

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quorate/eventlog"
	"quorate/internal/bench/biglog"
	"quorate/internal/pki"
)

// TestToolsReadSegments asks every command that reads a log for its answer before and
// after records moved to segments, and what it says of one that is damaged.
func TestToolsReadSegments(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, err := pki.LoadOrCreate(filepath.Join(dir, "pki"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := biglog.Write(dir, ca.ClusterID(), biglog.Shape{Hosts: 5, Tasks: 4, Jobs: 2}, 9000); err != nil {
		t.Fatal(err)
	}
	tools := map[string][]string{
		"database": {"log", "sql", "FILE", "--data-dir", dir},
		"verdict":  {"replay", "--verify", "--data-dir", dir},
		"point":    {"replay", "--data-dir", dir, "--at", "5000", "-o", "json"},
		"change":   {"replay", "--data-dir", dir, "--diff", "3000", "8500"},
		"proof":    {"audit", "verify", dir},
		"bundle":   {"audit", "export", "FILE", "--all", "--data-dir", dir},
		"timeline": {"run", "timeline", "2", "--data-dir", dir, "-o", "json"},
	}
	before := map[string][]byte{}
	for name, args := range tools {
		before[name] = toolSays(t, args)
	}
	log, err := eventlog.OpenEmbedded(dir)
	if err != nil {
		t.Fatal(err)
	}
	last, err := log.Seal(t.Context(), 8192)
	if err := errors.Join(err, log.Close()); err != nil || last != 8192 {
		t.Fatal(last, err)
	}
	for name, args := range tools {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if after := toolSays(t, args); !bytes.Equal(after, before[name]) {
				t.Errorf("it says %q now, and said %q", brief(after), brief(before[name]))
			}
		})
	}
	t.Run("damaged", func(t *testing.T) {
		t.Parallel()
		broken := t.TempDir()
		if err := os.CopyFS(broken, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(broken, eventlog.SegmentsDir, "*.seg"))
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		b, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		if err := os.WriteFile(files[0], b, 0o600); err != nil {
			t.Fatal(err)
		}
		for want, args := range map[string][]string{
			filepath.Base(files[0]): {"audit", "verify", broken},
			"look at them with":     {"replay", "--verify", "--data-dir", broken},
		} {
			out, err := exec.Command("quorate", args...).CombinedOutput()
			if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 || !strings.Contains(string(out), want) {
				t.Errorf("%q: %v, %s, want %q", args, err, out, want)
			}
		}
		server := exec.Command("quorate", "server", "--log", "embedded", "--data-dir", broken, "--listen", "127.0.0.1:0")
		if out, err := server.CombinedOutput(); err == nil || !strings.Contains(string(out), "put the file back") {
			t.Errorf("a server over it: %v, %s", err, out)
		}
	})
}

// toolSays returns what a command writes to FILE, or else to stdout.
func toolSays(t *testing.T, args []string) []byte {
	t.Helper()
	if slices.Contains(args, "FILE") {
		return writtenBy(t, args, t.TempDir(), false)
	}
	var said bytes.Buffer
	cmd := exec.Command("quorate", args...)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%q: %v\n%s", args, err, said.String())
	}
	if len(out) == 0 {
		t.Errorf("%q says nothing\n%s", args, said.String())
	}
	return out
}

func brief(b []byte) string { return string(b[:min(len(b), 400)]) }
