package verb

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"quorate/internal/job"
	"quorate/nodeagent/template"
)

func lineVerb() *Verb {
	return deciding(job.Declaration{
		Verb:    "LINE",
		Summary: "Keep a line, or a marked block of lines, in a file of the host.",
		Details: "A line that is there already is left where it is. Otherwise it takes the place of the last one that --regexp matches, " +
			"or is added after or before the last one that --after or --before matches, or at the end. " +
			"A block stands between two lines that name it by --marker, and is replaced as a whole. " +
			"Expressions are those of RE2. The file is replaced in one step and keeps its line endings, owner and mode.",
		Example:    "LINE: /etc/ssh/sshd_config --regexp '^#?PermitRootLogin ' --line 'PermitRootLogin no'",
		Text:       "one PATH",
		Positional: job.Paths,
		WordsMin:   1,
		WordsMax:   1,
		Options: append(ownership(),
			job.OptionDecl{Name: "line", Kind: job.Phrase, Help: "the line, without its end"},
			job.OptionDecl{Name: "block", Kind: job.Phrase, Help: "the lines of the block"},
			job.OptionDecl{Name: "marker", Kind: job.Phrase, Default: "default", Help: "the name of the block"},
			job.OptionDecl{Name: "comment", Kind: job.Phrase, Default: "#", Help: "what begins the lines around the block"},
			job.OptionDecl{Name: "regexp", Kind: job.Phrase, Help: "the line to replace, or with --absent the lines to take out"},
			job.OptionDecl{Name: "absent", Kind: job.Flag, Help: "take the line or the block out"},
			job.OptionDecl{Name: "after", Kind: job.Phrase, Help: "expression of the line to add after"},
			job.OptionDecl{Name: "before", Kind: job.Phrase, Help: "expression of the line to add before"},
			job.OptionDecl{Name: "first", Kind: job.Flag, Help: "add at the beginning of the file"},
			job.OptionDecl{Name: "create", Kind: job.Flag, Help: "make the file where there is none"}),
		Exclusive: [][]string{{"line", "block"}, {"line", "marker"}, {"block", "regexp"}, {"marker", "regexp"}, {"after", "before", "first"}},
		Check:     checkLine,
	}, decideLine)
}

func checkLine(p *job.Parsed) string {
	j := &p.Job
	absent := isSet(j, "absent")
	switch {
	case !absent && !isSet(j, "line") && !isSet(j, "block"):
		return "--line or --block is missing"
	case absent && !isSet(j, "line") && !isSet(j, "block") && !isSet(j, "regexp") && !isSet(j, "marker"):
		return "--absent needs --line, --regexp or --marker"
	}
	for _, name := range [...]string{"regexp", "after", "before"} {
		if text, ok := j.Option(name); ok && !template.Dynamic(text) {
			if _, err := regexp.Compile(text); err != nil {
				return fmt.Sprintf("--%s: %v", name, err)
			}
		}
	}
	return checkOwnership(p)
}

// decideLine finds out whether the file has to change.
func decideLine(_ context.Context, a *asked) ([]step, error) {
	e, err := lineEditOf(a)
	if err != nil {
		return nil, err
	}
	want, err := ownershipOf(a.job)
	if err != nil {
		return nil, err
	}
	file, err := editOf(a.path(a.words[0]), want)
	switch {
	case err != nil:
		return nil, err
	case !file.there && e.absent:
		return nil, nil
	case !file.there && !a.has("create"):
		return nil, fmt.Errorf("there is no file %s: --create makes it", file.path)
	}
	after, err := e.edit(string(file.before))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file.path, err)
	}
	return file.steps([]byte(after))
}

// A lineEdit is what LINE does to a text.
type lineEdit struct {
	line          string
	block         []string
	begin, end    string // the lines around the block; empty where it is about a line
	absent, first bool
	regexp        *regexp.Regexp
	after, before *regexp.Regexp
}

func lineEditOf(a *asked) (*lineEdit, error) {
	e := &lineEdit{absent: a.has("absent"), first: a.has("first"), line: a.option("line")}
	for name, to := range map[string]**regexp.Regexp{"regexp": &e.regexp, "after": &e.after, "before": &e.before} {
		if text, ok := a.job.Option(name); ok {
			re, err := regexp.Compile(text)
			if err != nil {
				return nil, fmt.Errorf("--%s: %w", name, err)
			}
			*to = re
		}
	}
	if a.has("block") || a.has("marker") {
		e.begin = a.option("comment") + " BEGIN quorate " + a.option("marker")
		e.end = a.option("comment") + " END quorate " + a.option("marker")
		if text := strings.TrimSuffix(a.option("block"), "\n"); text != "" {
			e.block = strings.Split(text, "\n")
		}
	}
	for _, text := range [...]string{e.line, e.begin} {
		if strings.ContainsAny(text, "\r\n") {
			return nil, errors.New("a line, a marker and a comment hold no line breaks: --block is for several lines")
		}
	}
	return e, nil
}

