package verb

import "quorate/internal/job"

func cachefileVerb() *Verb {
	return &Verb{Run: cachefileJob, Decl: oneWord("CACHEFILE", "one PATH", "cachefile",
		"Load a YAML or JSON file of the host into its arguments.")}
}

// oneWord declares a verb that takes a single word and no options of its own.
func oneWord(verb, text, key, summary string) job.Declaration {
	return job.Declaration{
		Verb:       verb,
		Summary:    summary,
		Text:       text,
		Positional: job.Words,
		WordsMin:   1,
		WordsMax:   1,
		Idempotent: true,
		Executable: true,
		FingerprintKeys: func(p *job.Parsed) []job.Field {
			return []job.Field{textField(key, p.Job.Text)}
		},
	}
}
