package verb

import (
	"context"
	"path"
	"strings"

	"quorate/internal/job"
	"quorate/nodeagent/facts"
)

// What follows decides by the record of a step which of its jobs have to run, and tells
// the record what became of them.

// leaves reports whether a job need not run whose success is remembered.
func (env *Env) leaves(key facts.Key, before facts.Result) bool {
	if env.Course == nil {
		return facts.Repeats(before.Origin, env.Provenance)
	}
	return env.Course.Leaves(key, before, env.Provenance)
}

// looked tells the record of a job that looks at the host itself.
func (env *Env) looked(v *Verb, j *job.Job, res Result) Result {
	return env.tell(facts.Ending{Job: j.Index, Memory: v.memory || env.loaded(j), Changed: res.Changed || env.Again}, res)
}

// told tells the record of a job that may be left alone.
func (env *Env) told(v *Verb, j *job.Job, key facts.Key, res Result) Result {
	return env.tell(facts.Ending{
		Job: j.Index, Key: &key, Left: res.left, Succeeded: res.Outcome == Succeeded, Changed: res.Changed || env.Again,
		Output: facts.Summary(res.Stdout.Head, res.Stdout.Tail, res.Stdout.Size), Noise: j.SkipCache || res.volatile, Memory: v.memory,
	}, res)
}

func (env *Env) tell(e facts.Ending, res Result) Result {
	if env.Course == nil {
		return res
	}
	var err error
	if res.Note, err = env.Course.Ended(e); err != nil {
		return failed("%v", err).with(res)
	}
	return res
}

// loaded reports whether a job does no more than bring files that its step loads with
// CACHEFILE: what has changed in them is in the keys of the jobs that use it.
func (env *Env) loaded(j *job.Job) bool {
	if j.Verb != "ADD" && j.Verb != "COPY" || len(env.Loads) == 0 {
		return false
	}
	paths, err := job.SplitPaths(j.Text)
	if err != nil || len(paths) != 2 {
		return false
	}
	if !strings.HasSuffix(paths[1], "/") {
		return env.Loads[path.Clean(paths[1])]
	}
	for _, f := range j.Files {
		if !env.Loads[path.Join(paths[1], path.Base(f.Name))] {
			return false
		}
	}
	return len(j.Files) > 0
}

// Loads returns the files that jobs load with CACHEFILE, as they name them, for [Env].
func Loads(jobs []job.Job) map[string]bool {
	loads := map[string]bool{}
	for i := range jobs {
		if jobs[i].Verb == "CACHEFILE" {
			loads[path.Clean(strings.TrimSpace(jobs[i].Text))] = true
		}
	}
	return loads
}

// foretold tells the record, of a step that is only checked, of a job that would do what
// was found out. A command is expected to say what it said before.
func (env *Env) foretold(ctx context.Context, j *job.Job, c *Checked) error {
	if env.Course == nil {
		return nil
	}
	v, j, problem := find(ctx, env, j)
	if problem != nil {
		return nil
	}
	e := facts.Ending{Job: j.Index, Left: c.left, Succeeded: c.Verdict != WouldFail,
		Changed: c.Verdict != Unchanged && c.Verdict != WouldFail, Expected: true, Memory: v.memory || env.loaded(j)}
	if v.Decl.Cacheable {
		rendered, err := env.renderJob(ctx, v, j)
		if err != nil {
			return nil // it would fail, which is told
		}
		key := keyOf(rendered)
		e.Key = &key
	}
	_, err := env.Course.Ended(e)
	return err
}
