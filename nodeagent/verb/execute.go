package verb

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"quorate/internal/job"
	"quorate/internal/pyvalue"
	"quorate/nodeagent/facts"
	"quorate/nodeagent/wire"
)

// errTimeout is the cause of a context that ends because the job's time is up.
var errTimeout = errors.New("timeout encountered")

// InfoSkipped is the information on a job that did not run because its success
// is remembered.
const InfoSkipped = "task skipped"

// Execute runs a job on this host, or decides by what is remembered that it need
// not run. It bounds its time and stores its output where the job asks for that.
// It does not panic: what goes wrong in a verb is a failed job. Secrets of the host
// are not in the result.
func Execute(ctx context.Context, env *Env, j *job.Job) (res Result) {
	defer func() {
		if p := recover(); p != nil {
			res = failed("internal error in %s: %v\n%s", j.Verb, p, debug.Stack())
		}
		res = env.hide(res)
	}()
	origin := env.Provenance
	origin.Job, origin.Time, origin.Secret = j.Index, time.Now().UnixNano(), isSet(j, optionSecret)
	e := *env
	e.Provenance = origin
	ctx, over := e.limit(ctx, j)
	defer over()
	v, j, problem := find(ctx, &e, j)
	switch {
	case problem != nil:
		return ended(ctx, *problem)
	case v.Run == nil || !v.Decl.Executable:
		return failed("%s cannot be executed by this version", j.Verb)
	}
	if !v.Decl.Cacheable {
		return e.looked(v, j, finish(ctx, &e, j, v.Run(ctx, &e, j)))
	}
	return remembered(ctx, &e, j, v)
}

// find returns the verb of a job, and the job as the verb wants it, or what became
// of a job whose verb cannot be found.
func find(ctx context.Context, env *Env, j *job.Job) (*Verb, *job.Job, *Result) {
	if v, ok := shared()[j.Verb]; ok {
		return v, j, nil
	}
	return findComponent(ctx, env, j)
}

// renderJob expands the text of a job that may be remembered, and its options where
// the verb has templates in them.
func (env *Env) renderJob(ctx context.Context, v *Verb, j *job.Job) (*job.Job, error) {
	rendered := *j
	var err error
	if !v.rendered {
		if rendered.Text, err = env.render(ctx, j.Text); err != nil {
			return nil, err
		}
	}
	if v.templated {
		if rendered.Options, err = env.renderOptions(ctx, j.Options); err != nil {
			return nil, err
		}
	}
	return &rendered, nil
}

// remembered runs a job unless an earlier run has done it with success.
func remembered(ctx context.Context, env *Env, j *job.Job, v *Verb) Result {
	rendered, err := env.renderJob(ctx, v, j)
	if err != nil {
		return ended(ctx, unrendered(err))
	}
	key := keyOf(rendered)
	if !j.SkipCache && !env.IgnoreCache {
		before, known, err := env.Facts.Recall(key)
		if err != nil {
			return failed("%v", err)
		}
		if known && env.leaves(key, before) {
			return env.told(v, j, key, skip(env, j, before))
		}
	}
	res := finish(ctx, env, j, v.Run(ctx, env, rendered))
	switch res.Outcome {
	case Succeeded:
		if res.volatile {
			break
		}
		env.Facts.Remember(key, facts.Result{
			Fingerprint: j.Fingerprint, Origin: env.Provenance,
			Stdout: kept(j, "stdout-arg", res.Stdout), Stderr: kept(j, "stderr-arg", res.Stderr),
		})
	case Failed, Unknown:
		if err := env.Facts.Forget(key); err != nil {
			res.Info = strings.TrimSpace(res.Info + "\n" + err.Error())
		}
	}
	return env.told(v, j, key, res)
}

// skip is the result of a job that need not run. What it stored as arguments is
// stored again, because another job may have changed them since.
func skip(env *Env, j *job.Job, before facts.Result) Result {
	for option, text := range map[string]string{"stdout-arg": before.Stdout, "stderr-arg": before.Stderr} {
		if name, ok := j.Option(option); ok {
			if _, _, err := env.Facts.SetArg(name, pyvalue.Str(text), false, env.Provenance); err != nil {
				return failed("%v", err)
			}
		}
	}
	return Result{Outcome: Succeeded, Info: InfoSkipped, left: true}
}