// edit returns the text with the line or block put in or taken out. A second edit
// of what it returns changes nothing.
func (e *lineEdit) edit(text string) (string, error) {
	lines, cr, last := rawLines(text)
	var err error
	var changed bool
	if e.begin != "" {
		lines, changed, err = e.editBlock(lines, cr)
	} else {
		lines, changed = e.editLine(lines, cr)
	}
	if err != nil || !changed {
		return text, err
	}
	if len(lines) == 0 {
		return "", nil
	}
	out := strings.Join(lines, "\n")
	if last || bare(lines[len(lines)-1]) == "" {
		return out + "\n", nil
	}
	return strings.TrimSuffix(out, cr), nil
}

// splitLines splits a text into lines, and returns how they end: as the first does. Where
// that is CR LF others may end in LF alone.
func splitLines(text string) (lines []string, ending string) {
	ending = "\n"
	if i := strings.IndexByte(text, '\n'); i > 0 && text[i-1] == '\r' {
		ending = "\r\n"
	}
	if text == "" {
		return nil, ending
	}
	lines = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if ending == "\r\n" {
		for i, l := range lines {
			lines[i] = strings.TrimSuffix(l, "\r")
		}
	}
	return lines, ending
}

// rawLines splits a text into lines without their line feeds. cr is what new lines
// have before theirs, as the first one of the text does, and last is whether the last
// line is ended. Lines may end in different ways, and keep that.
func rawLines(text string) (lines []string, cr string, last bool) {
	if text == "" {
		return nil, "", true
	}
	if i := strings.IndexByte(text, '\n'); i > 0 && text[i-1] == '\r' {
		cr = "\r"
	}
	body := strings.TrimSuffix(text, "\n")
	lines = strings.Split(body, "\n")
	if last = len(body) < len(text); !last {
		lines[len(lines)-1] += cr
	}
	return lines, cr, last
}

// bare is a line without its end.
func bare(line string) string { return strings.TrimRight(line, "\r") }

func (e *lineEdit) editLine(lines []string, cr string) ([]string, bool) {
	if e.absent {
		kept := lines[:0:0]
		for _, l := range lines {
			if matches := e.regexp != nil && e.regexp.MatchString(bare(l)) || e.regexp == nil && bare(l) == e.line; !matches {
				kept = append(kept, l)
			}
		}
		return kept, len(kept) != len(lines)
	}
	replace := -1
	for i, l := range lines {
		if bare(l) == e.line {
			return lines, false
		}
		if e.regexp != nil && e.regexp.MatchString(bare(l)) {
			replace = i
		}
	}
	if replace >= 0 {
		lines[replace] = e.line + cr
		return lines, true
	}
	return e.insert(lines, []string{e.line + cr}), true
}

// insert adds lines where the options say, at the end by default.
func (e *lineEdit) insert(lines, add []string) []string {
	at := len(lines)
	if e.first {
		at = 0
	}
	for i, l := range lines {
		switch {
		case e.after != nil && e.after.MatchString(bare(l)):
			at = i + 1
		case e.before != nil && e.before.MatchString(bare(l)):
			at = i
		}
	}
	out := append([]string(nil), lines[:at]...)
	return append(append(out, add...), lines[at:]...)
}

func (e *lineEdit) editBlock(lines []string, cr string) ([]string, bool, error) {
	begin, end := -1, -1
	for i, l := range lines {
		switch l := bare(l); {
		case l == e.begin && begin >= 0 || l == e.end && (begin < 0 || end >= 0):
			return nil, false, fmt.Errorf("line %d: the marks %q and %q do not stand around one block", i+1, e.begin, e.end)
		case l == e.begin:
			begin = i
		case l == e.end:
			end = i
		}
	}
	for _, l := range e.block {
		if l := bare(l); l == e.begin || l == e.end {
			return nil, false, errors.New("the block holds its own marks")
		}
	}
	block := append(append([]string{e.begin}, e.block...), e.end)
	for i := range block {
		block[i] = bare(block[i]) + cr
	}
	switch {
	case begin >= 0 && end < 0:
		return nil, false, fmt.Errorf("line %d: the block that begins here does not end", begin+1)
	case begin < 0 && e.absent:
		return lines, false, nil
	case begin < 0:
		return e.insert(lines, block), true, nil
	}
	rest := append([]string(nil), lines[:begin]...)
	if !e.absent {
		if slices.EqualFunc(lines[begin:end+1], block, func(a, b string) bool { return bare(a) == bare(b) }) {
			return lines, false, nil
		}
		rest = append(rest, block...)
	}
	return append(rest, lines[end+1:]...), true, nil
}
