package verb

import (
	"context"
	"fmt"
	"strings"

	"quorate/internal/job"
)

func templateVerb() *Verb {
	return deciding(job.Declaration{
		Verb:    "TEMPLATE",
		Summary: "Render files of the operator's machine and put them on the host.",
		Details: "The host renders them with its own arguments. In a directory a file loses the suffix .j2. " +
			"A file is replaced in one step, after the command of --validate has accepted it.",
		Example:    "TEMPLATE: --chmod 0640 --validate 'nginx -t -c %s' nginx.conf.j2 /etc/nginx/nginx.conf",
		Text:       "SOURCE DESTINATION",
		Positional: job.TwoPaths,
		ShipsFiles: true,
		Options: append(ownership(),
			job.OptionDecl{Name: "validate", Kind: job.Phrase, Help: "a command that has to accept the new file, whose path is %s in it"}),
		Check: func(p *job.Parsed) string {
			if command, ok := p.Job.Option("validate"); ok && !strings.Contains(command, "%s") {
				return "--validate needs %s where the path of the file goes"
			}
			return checkOwnership(p)
		},
	}, decideTemplate)
}

// decideTemplate finds the files that differ from what their templates give.
func decideTemplate(ctx context.Context, a *asked) ([]step, error) {
	files := make([]job.File, len(a.job.Files))
	for i, f := range a.job.Files {
		f.Name = strings.TrimSuffix(f.Name, ".j2")
		files[i] = f
	}
	a.job.Files = files
	placements, want, err := a.placements(ctx, a.job)
	if err != nil {
		return nil, err
	}
	var steps []step
	for _, p := range placements {
		c, err := a.content(ctx, p.file, true)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.destination, err)
		}
		edit, err := editOf(p.destination, want)
		if err != nil {
			return nil, err
		}
		edit.prove = a.prover()
		more, err := edit.steps(c.text)
		if err != nil {
			return nil, err
		}
		steps = append(steps, more...)
	}
	return steps, nil
}

// prover is what a new file has to pass before it takes its place, or nil.
func (a *asked) prover() func(ctx context.Context, path string) error {
	command, ok := a.job.Option("validate")
	if !ok {
		return nil
	}
	return func(ctx context.Context, path string) error {
		res := a.attempts(ctx, strings.ReplaceAll(command, "%s", quoteWords([]string{path})), 1, nil)
		if res.Outcome != Succeeded {
			return fmt.Errorf("%s does not accept it: %s", command, lastLine(res))
		}
		return nil
	}
}
