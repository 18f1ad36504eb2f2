package verb

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"quorate/internal/job"
)

// A Verdict is what a check found out about a job.
type Verdict uint8

// The verdicts.
const (
	// CannotTell: what the job does shows only when it is done.
	CannotTell Verdict = iota
	// Unchanged: the host is as the job wants it, or the job changes nothing ever.
	Unchanged
	// WouldChange: the job has something to do.
	WouldChange
	// WouldFail: the job would fail before it changed anything, as things stand.
	WouldFail
)

// String is the verdict in words.
func (v Verdict) String() string {
	return [...]string{"cannot tell", "unchanged", "would change", "would fail"}[v]
}

// Checked is what a job would do.
type Checked struct {
	Verdict Verdict
	// Info says what would change, why the job would fail or why nobody can tell. A
	// line is one change.
	Info string
	// Diff is a unified diff of the text files that would change; may be empty.
	// It is bounded by diffBytesMax for each file.
	Diff string

	// asks is true where jobs behind this one may find what other hosts answer it,
	// which nobody knows before it is done.
	asks bool
	// left is true where the job need not run, since its success is remembered.
	left bool
}

// check says what [Execute] would do with a job as things stand, and does nothing
// of it: it reads files, asks databases and fetches the content that the job ships.
// Changes of jobs before it are not thought of. It may change env.Facts.
func (env *Env) check(ctx context.Context, j *job.Job) Checked {
	e := *env
	e.Provenance.Job, e.Provenance.Time, e.Provenance.Secret = j.Index, time.Now().UnixNano(), isSet(j, optionSecret)
	ctx, over := e.limit(ctx, j)
	defer over()
	v, j, problem := find(ctx, &e, j)
	switch {
	case problem != nil:
		return wouldFail("%s", ended(ctx, *problem).Info)
	case v.Run == nil || !v.Decl.Executable:
		return wouldFail("%s cannot be executed by this version", j.Verb)
	}
	if v.Decl.Cacheable {
		rendered, known, err := e.recalled(ctx, v, j)
		switch {
		case err != nil:
			return wouldFail("%v", err)
		case known:
			return Checked{Verdict: Unchanged, Info: "its success is remembered", left: true}
		}
		j = rendered
	}
	if v.Check == nil {
		return Checked{Verdict: CannotTell, Info: wouldRun + "what " + j.Verb + " does shows only when it is done"}
	}
	return v.Check(ctx, &e, j)
}

// A Rehearsal is what became of a job in a run that only checks.
type Rehearsal struct {
	// Result says what the job would do: Changed where it would change something or
	// nobody can tell, Failed where it would fail. The diff of the files that would
	// change is its standard output.
	Result Result
	// Certain is true where the jobs behind this one find the host as it is now.
	Certain bool
}

// Rehearse says what [Execute] would do with a job in a run of jobs none of which
// is done: env.Facts, which has to be the caller's to throw
// away, takes what the job would store, so that jobs behind it find that. certain
// is false where jobs before this one would have changed the host: that it would
// fail as things stand then says nothing. It does not panic.
func Rehearse(ctx context.Context, env *Env, j *job.Job, certain bool) (r Rehearsal) {
	defer func() {
		if p := recover(); p != nil {
			r = Rehearsal{Result: failed("internal error in %s: %v\n%s", j.Verb, p, debug.Stack())}
		}
		r.Result = env.hide(r.Result)
	}()
	e := *env
	e.Fleet = nil // whatever a verb makes of a check, it is for this host alone
	c := e.check(ctx, j)
	if ctx.Err() != nil {
		return Rehearsal{Result: ended(ctx, failed("%s", c.Info))}
	}
	if err := e.foretold(ctx, j, &c); err != nil {
		return Rehearsal{Result: failed("%v", err)}
	}
	res := succeeded(c.Verdict != Unchanged, c.Diff)
	res.Info = c.Info
	switch {
	case c.Verdict == WouldChange:
		res.Info = "would change: " + c.Info
	case c.Verdict == WouldFail && certain:
		res = failed("would fail: %s", c.Info)
	case c.Verdict == WouldFail:
		res.Info = "cannot tell, since it depends on jobs before it: as things stand it would fail: " + c.Info
	case c.Verdict == CannotTell && !strings.HasPrefix(c.Info, wouldRun):
		res.Info = "cannot tell: " + c.Info
	}
	return Rehearsal{Result: res, Certain: certain && c.Verdict == Unchanged && !c.asks}
}

// wouldRun begins what is said of a job that has no check.
const wouldRun = "would run: "

// recalled renders the text of a job, and reports whether its success is remembered.
func (env *Env) recalled(ctx context.Context, v *Verb, j *job.Job) (*job.Job, bool, error) {
	rendered, err := env.renderJob(ctx, v, j)
	if err != nil {
		return nil, false, err
	}
	if j.SkipCache || env.IgnoreCache {
		return rendered, false, nil
	}
	key := keyOf(rendered)
	before, known, err := env.Facts.Recall(key)
	return rendered, known && env.leaves(key, before), err
}

func wouldFail(format string, args ...any) Checked {
	return Checked{Verdict: WouldFail, Info: fmt.Sprintf(format, args...)}
}

// asking is the check of a job that asks other hosts, or waits for them, and changes
// nothing.
func asking(what string) func(context.Context, *Env, *job.Job) Checked {
	return func(context.Context, *Env, *job.Job) Checked {
		return Checked{Verdict: Unchanged, Info: what, asks: true}
	}
}

// harmless is the check of a verb that changes nothing on a host.
func harmless(context.Context, *Env, *job.Job) Checked { return Checked{Verdict: Unchanged} }

// rehearsed is the check of a verb that changes the agent's memory and nothing
// else: it runs on a memory that keeps nothing.
func rehearsed(run func(context.Context, *Env, *job.Job) Result) func(context.Context, *Env, *job.Job) Checked {
	return func(ctx context.Context, env *Env, j *job.Job) Checked {
		res := run(ctx, env, j)
		switch {
		case res.Outcome != Succeeded:
			return wouldFail("%s", res.Info)
		case res.Changed:
			text, _ := outputText(res.Stdout)
			return Checked{Verdict: WouldChange, Info: strings.TrimSpace("the agent's memory: " + text + "\n" + res.Info)}
		}
		return Checked{Verdict: Unchanged, Info: res.Info}
	}
}

// changes is the check of a job that would do what the lines say.
func changes(lines []string, diff string) Checked {
	if len(lines) == 0 {
		return Checked{Verdict: Unchanged}
	}
	return Checked{Verdict: WouldChange, Info: strings.Join(lines, "\n"), Diff: diff}
}
