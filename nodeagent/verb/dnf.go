package verb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"quorate/internal/job"
	"quorate/internal/pyvalue"
)

func dnfVerb() *Verb {
	return &Verb{Run: dnfJob, Check: dnfCheck, templated: true, Decl: job.Declaration{
		Verb:       "DNF",
		Summary:    "Install or remove packages with dnf.",
		Details:    "PACKAGE does the same with the package manager that the host has.",
		Example:    "DNF: --latest nginx curl",
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
		Exclusive:    [][]string{{"latest", "absent"}},
		Cacheable:    true,
		Idempotent:   true,
		Executable:   true,
		HasCheckMode: true,
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
	before, known := env.rpmState(ctx)
	res := env.attempts(ctx, quoteWords(words), intOption(j, "retry", 3), nil)
	if known && ctx.Err() == nil {
		after, still := env.rpmState(ctx)
		res.Changed = !still || after != before
	}
	return res
}

// rpmState is a checksum of all packages, where rpm can be asked.
func (env *Env) rpmState(ctx context.Context) (string, bool) {
	if requireTool("", "rpm") != nil {
		return "", false
	}
	state, err := dnfManager().state(ctx, &asked{Env: env})
	return state, err == nil
}

// dnfCheck asks rpm's database which packages are there, and dnf which are outdated.
func dnfCheck(ctx context.Context, env *Env, j *job.Job) Checked {
	for _, tool := range [...]string{"dnf", "rpm"} {
		if err := requireTool("DNF", tool); err != nil {
			return wouldFail("%v", err)
		}
	}
	packages := strings.Fields(j.Text)
	if len(packages) == 0 {
		return wouldFail("no packages are named")
	}
	if i := slices.IndexFunc(packages, func(p string) bool { return strings.ContainsAny(p, "@*?[/") }); i >= 0 {
		return Checked{Verdict: CannotTell, Info: packages[i] + " may stand for several packages"}
	}
	var lines []string
	for _, name := range packages {
		there, err := env.rpmHas(ctx, name)
		if err != nil {
			return Checked{Verdict: CannotTell, Info: err.Error()}
		}
		switch {
		case there && isSet(j, "absent"):
			lines = append(lines, "remove "+name)
		case !there && !isSet(j, "absent"):
			lines = append(lines, "install "+name)
		}
	}
	if !isSet(j, "latest") || len(lines) > 0 {
		return changes(lines, "")
	}
	outdated, err := env.dnfOutdated(ctx, true, packages)
	if err != nil {
		return Checked{Verdict: CannotTell, Info: err.Error()}
	}
	return changes(outdated, "")
}

// rpmHas reports whether a package, or one that provides what is named so, is installed.
func (env *Env) rpmHas(ctx context.Context, name string) (bool, error) {
	_, exited, err := env.ask(ctx, "rpm", "-q", "--whatprovides", name)
	return exited.Code == 0, err
}

// dnfOutdated lists the packages that there are newer versions of. With cached it is by
// the lists that the host has, and no list is fetched; where there is none, nobody can
// tell.
func (env *Env) dnfOutdated(ctx context.Context, cached bool, packages []string) ([]string, error) {
	words := []string{"dnf", "-q"}
	if cached {
		words = append(words, "-C")
	}
	text, exited, err := env.ask(ctx, append(append(words, "check-update"), packages...)...)
	switch {
	case err != nil:
		return nil, err
	case exited.Code == 0:
		return nil, nil
	case exited.Code != dnfUpdates && cached:
		return nil, fmt.Errorf("%w: %w", errCannotTell, refused("dnf", exited))
	case exited.Code != dnfUpdates:
		return nil, refused("dnf", exited)
	}
	var out []string
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) == 3 {
			out = append(out, "update "+words[0]+" to "+words[1])
		}
	}
	return out, nil
}

// dnfUpdates is the exit code of dnf check-update where there are updates.
const dnfUpdates = 100
