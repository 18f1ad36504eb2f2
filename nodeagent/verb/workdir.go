package verb

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"quorate/internal/job"
)

func workdirVerb() *Verb {
	return &Verb{Run: workdirJob, Check: workdirCheck, Decl: job.Declaration{
		Verb:         "WORKDIR",
		Summary:      "Make a directory with its parents.",
		Example:      "WORKDIR: --chown shop:shop --chmod 0750 /srv/shop/uploads",
		Text:         "one PATH",
		Positional:   job.Words,
		WordsMin:     1,
		WordsMax:     1,
		Options:      ownership(),
		Idempotent:   true,
		Executable:   true,
		HasCheckMode: true,
		FingerprintKeys: func(p *job.Parsed) []job.Field {
			return append(ownershipFields(&p.Job), textField("workdir", p.Job.Text))
		},
		Check: checkOwnership,
	}}
}

func workdirJob(ctx context.Context, env *Env, j *job.Job) Result {
	text, err := env.render(ctx, j.Text)
	if err != nil {
		return unrendered(err)
	}
	if text == "" {
		return failed("the path is empty")
	}
	want, err := env.ownership(ctx, j)
	if err != nil {
		return failed("%v", err)
	}
	path := env.path(text)
	info, err := os.Stat(path)
	changed := false
	switch {
	case err == nil && !info.IsDir():
		return failed("%s is there and is not a directory", path)
	case err != nil:
		if err := os.MkdirAll(path, fs.ModePerm); err != nil {
			return failed("directory: %v", err)
		}
		changed = true
	}
	applied, err := want.apply(path)
	if err != nil {
		return failed("%v", err)
	}
	return succeeded(changed || applied, fmt.Sprintf("Directory %s OK", text))
}

func workdirCheck(ctx context.Context, env *Env, j *job.Job) Checked {
	text, err := env.render(ctx, j.Text)
	if err != nil {
		return wouldFail("%v", err)
	}
	if text == "" {
		return wouldFail("the path is empty")
	}
	want, err := env.ownership(ctx, j)
	if err != nil {
		return wouldFail("%v", err)
	}
	path := env.path(text)
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.IsDir():
		return wouldFail("%s is there and is not a directory", path)
	case err != nil:
		return changes([]string{"make the directory " + path}, "")
	}
	pending, err := want.pending(path)
	if err != nil {
		return wouldFail("%v", err)
	}
	if len(pending) == 0 {
		return Checked{Verdict: Unchanged}
	}
	return changes([]string{path + ": " + strings.Join(pending, ", ")}, "")
}
