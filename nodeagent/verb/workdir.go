package verb

import (
	"context"
	"fmt"
	"io/fs"
	"os"

	"quorate/internal/job"
)

func workdirVerb() *Verb {
	return &Verb{Run: workdirJob, Decl: job.Declaration{
		Verb:       "WORKDIR",
		Summary:    "Make a directory with its parents.",
		Text:       "one PATH",
		Positional: job.Words,
		WordsMin:   1,
		WordsMax:   1,
		Options:    ownership(),
		Cacheable:  true,
		Idempotent: true,
		Executable: true,
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
	want, err := ownershipOf(j)
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
