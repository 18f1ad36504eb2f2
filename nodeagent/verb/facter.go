package verb

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"quorate/internal/job"
	"quorate/internal/pyvalue"
)

func facterVerb() *Verb {
	return &Verb{Run: facterJob, memory: true, Check: facterCheck, templated: true, Decl: job.Declaration{
		Verb: "FACTER", Summary: "Store what facter finds out about the host.", Example: "FACTER: --custom-dir /etc/facts", Positional: job.NoWords,
		Options: []job.OptionDecl{
			{Name: "custom-dir", Kind: job.String, Help: "directory of custom facts"},
			{Name: "external-dir", Kind: job.String, Help: "directory of external facts"},
		},
		Cacheable: true, Idempotent: true, Executable: true, HasCheckMode: true,
		FingerprintKeys: func(p *job.Parsed) []job.Field {
			return []job.Field{
				field("custom_dir", optional(p, "custom-dir")),
				field("external_dir", optional(p, "external-dir")),
			}
		},
	}}
}

// facterJob executes FACTER. What facter prints goes through a file, because an
// output is kept in part only. The argument facter takes the place of the one
// before; the others stay.
func facterJob(ctx context.Context, env *Env, j *job.Job) Result {
	if err := requireTool("FACTER", "facter"); err != nil {
		return failed("%v", err)
	}
	dir, err := os.MkdirTemp("", "quorate-facter-")
	if err != nil {
		return failed("directory of facter's output: %v", err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "facts.json")
	words := append([]string{"facter", "--json"}, given(j, "custom-dir", "--custom-dir")...)
	words = append(words, given(j, "external-dir", "--external-dir")...)
	res := env.attempts(ctx, quoteWords(words)+" > "+quoteWords([]string{path}), 1, nil)
	if res.Outcome != Succeeded {
		res.Info = "facter: " + res.Info
		return res
	}
	found, err := loadFile(path)
	if err != nil {
		return failed("facter's output: %v", err)
	}
	_, changed, err := env.Facts.SetArg("facter", found, false, env.Provenance)
	if err != nil {
		return failed("%v", err)
	}
	res = succeeded(changed, pyvalue.JSON(found))
	res.Info = fmt.Sprintf("%d facts", found.Len())
	return res
}

// facterCheck asks facter, which only looks, and stores nothing. What facts of the
// user's own do is not known: they are programs.
func facterCheck(ctx context.Context, env *Env, j *job.Job) Checked {
	for _, option := range [...]string{"custom-dir", "external-dir"} {
		if dir, ok := j.Option(option); ok {
			return Checked{Verdict: CannotTell, Info: "the facts in " + dir + " are programs, which a check does not run"}
		}
	}
	return rehearsed(facterJob)(ctx, env, j)
}
