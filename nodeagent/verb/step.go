package verb

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"quorate/internal/job"
	"quorate/internal/pyvalue"
	"quorate/nodeagent/wire"
)

// A step is one thing that a job has yet to do to its host.
type step struct {
	what string // for people: "install nginx"
	diff string // unified, where the step writes a text file
	do   func(ctx context.Context) Result
	// undo takes the step back where a later one fails; nil where it may stay.
	undo func(ctx context.Context) error
}

// undoTimeout bounds how long taking a step back may take.
const undoTimeout = 30 * time.Second

// asked is a job with all of its text rendered.
type asked struct {
	*Env
	decl *job.Declaration
	job  *job.Job
	// words are the text's, rendered one by one: a value that holds blanks stays one word.
	words []string
	// dry is true where the answer is for a check: nothing may be changed to find it.
	dry bool
}

func (a *asked) has(name string) bool { return isSet(a.job, name) }

// option is the value of an option, or its declared default.
func (a *asked) option(name string) string { return a.decl.OptionOr(a.job, name) }

func (a *asked) int(name string) int {
	n, _ := strconv.Atoi(a.option(name)) // the parser lets nothing else through
	return n
}

// A decision finds out what a job has to do yet. It changes nothing itself, so
// that what a check says is what a run does.
type decision func(ctx context.Context, a *asked) ([]step, error)

// errCannotTell is wrapped by the errors of decisions that could only be made by
// changing something, which a check does not.
var errCannotTell = errors.New("only a run finds that out")

// deciding makes a verb of its declaration and its decision. Such verbs look at the
// host itself: they need no memory, and running one again is harmless.
func deciding(d job.Declaration, decide decision) *Verb {
	d.Idempotent, d.HasCheckMode, d.Executable = true, true, true
	if d.FingerprintKeys == nil {
		d.FingerprintKeys = givenFields
	}
	v := &Verb{Decl: d}
	v.Run = func(ctx context.Context, env *Env, j *job.Job) Result {
		a, err := env.asked(ctx, &v.Decl, j)
		if err != nil {
			return unrendered(err)
		}
		steps, err := decide(ctx, a)
		if err != nil {
			return unrendered(err)
		}
		return perform(ctx, steps)
	}
	v.Check = func(ctx context.Context, env *Env, j *job.Job) Checked {
		a, err := env.asked(ctx, &v.Decl, j)
		if err != nil {
			return wouldFail("%v", err)
		}
		a.dry = true
		steps, err := decide(ctx, a)
		switch {
		case errors.Is(err, errCannotTell):
			return Checked{Verdict: CannotTell, Info: err.Error()}
		case err != nil:
			return wouldFail("%v", err)
		}
		var lines []string
		var diffs strings.Builder
		for _, s := range steps {
			lines = append(lines, s.what)
			diffs.WriteString(s.diff)
		}
		return changes(lines, diffs.String())
	}
	return v
}

// givenFields is a job record of the text and all options that are given.
func givenFields(p *job.Parsed) []job.Field {
	out := []job.Field{textField("text", collapsed(p.Job.Text))}
	for _, o := range p.Job.Options {
		if o.Name != "stdout-arg" && o.Name != "stderr-arg" {
			out = append(out, field(strings.ReplaceAll(o.Name, "-", "_"), pyvalue.Str(o.Value)))
		}
	}
	return out
}

// asked renders a job's words and options.
func (env *Env) asked(ctx context.Context, d *job.Declaration, j *job.Job) (*asked, error) {
	var words []string
	switch d.Positional {
	case job.TwoPaths, job.Paths:
		var err error
		if words, err = job.SplitPaths(j.Text); err != nil {
			return nil, err
		}
	case job.FreeText:
		words = []string{j.Text}
	default:
		words = job.SplitWords(j.Text)
	}
	rendered := *j
	rendered.Options = make([]job.Option, len(j.Options))
	for i, o := range j.Options {
		value, err := env.render(ctx, o.Value)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", o.Name, err)
		}
		rendered.Options[i] = job.Option{Name: o.Name, Value: value}
	}
	for i, w := range words {
		value, err := env.render(ctx, w)
		if err != nil {
			return nil, err
		}
		if value == "" && d.Positional != job.FreeText {
			return nil, fmt.Errorf("%q is empty once it is rendered", w)
		}
		words[i] = value
	}
	return &asked{Env: env, decl: d, job: &rendered, words: words}, nil
}

// perform does the steps in their order. Where one fails, those before it that can
// be taken back are.
func perform(ctx context.Context, steps []step) Result {
	res := Result{Outcome: Succeeded, ran: true}
	var stdout, stderr []wire.Output
	for i, s := range steps {
		one := s.do(ctx)
		stdout, stderr = append(stdout, one.Stdout), append(stderr, one.Stderr)
		res.Changed = res.Changed || one.Changed
		if one.Outcome == Succeeded {
			continue
		}
		res.Outcome, res.Exit, res.Info = one.Outcome, one.Exit, s.what+": "+one.Info
		undone, err := takeBack(ctx, steps[:i])
		if err != nil {
			res.Info += "; and it could not be put back as it was: " + err.Error()
		}
		res.Changed = one.Changed || res.Changed && !undone
		break
	}
	res.Stdout, res.Stderr = joinOutputs(stdout...), joinOutputs(stderr...)
	return res
}

// takeBack undoes steps, the last one first, and reports whether nothing is left of
// any of them.
func takeBack(ctx context.Context, done []step) (undone bool, all error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	undone = true
	for i := len(done) - 1; i >= 0; i-- {
		if done[i].undo == nil {
			undone = false
			continue
		}
		all = errors.Join(all, done[i].undo(ctx))
	}
	return undone && all == nil, all
}

// commandStep is a step that runs a program which, where it fails, has changed nothing.
func (env *Env) commandStep(what string, words ...string) step {
	return step{what: what, do: func(ctx context.Context) Result {
		res := env.attempts(ctx, quoteWords(words), 1, nil)
		if res.Outcome != Succeeded {
			res.Info, res.Changed = words[0]+": "+lastLine(res), false
		}
		return res
	}}
}

// lastLine is what a failed command said last, with how it ended.
func lastLine(res Result) string {
	text, _ := outputText(res.Stderr)
	if text == "" {
		return res.Info
	}
	return text[strings.LastIndexByte(text, '\n')+1:] + " (" + res.Info + ")"
}

// ask runs a program that only answers, in the language of programs, and returns
// its standard output and exit code. Answers longer than what is kept of an output
// are an error.
func (env *Env) ask(ctx context.Context, words ...string) (string, Exited, error) {
	exited, err := env.command(ctx, "LC_ALL=C "+quoteWords(words), false)
	if err != nil {
		return "", exited, fmt.Errorf("%s: %w", words[0], err)
	}
	if exited.Signal != "" {
		return "", exited, fmt.Errorf("%s: ended by the signal %s", words[0], exited.Signal)
	}
	kept := len(exited.Stdout.Head) + len(exited.Stdout.Tail)
	if int64(kept) < exited.Stdout.Size {
		return "", exited, fmt.Errorf("%s answers with %d bytes, which is too long", words[0], exited.Stdout.Size)
	}
	return string(exited.Stdout.Head) + string(exited.Stdout.Tail), exited, nil
}

// refused is the error of a program that did not answer with success.
func refused(tool string, exited Exited) error {
	return fmt.Errorf("%s: %s", tool, lastLine(commandResult(exited, nil, nil)))
}
