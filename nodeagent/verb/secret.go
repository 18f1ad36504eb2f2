package verb

import (
	"strings"

	"quorate/nodeagent/wire"
)

// Hidden stands where a secret would be shown.
const Hidden = "[secret]"

// optionSecret marks what a job stores as secret.
const optionSecret = "secret"

// hide takes the host's secrets out of what is reported of a job. Where the memory
// cannot be read nothing is shown at all.
func (env *Env) hide(res Result) Result {
	secrets, err := env.Facts.Secrets()
	if err != nil {
		return Result{Outcome: res.Outcome, Changed: res.Changed, Exit: res.Exit,
			Info: "not shown, since it may hold secrets: " + err.Error(), ran: res.ran, volatile: res.volatile, waited: res.waited}
	}
	if len(secrets) == 0 {
		return res
	}
	pairs := make([]string, 0, 2*len(secrets))
	for _, s := range secrets { // the longest first: of several at one place the first is taken
		pairs = append(pairs, s, Hidden)
	}
	hider := strings.NewReplacer(pairs...)
	res.Info = hider.Replace(res.Info)
	res.Stdout, res.Stderr = hideOutput(res.Stdout, hider, secrets), hideOutput(res.Stderr, hider, secrets)
	return res
}

// hideOutput hides secrets in an output. Where its middle is missing, what may be a
// part of a secret at either edge goes too.
func hideOutput(out wire.Output, hider *strings.Replacer, secrets []string) wire.Output {
	kept := int64(len(out.Head) + len(out.Tail))
	missing := out.Size - kept
	if missing <= 0 {
		whole := string(out.Head) + string(out.Tail)
		if hidden := hider.Replace(whole); hidden != whole {
			return output(hidden)
		}
		return out
	}
	head, tail := hider.Replace(string(out.Head)), hider.Replace(string(out.Tail))
	for _, s := range secrets {
		for n := len(s) - 1; n > 0; n-- {
			if before, cut := strings.CutSuffix(head, s[:n]); cut {
				head = before + Hidden
				break
			}
		}
		for n := len(s) - 1; n > 0; n-- {
			if after, cut := strings.CutPrefix(tail, s[len(s)-n:]); cut {
				tail = Hidden + after
				break
			}
		}
	}
	return wire.Output{Head: []byte(head), Tail: []byte(tail), Size: int64(len(head)+len(tail)) + missing}
}

// A SecretError is of a secret that other hosts ask for: what they are told is on
// record for everybody.
type SecretError struct{ Key string }

// Error implements error.
func (e *SecretError) Error() string {
	return "the argument " + e.Key + " is secret here, or holds what is, and other hosts, which the plan has ask for it, are not told secrets: store it without --secret, or ask for another one"
}
