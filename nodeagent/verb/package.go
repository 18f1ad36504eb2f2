package verb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"quorate/internal/job"
)

func packageVerb() *Verb {
	return deciding(job.Declaration{
		Verb:    "PACKAGE",
		Summary: "Install, update or remove packages with the host's package manager.",
		Details: "It is apt, zypper, dnf or apk: the first that the host has. Its database is asked before anything is done. " +
			"A package that is there is left alone without --latest. While another process holds the manager's lock, the job waits.",
		Example:    "PACKAGE: --refresh nginx curl",
		Text:       "one or more PACKAGES",
		Positional: job.Words,
		WordsMin:   1,
		Options: []job.OptionDecl{
			{Name: "latest", Kind: job.Flag, Help: "update what is there to the newest version"},
			{Name: "absent", Kind: job.Flag, Help: "remove the packages"},
			{Name: "refresh", Kind: job.Flag, Help: "fetch the lists of packages anew before something is installed"},
			{Name: "manager", Kind: job.String, Help: "apt, zypper, dnf or apk, where the host has several"},
			{Name: "lock-wait", Kind: job.Int, Default: "120", Help: "seconds to wait for the manager's lock"},
		},
		Exclusive: [][]string{{"latest", "absent"}, {"absent", "refresh"}},
		Check: func(p *job.Parsed) string {
			if intOption(&p.Job, "lock-wait", 0) < 0 {
				return "--lock-wait is not negative"
			}
			if name, ok := p.Job.Option("manager"); ok && managerOf(name) == nil {
				return fmt.Sprintf("there is no manager %q: want apt, zypper, dnf or apk", name)
			}
			return ""
		},
	}, decidePackage)
}

func decidePackage(ctx context.Context, a *asked) ([]step, error) {
	m, err := a.manager()
	if err != nil {
		return nil, err
	}
	for _, name := range a.words {
		if strings.HasPrefix(name, "-") || strings.ContainsAny(name, " \t\r\n") {
			return nil, fmt.Errorf("%q is no name of a package", name)
		}
	}
	there, err := m.installed(ctx, a)
	if err != nil {
		return nil, err
	}
	var missing, present []string
	for _, name := range a.words {
		if slices.Contains(there, name) {
			present = append(present, name)
		} else {
			missing = append(missing, name)
		}
	}
	if a.has("absent") {
		if len(present) == 0 {
			return nil, nil
		}
		return []step{a.packageStep(m, "remove "+strings.Join(present, " "), m.remove, present)}, nil
	}
	if len(missing) == 0 && !a.has("latest") {
		return nil, nil
	}
	if a.has("refresh") && !a.dry {
		if res := a.locked(ctx, m, m.refresh); res.Outcome != Succeeded {
			return nil, fmt.Errorf("%s: %s", m.tool, lastLine(res))
		}
	}
	var steps []step
	if len(missing) > 0 {
		steps = append(steps, a.packageStep(m, "install "+strings.Join(missing, " "), m.install, missing))
	}
	if a.has("latest") && len(present) > 0 {
		outdated, err := m.outdated(ctx, a, present)
		if err != nil {
			return nil, err
		}
		if len(outdated) > 0 {
			steps = append(steps, a.packageStep(m, "update "+strings.Join(outdated, ", "), m.update, present))
		}
	}
	return steps, nil
}

// manager finds the package manager of the host.
func (a *asked) manager() (*manager, error) {
	if name := a.option("manager"); name != "" {
		m := managerOf(name)
		if m == nil {
			return nil, fmt.Errorf("there is no manager %q", name)
		}
		return m, cmp.Or(requireTool("PACKAGE", m.tool), requireTool("PACKAGE", m.database))
	}
	for _, m := range managers() {
		if requireTool("", m.tool) == nil && requireTool("", m.database) == nil {
			return m, nil
		}
	}
	return nil, errors.New("PACKAGE needs apt-get, zypper, dnf or apk, and this host has none of them")
}

// packageStep runs the manager. Whether that changed anything is for the database
// to say: a name may stand for a package that is there under another one, and a
// manager that fails may have done half of its work.
func (a *asked) packageStep(m *manager, what string, words, packages []string) step {
	return step{what: what, do: func(ctx context.Context) Result {
		before, err := m.state(ctx, a)
		if err != nil {
			return failed("%v", err)
		}
		res := a.locked(ctx, m, append(slices.Clone(words), packages...))
		if res.Outcome != Succeeded {
			res.Info = m.tool + ": " + lastLine(res)
		}
		after, err := m.state(context.WithoutCancel(ctx), a)
		res.Changed = err != nil || after != before
		return res
	}}
}

// locked runs the manager, and again while another process holds its lock, until the
// bound of --lock-wait is reached.
func (a *asked) locked(ctx context.Context, m *manager, words []string) Result {
	script := strings.Join(m.env, " ") + " " + quoteWords(words)
	var res Result
	for waited := 0; ; waited++ {
		res = a.attempts(ctx, script, 1, m.success)
		if res.Outcome == Succeeded || ctx.Err() != nil || !m.busy(res) {
			return res
		}
		if waited >= a.int("lock-wait") || pause(ctx, 1) != nil {
			res.Info = fmt.Sprintf("its lock is held by another process, for more than %d s", waited)
			res.Stderr = output("")
			return res
		}
	}
}
