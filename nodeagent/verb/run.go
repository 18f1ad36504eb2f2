package verb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"quorate/internal/job"
)

func runVerb() *Verb {
	return &Verb{Run: runJob, Decl: job.Declaration{
		Verb:    "RUN",
		Summary: "Run a command with the host's shell.",
		Details: "The text goes to bash where the host has it, and to sh otherwise; line breaks become blanks. " +
			"A text that begins with #! is a script, whose lines stay as they are.",
		Example:    "RUN: --stdout-arg kernel uname -r",
		Text:       "a command",
		Positional: job.FreeText,
		WordsMin:   1,
		Options: []job.OptionDecl{
			{Name: "no-block", Kind: job.Flag, Help: "start the command in a session of its own and do not wait for it"},
			{Name: "retry", Kind: job.Int, Default: "1", Help: "how often to try"},
			{Name: "read-only", Kind: job.Flag, Help: "the command only looks: its success counts as unchanged"},
		},
		Late:       []string{"skip-cache", "run-once", "stdout-arg", "stderr-arg", "no-block"},
		Verbatim:   true,
		Cacheable:  true,
		Executable: true,
		FingerprintKeys: func(p *job.Parsed) []job.Field {
			return []job.Field{
				flagField("no_block", p, "no-block"),
				intField("retry", p, "retry", 1),
				textField("command", collapsed(p.Job.Text)),
			}
		},
		Check: func(p *job.Parsed) string {
			switch {
			case intOption(&p.Job, "retry", 1) < 1:
				return "--retry counts the attempts and is at least 1"
			case isSet(&p.Job, "read-only") && isSet(&p.Job, "no-block"):
				return "--read-only and --no-block exclude each other"
			}
			return ""
		},
	}}
}

// runJob executes RUN. The text is rendered already.
func runJob(ctx context.Context, env *Env, j *job.Job) Result {
	script := j.Text
	if strings.TrimSpace(script) == "" {
		return failed("the command is empty")
	}
	if strings.HasPrefix(script, "#!") {
		command, remove, err := interpreted(script)
		if err != nil {
			return failed("%v", err)
		}
		defer func() {
			// A command that outlives the agent may still read its script.
			if ctx.Err() == nil || errors.Is(context.Cause(ctx), errTimeout) {
				remove()
			}
		}()
		script = command
	}
	if isSet(j, "no-block") {
		if _, err := env.command(ctx, script, true); err != nil {
			return failed("%v", err)
		}
		return Result{Outcome: Succeeded, Changed: true, ran: true}
	}
	res := env.attempts(ctx, script, intOption(j, "retry", 1), j.SuccessExits)
	res.Changed = res.Changed && !(isSet(j, "read-only") && res.Outcome == Succeeded)
	return res
}

// interpreted puts a script that names its interpreter into a file, and returns
// the command that runs it. The interpreter is named in the command, so that the
// file need not be executable where it lies.
func interpreted(script string) (command string, remove func(), err error) {
	first, _, _ := strings.Cut(script, "\n")
	interpreter := strings.TrimSpace(strings.TrimPrefix(first, "#!"))
	if interpreter == "" {
		return "", nil, errors.New("no interpreter is named after #! in the script")
	}
	dir, err := os.MkdirTemp("", "quorate-script-")
	if err != nil {
		return "", nil, fmt.Errorf("directory of the script: %w", err)
	}
	remove = func() { _ = os.RemoveAll(dir) } // what is left is in the temporary directory
	path := filepath.Join(dir, "script")
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		remove()
		return "", nil, fmt.Errorf("script: %w", err)
	}
	return interpreter + " " + quoteWords([]string{path}), remove, nil
}
