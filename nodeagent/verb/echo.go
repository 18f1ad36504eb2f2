package verb

import (
	"context"

	"quorate/internal/job"
)

func echoVerb() *Verb {
	return &Verb{Run: echoJob, memory: true, Check: harmless, Decl: job.Declaration{
		Verb:         "ECHO",
		Summary:      "Report a text as output.",
		Example:      "ECHO: the shop is at {{ version }}",
		Text:         "any text",
		Positional:   job.FreeText,
		Cacheable:    true,
		Idempotent:   true,
		Executable:   true,
		HasCheckMode: true,
		FingerprintKeys: func(p *job.Parsed) []job.Field {
			return []job.Field{textField("echo", collapsed(p.Job.Text))}
		},
	}}
}

// echoJob executes ECHO. The text is rendered already.
func echoJob(_ context.Context, _ *Env, j *job.Job) Result { return succeeded(false, j.Text) }
