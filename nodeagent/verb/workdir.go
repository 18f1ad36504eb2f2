package verb

import "quorate/internal/job"

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
