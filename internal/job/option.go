package job

import (
	"fmt"
	"strconv"
	"strings"
)

// TimeoutSeconds is the time limit of a job that sets none.
const TimeoutSeconds = 600

// Common returns the options that every verb takes.
func Common() []OptionDecl {
	return []OptionDecl{
		{Name: "skip-cache", Kind: Flag, Help: "run the job even where its success is remembered"},
		{Name: "run-once", Kind: Flag, Help: "run on the first host only"},
		{Name: "timeout", Kind: Int, Default: strconv.Itoa(TimeoutSeconds), Help: "seconds for the whole execution: retries count, waiting for its files does not"},
		{Name: "force-lock", Kind: Flag, Help: "accepted for Directord's files; has no effect"},
		{Name: "stdout-arg", Kind: String, Help: "store the standard output as this argument"},
		{Name: "stderr-arg", Kind: String, Help: "store the standard error as this argument"},
		{Name: "secret", Kind: Flag, Help: "hide what the job stores, and copies of it, wherever something is shown: in outputs, differences and facts; no other host is told of it"},
	}
}

// option finds the declaration of an option of the verb.
func (d *Declaration) option(name string) (OptionDecl, bool) {
	for _, o := range d.Options {
		if o.Name == name {
			return o, true
		}
	}
	for _, o := range Common() {
		if o.Name == name {
			return o, true
		}
	}
	return OptionDecl{}, false
}

// OptionOr returns the value of an option, or its declared default.
func (d *Declaration) OptionOr(j *Job, name string) string {
	if v, ok := j.Option(name); ok {
		return v
	}
	o, _ := d.option(name)
	return o.Default
}

// nearest returns the option whose name is most like the one given, or "".
func (d *Declaration) nearest(name string) string {
	best, bestDistance := "", 3
	for _, o := range append(Common(), d.Options...) {
		if n := distance(name, o.Name); n < bestDistance {
			best, bestDistance = o.Name, n
		}
	}
	return best
}

// distance is the number of single-byte edits between two short names.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}

// convert checks a value against the option's kind and returns its canonical
// text, or what is wrong with it.
func (o *OptionDecl) convert(value string) (text, problem string) {
	switch o.Kind {
	case Int:
		n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		if err != nil {
			return "", fmt.Sprintf("--%s takes an integer, not %q", o.Name, value)
		}
		return strconv.FormatInt(n, 10), ""
	case Mode:
		mode, ok := parseMode(value)
		if !ok {
			return "", fmt.Sprintf("--%s takes octal permission bits such as 0640, not %q", o.Name, value)
		}
		return fmt.Sprintf("%04o", mode), ""
	case List:
		return strings.Join(strings.Fields(value), " "), ""
	}
	return value, ""
}

// parseMode reads permission bits. Octal digits are octal whatever they begin
// with; text that cannot be octal is a number that YAML would have decoded.
func parseMode(value string) (uint32, bool) {
	digits := strings.TrimPrefix(strings.TrimSpace(value), "0o")
	if n, err := strconv.ParseUint(digits, 8, 32); err == nil {
		return uint32(n), n <= 0o7777
	}
	n, err := strconv.ParseUint(digits, 0, 32)
	return uint32(n), err == nil && n <= 0o7777
}

// truth reads a flag as YAML 1.1 and Directord write it.
func truth(value string) (set, ok bool) {
	switch strings.ToLower(strings.TrimSpace(value)) {
	case "y", "yes", "t", "true", "on", "1":
		return true, true
	case "n", "no", "f", "false", "off", "0", "", "null", "~":
		return false, true
	}
	return false, false
}
