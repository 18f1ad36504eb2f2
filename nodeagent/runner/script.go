package runner

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	// scriptBytesMax is how long a script may be as an argument; the kernel's
	// limit for one is 128 KiB, and quotes take more room. Longer ones go into a file.
	scriptBytesMax = 24 << 10
)

// interferes finds scripts that could replace the prelude's traps or the shell.
// It may find one too many: that costs a process.
var interferes = regexp.MustCompile(`\b(trap|exec)\b`)

// dieOf takes the status back and dies of the signal, as the shell would without us.
const dieOf = `trap 'trap - EXIT %[1]s; kill -s %[1]s $$' %[1]s; `

// prelude is for all signals by which bash ends with its EXIT trap run.
var prelude = func() string {
	var b strings.Builder
	for _, s := range []string{"TERM", "HUP", "INT", "ALRM", "USR1", "USR2", "XCPU", "XFSZ", "VTALRM"} {
		fmt.Fprintf(&b, dieOf, s)
	}
	return b.String()
}()

// wrap returns the text that runs the script and logs its status. The script
// begins on the first line, so that line numbers in messages are right. The fast
// shell runs no EXIT trap when it dies of a signal, and so needs no prelude.
func (r *Runner) wrap(script string, s *slot, fast bool) string {
	ends := "{ echo E " + strconv.FormatUint(s.spawn, 10)
	to := " >>" + quote(s.path(nameStatus)) + "; } 2>/dev/null"
	if fast {
		return "trap " + quote(ends+" $?"+to) + " EXIT; " + script
	}
	if !interferes.MatchString(script) {
		return prelude + "trap " + quote(ends+" $?"+to) + " EXIT; " + script
	}
	return prelude + quote(r.shells.full) + " -c " + quote(script) + "; set -- $?; " + ends + " $1" + to + "; exit $1"
}

// quote returns s as one word of the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// command prepares the process of a script.
func (r *Runner) command(c Command, s *slot) (*start, error) {
	script := c.Script
	if strings.ContainsRune(script, 0) {
		return nil, fmt.Errorf("the script holds a NUL byte")
	}
	shell, fast := r.shells.pick(script, c.Env)
	if len(script) > scriptBytesMax {
		s.script = true
		if err := os.WriteFile(s.path(nameScript), []byte(script), 0o600); err != nil {
			return nil, fmt.Errorf("writing the script: %w", err)
		}
		dot := ". " + quote(s.path(nameScript))
		if interferes.MatchString(script) {
			dot += " # exec"
		}
		script = dot
	}
	if !c.Detach {
		script = r.wrap(script, s, fast)
	}
	return &start{
		path: shell, argv: []string{shell, "-c", script}, dir: c.Dir,
		env: joinEnv(r.env, append(slices.Clone(c.Env),
			envAttempt+"="+strconv.FormatUint(c.Attempt, 10), envJob+"="+strconv.FormatUint(uint64(c.Job), 10))),
	}, nil
}
