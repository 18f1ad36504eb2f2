package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"quorate/internal/conformance"
)

// scriptPatience bounds what a script may wait for.
const scriptPatience = time.Minute

// TestScript runs the scripts of testdata/script: each tells a story of the
// command line, with its input and what is expected of it.
func TestScript(t *testing.T) {
	root := repositoryRoot(t)
	corpus := filepath.Join(root, "..", "shared", "corpus", "task-core")
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state"))
			env.Setenv("TESTDATA", filepath.Join(root, "testdata"))
			env.Setenv("CORPUS", corpus)
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond != "corpus" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			_, err := os.Stat(corpus)
			return err == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": scriptExits, "eventually": scriptEventually, "freeaddress": scriptFreeAddress, "freestream": scriptFreeStream,
			"case": scriptCase, "keep": scriptKeep, "terminal": scriptTerminal, "flip": scriptFlip, "linecount": scriptLineCount,
		},
	})
}

// scriptCase declares the conformance cases that a script holds: case directord 33 34.
// internal/conformance reads these lines.
func scriptCase(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || args[0] != conformance.Directord && args[0] != conformance.TaskCore {
		ts.Fatalf("usage: case SUITE NUMBER...")
	}
}

// repositoryRoot is the folder of go.mod.
func repositoryRoot(t testing.TB) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the tests")
		}
		dir = filepath.Dir(dir)
	}
}

// scriptExits runs a command and wants an exit code: exits 5 quorate plan ...
func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if neg || err != nil {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%s: %v", args[1], err)
	}
	if got != want {
		ts.Fatalf("%s exited with %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// scriptEventually repeats a command until it succeeds; exists FILE is one.
func scriptEventually(ts *testscript.TestScript, neg bool, args []string) {
	for deadline := time.Now().Add(scriptPatience); ; {
		var err error
		if args[0] == "exists" {
			_, err = os.Stat(ts.MkAbs(args[1]))
		} else {
			err = ts.Exec(args[0], args[1:]...)
		}
		if (err == nil) != neg {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s: not within %s", strings.Join(args, " "), scriptPatience)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// scriptFreeAddress puts an address that nobody listens on into a variable.
func scriptFreeAddress(ts *testscript.TestScript, _ bool, args []string) {
	address, err := freeAddress()
	ts.Check(err)
	ts.Setenv(args[0], address)
}

// scriptFreeStream is scriptFreeAddress for TCP.
func scriptFreeStream(ts *testscript.TestScript, _ bool, args []string) {
	address, err := freeStreamAddress()
	ts.Check(err)
	ts.Setenv(args[0], address)
}

// scriptKeep puts the last stdout into a variable.
func scriptKeep(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// scriptFlip changes a bit in every copy of a text in a file: flip FILE TEXT.
func scriptFlip(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	text := []byte(args[1])
	if !bytes.Contains(data, text) {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	flipped := bytes.Clone(text)
	flipped[0] ^= 1
	ts.Check(os.WriteFile(path, bytes.ReplaceAll(data, text, flipped), 0o600))
}

// scriptLineCount wants a number of lines in a file: linecount FILE LINES.
func scriptLineCount(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	if got := strings.Count(ts.ReadFile(args[0]), "\n"); got != want {
		ts.Fatalf("%s has %d lines, want %d", args[0], got, want)
	}
}
