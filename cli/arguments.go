package cli

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	cli "github.com/urfave/cli/v2"
)

// flagToken matches what is meant as a flag. "-1" and "--stdout-arg x echo" (one
// word of the shell, as exec takes it) are not.
var flagToken = regexp.MustCompile(`^--?([a-zA-Z][a-zA-Z0-9-]*)(=(?s:.*))?$`)

// A level is one command of the command line with the flags given for it.
type level struct {
	name  string
	flags []cli.Flag
	given []string
}

// arrange puts flags where the flag parser wants them: each behind the command
// that declares it and before the positional arguments. So they may be given
// anywhere. Unknown commands and flags are refused here, with a suggestion.
func arrange(app *cli.App, args []string) ([]string, error) {
	a := arranging{levels: []level{{name: args[0], flags: app.Flags}}, below: app.Commands, line: "quorate"}
	rest := args[1:]
	if len(rest) > 0 && rest[0] == "help" {
		rest = append(slices.Clone(rest[1:]), "--help")
	}
	if len(rest) > 0 && rest[0] == "--version" {
		rest = append([]string{"version"}, rest[1:]...)
	}
	for len(rest) > 0 {
		var err error
		if rest, err = a.take(rest); err != nil {
			return nil, err
		}
	}
	if err := a.surplus(); err != nil {
		return nil, err
	}
	return a.result(), nil
}

// arranging is the command line as far as it has been read.
type arranging struct {
	levels []level
	below  []*cli.Command // of the innermost command
	takes  string         // the positional arguments of the innermost command, as its help names them
	line   string         // the command as typed
	words  []string       // positional
	help   bool           // asked for
	raw    bool           // the innermost command reads its arguments itself
}

// take reads one argument, or a flag with its value.
func (a *arranging) take(rest []string) ([]string, error) {
	token := rest[0]
	if a.raw {
		a.words = rest
		return nil, nil
	}
	if token == "--" {
		a.words = append(a.words, rest[1:]...)
		return nil, nil
	}
	if m := flagToken.FindStringSubmatch(token); m != nil {
		return a.flag(rest, m[1], m[2] != "")
	}
	if len(a.words) == 0 && len(a.below) > 0 {
		return rest[1:], a.descend(token)
	}
	a.words = append(a.words, token)
	return rest[1:], nil
}

func (a *arranging) descend(token string) error {
	for _, cmd := range a.below {
		if cmd.HasName(token) {
			a.levels = append(a.levels, level{name: cmd.Name, flags: cmd.Flags})
			a.below, a.takes, a.raw = cmd.Subcommands, cmd.ArgsUsage, cmd.SkipFlagParsing
			a.line += " " + cmd.Name
			return nil
		}
	}
	var names []string
	for _, cmd := range a.below {
		if !cmd.Hidden {
			names = append(names, cmd.Name)
		}
	}
	return unknown("command", token, names, a.line)
}

// flag files a flag under the innermost command that declares it, or under the
// program itself.
func (a *arranging) flag(rest []string, name string, inline bool) ([]string, error) {
	a.help = a.help || name == "help" || name == "h"
	candidates := []int{len(a.levels) - 1, 0}
	for _, at := range candidates {
		found := slices.IndexFunc(a.levels[at].flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
		if found < 0 && name != "help" && name != "h" {
			continue
		}
		if found < 0 || inline || !takesValue(a.levels[at].flags[found]) {
			a.levels[at].given = append(a.levels[at].given, rest[0])
			return rest[1:], nil
		}
		if len(rest) < 2 {
			return nil, usage(a.line+" --help", "the value of %s is missing", rest[0])
		}
		a.levels[at].given = append(a.levels[at].given, "--"+name+"="+rest[1])
		return rest[2:], nil
	}
	var names []string
	for _, at := range candidates {
		for _, f := range a.levels[at].flags {
			for _, n := range f.Names() {
				if len(n) > 1 {
					names = append(names, "--"+n)
				}
			}
		}
	}
	dashed := rest[0]
	if i := strings.IndexByte(dashed, '='); i >= 0 {
		dashed = dashed[:i]
	}
	return nil, unknown("flag", dashed, names, a.line)
}

// surplus refuses words that the command would not look at. The usual one is a
// second file behind -s, from a pattern that the shell has expanded.
func (a *arranging) surplus() error {
	if len(a.words) == 0 || a.takes != "" || a.help {
		return nil
	}
	hint := fmt.Sprintf("see %q", a.line+" --help")
	innermost := a.levels[len(a.levels)-1]
	if slices.ContainsFunc(innermost.flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), "services") }) {
		hint = "-s, -i and -r take one path each, a file or a directory: name the directory to take all files in it; " + hint
	}
	return fail(exitUsage, fmt.Errorf("%s: unexpected argument %q", a.line, a.words[0]), hint)
}

func takesValue(f cli.Flag) bool {
	doc, ok := f.(cli.DocGenerationFlag)
	return ok && doc.TakesValue()
}

func (a *arranging) result() []string {
	var out []string
	for _, l := range a.levels {
		out = append(append(out, l.name), l.given...)
	}
	if a.raw {
		return append(out, a.words...)
	}
	if len(a.words) > 0 && !a.help { // behind --help the parser would take a word for a topic
		out = append(append(out, "--"), a.words...)
	}
	return out
}

// unknown refuses a word and names the nearest that exists.
func unknown(what, word string, known []string, line string) error {
	help := fmt.Sprintf("see %q", line+" --help")
	if near := nearest(word, known); near != "" {
		help = fmt.Sprintf("did you mean %q? %s", near, help)
	}
	return fail(exitUsage, fmt.Errorf("%s: unknown %s %q", line, what, word), help)
}

// nearest is the known word with the fewest edits from word, if they are few.
func nearest(word string, known []string) string {
	best, bestEdits := "", len(word)/3+2
	for _, k := range known {
		if n := edits(word, k); n < bestEdits {
			best, bestEdits = k, n
		}
	}
	return best
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
