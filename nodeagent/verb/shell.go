package verb

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"quorate/internal/pyvalue"
	"quorate/nodeagent/wire"
)

// command runs a script with the host's environment variables. A script that
// did not start, or whose end is not known, is an error.
func (env *Env) command(ctx context.Context, script string, detach bool) (Exited, error) {
	if err := ctx.Err(); err != nil {
		return Exited{}, timeUp(ctx, err)
	}
	envs, err := env.Facts.Envs()
	if err != nil {
		return Exited{}, err
	}
	vars := make([]string, 0, len(envs)+len(env.JobEnv))
	for _, fact := range envs {
		text := pyvalue.String(fact.Value)
		if strings.ContainsRune(fact.Name, '=') || strings.ContainsRune(text, 0) {
			return Exited{}, fmt.Errorf("the environment variable %q cannot be passed to a command", fact.Name)
		}
		vars = append(vars, fact.Name+"="+text)
	}
	exited, err := env.Shell(ctx, Command{
		Script: script, Env: append(vars, env.JobEnv...), Dir: env.WorkDir, Detach: detach,
	})
	return exited, timeUp(ctx, err)
}

// attempts runs a script up to n times, until it succeeds.
func (env *Env) attempts(ctx context.Context, script string, n int, successes []int32) Result {
	var res Result
	for range max(n, 1) {
		exited, err := env.command(ctx, script, false)
		res = commandResult(exited, err, successes)
		if res.Outcome == Succeeded || ctx.Err() != nil {
			break
		}
	}
	return res
}

// commandResult is the result of a command that was waited for.
func commandResult(exited Exited, err error, successes []int32) Result {
	res := Result{
		Outcome: Failed, Changed: true, Exit: int32(exited.Code),
		Stdout: exited.Stdout, Stderr: exited.Stderr, ran: true,
	}
	switch {
	case err != nil:
		res.Info = err.Error()
		res.ran = errors.Is(err, context.DeadlineExceeded)
		if exited.Code == 0 {
			res.Exit = -1
		}
	case exited.Signal != "":
		res.Info = "ended by the signal " + exited.Signal
	case len(successes) == 0 && exited.Code == 0 || slices.Contains(successes, int32(exited.Code)):
		res.Outcome = Succeeded
	default:
		res.Info = fmt.Sprintf("exit status %d", exited.Code)
	}
	return res
}

// quoteWords makes one text of words that a shell reads as just these words.
func quoteWords(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}

// requireTool returns what to report where the host lacks a program.
func requireTool(verb, tool string) error {
	if _, err := exec.LookPath(tool); err != nil {
		return fmt.Errorf("%s needs %s, which this host does not have", verb, tool)
	}
	return nil
}

// joinOutputs puts the outputs of several commands one after the other.
func joinOutputs(all ...wire.Output) wire.Output {
	var b strings.Builder
	size := int64(0)
	for _, out := range all {
		b.Write(out.Head)
		if missing := out.Size - int64(len(out.Head)+len(out.Tail)); missing > 0 {
			fmt.Fprintf(&b, "\n[%d bytes left out]\n", missing)
			size += missing
		}
		b.Write(out.Tail)
	}
	joined := output(b.String())
	joined.Size += size
	return joined
}
