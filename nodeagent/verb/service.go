package verb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"quorate/internal/job"
	"quorate/nodeagent/wire"
)

func serviceVerb() *Verb {
	return &Verb{Run: serviceJob, Check: serviceCheck, Decl: job.Declaration{
		Verb:       "SERVICE",
		Summary:    "Change the state of systemd units.",
		Details:    "Units are started unless another state is asked for, or they are disabled or masked.",
		Example:    "SERVICE: --enable --restarted nginx",
		Text:       "one or more UNITS",
		Positional: job.Words,
		WordsMin:   1,
		Options: []job.OptionDecl{
			{Name: "reloaded", Kind: job.Flag, Help: "reload the units"},
			{Name: "restarted", Kind: job.Flag, Help: "restart the units"},
			{Name: "stopped", Kind: job.Flag, Help: "stop the units"},
			{Name: "daemon-reload", Kind: job.Flag, Help: "let systemd read its files first"},
			{Name: "enable", Kind: job.Flag, Help: "start at boot, and now"},
			{Name: "disable", Kind: job.Flag, Help: "do not start at boot"},
			{Name: "mask", Kind: job.Flag, Help: "make the units impossible to start"},
			{Name: "unmask", Kind: job.Flag, Help: "undo --mask"},
			{Name: "retry", Kind: job.Int, Default: "3", Help: "how often to try"},
		},
		Exclusive:    [][]string{{"reloaded", "restarted", "stopped"}, {"enable", "disable", "mask", "unmask"}},
		Cacheable:    true,
		Executable:   true,
		HasCheckMode: true,
		FingerprintKeys: func(p *job.Parsed) []job.Field {
			var out []job.Field
			given := func(key string, options ...string) {
				for _, o := range options {
					if isSet(&p.Job, o) {
						out = append(out, textField(key, o))
					}
				}
			}
			given("state", "enable", "disable")
			given("mask", "mask", "unmask")
			return append(out,
				textField("running", runningState(&p.Job)),
				intField("retry", p, "retry", 3),
				wordsField("services", job.SplitWords(p.Job.Text)),
				flagField("daemon_reload", p, "daemon-reload"))
		},
	}}
}

// runningState is the systemctl verb that the options ask for, start by default.
func runningState(j *job.Job) string {
	for option, state := range map[string]string{"reloaded": "reload", "restarted": "restart", "stopped": "stop"} {
		if isSet(j, option) {
			return state
		}
	}
	return "start"
}

// serviceJob executes SERVICE. The text is rendered already.
func serviceJob(ctx context.Context, env *Env, j *job.Job) Result {
	if err := requireTool("SERVICE", "systemctl"); err != nil {
		return failed("%v", err)
	}
	units := strings.Fields(j.Text)
	if len(units) == 0 {
		return failed("no units are named")
	}
	var stdout, stderr []wire.Output
	res := Result{Outcome: Succeeded, ran: true}
	changed := false
	for _, phase := range phases(j) {
		moves := !env.isSettled(ctx, phase, units)
		words := []string{"systemctl", phase}
		if phase != "daemon-reload" {
			words = append(words, units...)
		}
		res = env.attempts(ctx, quoteWords(words), intOption(j, "retry", 3), nil)
		changed = changed || moves
		stdout, stderr = append(stdout, res.Stdout), append(stderr, res.Stderr)
		if res.Outcome != Succeeded {
			res.Info = fmt.Sprintf("systemctl %s: %s", phase, res.Info)
			break
		}
	}
	res.Changed = changed
	res.Stdout, res.Stderr = joinOutputs(stdout...), joinOutputs(stderr...)
	return res
}

// isSettled reports whether a phase has nothing to change in any unit, as far as
// systemd can tell. The phase runs all the same: a unit that is about to be active
// is waited for.
func (env *Env) isSettled(ctx context.Context, phase string, units []string) bool {
	question, there := settled(phase)
	if question == "" {
		return false
	}
	for _, unit := range units {
		answer, err := env.unitState(ctx, question, unit)
		if err != nil || !slices.Contains(there, answer) {
			return false
		}
	}
	return true
}

// phases are the commands of systemctl in their order. Units are started unless
// another state is asked for, or they are disabled or masked.
func phases(j *job.Job) []string {
	var out []string
	for _, option := range [...]string{"daemon-reload", "mask", "unmask", "enable", "disable"} {
		if isSet(j, option) {
			out = append(out, option)
		}
	}
	state := runningState(j)
	if state == "start" && (isSet(j, "disable") || isSet(j, "mask")) {
		return out
	}
	return append(out, state)
}

// serviceCheck asks systemd how the units are now.
func serviceCheck(ctx context.Context, env *Env, j *job.Job) Checked {
	if err := requireTool("SERVICE", "systemctl"); err != nil {
		return wouldFail("%v", err)
	}
	units := strings.Fields(j.Text)
	if len(units) == 0 {
		return wouldFail("no units are named")
	}
	var lines []string
	for _, phase := range phases(j) {
		question, there := settled(phase)
		if question == "" {
			lines = append(lines, strings.TrimSpace(phase+" "+strings.Join(unless(phase == "daemon-reload", units), " ")))
			continue
		}
		for _, unit := range units {
			answer, err := env.unitState(ctx, question, unit)
			if err != nil {
				return Checked{Verdict: CannotTell, Info: err.Error()}
			}
			if !slices.Contains(there, answer) {
				lines = append(lines, fmt.Sprintf("%s %s, which is %s", phase, unit, answer))
			}
		}
	}
	return changes(lines, "")
}

func unless(not bool, words []string) []string {
	if not {
		return nil
	}
	return words
}

// settled is what to ask systemctl before a phase, and the answers with which the
// phase changes nothing. Restarting and reloading always do something.
func settled(phase string) (question string, there []string) {
	switch phase {
	case "start":
		return "is-active", []string{"active", "reloading", "activating"}
	case "stop":
		return "is-active", []string{"inactive", "failed", "unknown"}
	case "enable":
		return "is-enabled", []string{"enabled", "static", "alias", "indirect", "generated", "transient"}
	case "disable":
		return "is-enabled", []string{"disabled", "static", "masked", "indirect", "generated", "transient"}
	case "mask":
		return "is-enabled", []string{"masked"}
	case "unmask":
		return "is-enabled", []string{"enabled", "disabled", "static", "alias", "indirect", "generated", "transient"}
	}
	return "", nil
}

// unitState is the first word of systemctl's answer. Its exit code says the same in
// another way, which differs between versions.
func (env *Env) unitState(ctx context.Context, question, unit string) (string, error) {
	text, exited, err := env.ask(ctx, "systemctl", question, unit)
	if err != nil {
		return "", err
	}
	if words := strings.Fields(text); len(words) > 0 {
		return words[0], nil
	}
	return "", refused("systemctl", exited)
}
