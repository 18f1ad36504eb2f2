package verb

import (
	"context"
	"strings"

	"quorate/internal/job"
	"quorate/internal/pyvalue"
)

func dnfVerb() *Verb {
	return &Verb{Run: dnfJob, Decl: job.Declaration{
		Verb:       "DNF",
		Summary:    "Install or remove packages with dnf.",
		Text:       "one or more PACKAGES",
		Positional: job.Words,
		WordsMin:   1,
		Options: []job.OptionDecl{
			{Name: "latest", Kind: job.Flag, Help: "install the newest versions"},
			{Name: "absent", Kind: job.Flag, Help: "remove the packages"},
			{Name: "exclude", Kind: job.String, Help: "packages to leave out, separated by commas"},
			{Name: "clear-metadata", Kind: job.Flag, Help: "fetch the lists of packages anew first"},
			{Name: "retry", Kind: job.Int, Default: "3", Help: "how often to try"},
		},
		Exclusive:  [][]string{{"latest", "absent"}},
		Cacheable:  true,
		Idempotent: true,
		Executable: true,
		FingerprintKeys: func(p *job.Parsed) []job.Field {
			state := "present"
			for _, name := range [...]string{"latest", "absent"} {
				if isSet(&p.Job, name) {
					state = name
				}
			}
			var exclude pyvalue.Value = pyvalue.None
			if text, ok := p.Job.Option("exclude"); ok {
				exclude = pyvalue.Str(text)
			}
			return []job.Field{
				textField("state", state),
				intField("retry", p, "retry", 3),
				flagField("clear", p, "clear-metadata"),
				wordsField("packages", job.SplitWords(p.Job.Text)),
				field("exclude", exclude),
			}
		},
	}}
}

// dnfJob executes DNF. The text is rendered already.
func dnfJob(ctx context.Context, env *Env, j *job.Job) Result {
	if err := requireTool("DNF", "dnf"); err != nil {
		return failed("%v", err)
	}
	packages := strings.Fields(j.Text)
	if len(packages) == 0 {
		return failed("no packages are named")
	}
	if isSet(j, "clear-metadata") {
		// Stale lists are better than none: the outcome does not count.
		env.attempts(ctx, "dnf clean all; dnf makecache", 1, nil)
	}
	words := []string{"dnf", "-q", "-y"}
	if isSet(j, "latest") {
		words = append(words, "--best")
	}
	if exclude, ok := j.Option("exclude"); ok {
		words = append(words, "--exclude="+exclude)
	}
	action := "install"
	if isSet(j, "absent") {
		action = "remove"
	}
	words = append(append(words, action), packages...)
	return env.attempts(ctx, quoteWords(words), intOption(j, "retry", 3), nil)
}