// keyOf names what a job does, by everything that its effect depends on.
func keyOf(j *job.Job) facts.Key {
	h := sha256.New()
	write(h, j.Verb, j.Text)
	for _, o := range j.Options {
		write(h, "option", o.Name, o.Value)
	}
	for _, f := range j.Files {
		write(h, "file", f.Name, f.Digest)
	}
	for _, code := range j.SuccessExits {
		write(h, "exit", fmt.Sprint(code))
	}
	return facts.Key(h.Sum(nil))
}

// write hashes texts so that no two lists of them give the same bytes.
func write(h hash.Hash, texts ...string) {
	for _, t := range texts {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(t)))
		h.Write(n[:])
		h.Write([]byte(t))
	}
}

// finish stores the output of a job that has run, where the job asks for it. The
// job's own outcome is not changed by that.
func finish(ctx context.Context, env *Env, j *job.Job, res Result) Result {
	res = ended(ctx, res)
	if !res.ran || res.Outcome != Succeeded && res.Outcome != Failed {
		return res
	}
	for option, out := range map[string]wire.Output{"stdout-arg": res.Stdout, "stderr-arg": res.Stderr} {
		name, ok := j.Option(option)
		if !ok {
			continue
		}
		text, whole := outputText(out)
		if !whole {
			return failed("the output of %d bytes is too long for the argument %s", out.Size, name).with(res)
		}
		if _, _, err := env.Facts.SetArg(name, pyvalue.Str(text), false, env.Provenance); err != nil {
			return failed("%v", err).with(res)
		}
	}
	return res
}

// kept is the text of an output that the job stores as an argument, or nothing.
func kept(j *job.Job, option string, out wire.Output) string {
	if _, ok := j.Option(option); !ok {
		return ""
	}
	text, _ := outputText(out)
	return text
}

// outputText is an output without the blanks around it, as text, and whether
// nothing of it is missing.
func outputText(out wire.Output) (text string, whole bool) {
	data := slices.Concat(out.Head, out.Tail)
	return strings.TrimSpace(strings.ToValidUTF8(string(data), "\uFFFD")), int64(len(data)) >= out.Size
}

// ended says what a failure is when the time was up or the job was cancelled.
func ended(ctx context.Context, res Result) Result {
	if ctx.Err() == nil || res.Outcome == Succeeded {
		return res
	}
	if errors.Is(context.Cause(ctx), errTimeout) {
		if res.Outcome = Failed; !res.waited {
			res.Info = errTimeout.Error()
		}
		return res
	}
	res.Outcome, res.Info = Cancelled, "cancelled"
	return res
}

func failed(format string, args ...any) Result {
	return Result{Outcome: Failed, Exit: -1, Info: fmt.Sprintf(format, args...)}
}

// unrendered is the failure of a job whose text cannot be rendered. The error is
// the job's error output, where Directord's users look for it.
func unrendered(err error) Result {
	res := failed("%v", err)
	res.Stderr = output(err.Error())
	return res
}

// with takes over the outputs and the exit code of another result.
func (r Result) with(other Result) Result {
	r.Exit, r.Changed, r.Stdout, r.Stderr = other.Exit, other.Changed, other.Stdout, other.Stderr
	return r
}

func succeeded(changed bool, stdout string) Result {
	return Result{Outcome: Succeeded, Changed: changed, Stdout: output(stdout), ran: true}
}

// outputBytesMax is how much of an output of our own making is kept at each end.
const outputBytesMax = 32 << 10

func output(text string) wire.Output {
	out := wire.Output{Head: []byte(text), Size: int64(len(text))}
	if len(text) > 2*outputBytesMax {
		out.Head, out.Tail = []byte(text[:outputBytesMax]), []byte(text[len(text)-outputBytesMax:])
	}
	return out
}
