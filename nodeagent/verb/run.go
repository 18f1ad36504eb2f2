package verb

import (
	"quorate/internal/job"
)

func runVerb() *Verb {
	return &Verb{Run: runJob, Decl: job.Declaration{
		Verb:       "RUN",
		Summary:    "Run a command with the host's shell.",
		Text:       "a command",
		Positional: job.FreeText,
		WordsMin:   1,
		Options: []job.OptionDecl{
			{Name: "no-block", Kind: job.Flag, Help: "start the command in a session of its own and do not wait for it"},
			{Name: "retry", Kind: job.Int, Default: "1", Help: "how often to try"},
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
			if intOption(&p.Job, "retry", 1) < 1 {
				return "--retry counts the attempts and is at least 1"
			}
			return ""
		},
	}}
}
