package verb

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"quorate/internal/job"
)

func sysctlVerb() *Verb {
	return deciding(job.Declaration{
		Verb:    "SYSCTL",
		Summary: "Set a parameter of the kernel, now and at boot.",
		Details: "The kernel's value is set first: what it refuses is not written. " +
			"With --absent the file no longer sets the parameter, and the kernel keeps the value that it has.",
		Example:    "SYSCTL: net.ipv4.ip_forward 1",
		Text:       "KEY VALUE, or KEY alone with --absent",
		Positional: job.Words,
		WordsMin:   1,
		Options: []job.OptionDecl{
			{Name: "absent", Kind: job.Flag, Help: "take the parameter out of the file"},
			{Name: "file", Kind: job.Phrase, Default: "/etc/sysctl.d/99-quorate.conf", Help: "the file that sets it at boot"},
			{Name: "now-only", Kind: job.Flag, Help: "leave the file alone"},
			{Name: "boot-only", Kind: job.Flag, Help: "leave the kernel's value alone"},
		},
		Exclusive: [][]string{{"now-only", "boot-only"}, {"absent", "now-only"}, {"absent", "boot-only"}},
		Check: func(p *job.Parsed) string {
			switch n := len(job.SplitWords(p.Job.Text)); {
			case isSet(&p.Job, "absent") && n != 1:
				return "--absent takes a key alone"
			case !isSet(&p.Job, "absent") && n < 2:
				return "the value is missing"
			}
			return ""
		},
	}, decideSysctl)
}

var sysctlKey = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./:@*-]*$`)

func decideSysctl(ctx context.Context, a *asked) ([]step, error) {
	key, value := a.words[0], strings.Join(strings.Fields(strings.Join(a.words[1:], " ")), " ")
	if !sysctlKey.MatchString(key) {
		return nil, errors.New("a key is made of letters, digits and dots, not " + quoteWords([]string{key}))
	}
	var steps []step
	if !a.has("absent") && !a.has("boot-only") {
		now, err := a.kernelSteps(ctx, key, value)
		if err != nil {
			return nil, err
		}
		steps = now
	}
	if a.has("now-only") {
		return steps, nil
	}
	file, err := editOf(a.path(a.option("file")), owner{uid: -1, gid: -1})
	if err != nil {
		return nil, err
	}
	after := setSysctl(string(file.before), key, value, a.has("absent"))
	if !file.there && after == "" {
		return steps, nil
	}
	boot, err := file.steps([]byte(after))
	return append(steps, boot...), err
}

// kernelSteps sets the value that the kernel has, where it is another one.
func (a *asked) kernelSteps(ctx context.Context, key, value string) ([]step, error) {
	if err := requireTool("SYSCTL", "sysctl"); err != nil {
		return nil, err
	}
	text, exited, err := a.ask(ctx, "sysctl", "-n", key)
	switch {
	case err != nil:
		return nil, err
	case exited.Code != 0:
		return nil, refused("sysctl", exited)
	}
	now := strings.Join(strings.Fields(text), " ")
	if now == value {
		return nil, nil
	}
	set := a.commandStep("set "+key+" from "+now+" to "+value, "sysctl", "-q", "-w", key+"="+value)
	set.undo = func(ctx context.Context) error {
		_, exited, err := a.ask(ctx, "sysctl", "-q", "-w", key+"="+now)
		if err == nil && exited.Code != 0 {
			err = refused("sysctl", exited)
		}
		return err
	}
	return []step{set}, nil
}

// setSysctl returns the text of a file of sysctl.d in which the key has the value,
// or is absent. Of several lines for the key the last one counts, and is kept.
func setSysctl(text, key, value string, absent bool) string {
	lines, ending := splitLines(text)
	last := -1
	for i, l := range lines {
		if k, v, ok := sysctlLine(l); ok && sameKey(k, key) {
			if last = i; v == value && !absent {
				last = -2 - i
			}
		}
	}
	if last < -1 {
		return text // the last line for the key has the value already
	}
	var out []string
	for i, l := range lines {
		k, _, ok := sysctlLine(l)
		switch {
		case !ok || !sameKey(k, key):
			out = append(out, l)
		case i == last && !absent:
			out = append(out, key+" = "+value)
		}
	}
	if absent && len(out) == len(lines) {
		return text
	}
	if last == -1 && !absent {
		out = append(out, key+" = "+value)
	}
	if len(out) == 0 {
		return ""
	}
	return strings.Join(out, ending) + ending
}

// sysctlLine reads one line of a file of sysctl.d. A dash before the key lets
// errors pass and is not part of it.
func sysctlLine(line string) (key, value string, ok bool) {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
		return "", "", false
	}
	key, value, ok = strings.Cut(line, "=")
	key = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(key), "-"))
	return key, strings.Join(strings.Fields(value), " "), ok && key != ""
}

// sameKey reports whether two keys name the same parameter: its parts stand apart by
// dots or by slashes, whichever comes first, and the other one is then a character.
func sameKey(a, b string) bool { return slashed(a) == slashed(b) }

func slashed(key string) string {
	if i := strings.IndexAny(key, "./"); i >= 0 && key[i] == '.' {
		return strings.NewReplacer(".", "/", "/", ".").Replace(key)
	}
	return key
}
