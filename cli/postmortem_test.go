package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sessions are the blocks of a page that show a terminal.
var sessions = regexp.MustCompile("(?ms)^```console\n(.*?)^```$")

// TestPostMortem repeats docs/post-mortem.md: each command that it shows is run on the
// bundle in testdata, and prints what the page says. With -update the page is written.
func TestPostMortem(t *testing.T) {
	t.Parallel()
	root := repositoryRoot(t)
	path := filepath.Join(root, "docs", "post-mortem.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{
		"testdata/incident/run-74.tar", "testdata/incident/ca.crt", "docs/verify_bundle.py", "docs/events.json",
	} {
		copyFile(t, filepath.Join(root, name), filepath.Join(dir, name))
	}
	dir = filepath.Join(dir, "testdata", "incident")
	ran := 0
	now := sessions.ReplaceAllStringFunc(string(page), func(block string) string {
		var b strings.Builder
		b.WriteString("```console\n")
		for _, s := range spoken(strings.TrimSuffix(strings.TrimPrefix(block, "```console\n"), "```")) {
			said := s.said
			if _, err := exec.LookPath("python3"); err == nil || !strings.HasPrefix(s.command, "python3 ") {
				said = say(t, dir, s.command)
				ran++
			}
			if said != s.said && !*update {
				t.Errorf("$ %s\nsays now (if that is right: go test ./cli -run PostMortem -update)\n%s\nand on the page\n%s", s.command, said, s.said)
			}
			fmt.Fprintf(&b, "$ %s\n%s", s.command, said)
		}
		return b.String() + "```"
	})
	if *update {
		if err := os.WriteFile(path, []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if ran < 5 {
		t.Errorf("only %d commands of the page were run", ran)
	}
}

// A sentence is a command of a session, and what it printed.
type sentence struct{ command, said string }

func spoken(session string) (all []sentence) {
	for line := range strings.Lines(session) {
		if command, is := strings.CutPrefix(line, "$ "); is {
			all = append(all, sentence{command: strings.TrimSuffix(command, "\n")})
		} else if len(all) > 0 {
			all[len(all)-1].said += line
		}
	}
	return all
}

// say runs a command of the page and returns all that it prints, on whatever stream.
func say(t *testing.T, dir, command string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "QUORATE_SERVER=", "HOME="+dir, "XDG_STATE_HOME="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatalf("%s: %v", command, err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(out)) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
