package job

import (
	"errors"
	"strings"
)

// A token is a stretch of a job text without blanks, by its position in the text.
type token struct {
	text       string
	start, end int
}

func blank(c byte) bool {
	switch c {
	case ' ', '\t', '\n', '\r', '\v', '\f':
		return true
	}
	return false
}

// tokenise splits a text at blanks only: quotes have no meaning at this level.
// With templates, a template expression is never split, so that a verb of single
// words can take one that holds blanks.
func tokenise(text string, templates bool) []token {
	var out []token
	for i := 0; i < len(text); {
		if blank(text[i]) {
			i++
			continue
		}
		start := i
		for i < len(text) && !blank(text[i]) {
			if n := templateLength(text[i:]); templates && n > 0 {
				i += n
				continue
			}
			i++
		}
		out = append(out, token{text: text[start:i], start: start, end: i})
	}
	return out
}

// templateLength returns the length of the template expression that s begins
// with, or 0.
func templateLength(s string) int {
	for _, pair := range [...][2]string{{"{{", "}}"}, {"{%", "%}"}} {
		if strings.HasPrefix(s, pair[0]) {
			if end := strings.Index(s, pair[1]); end > 0 {
				return end + len(pair[1])
			}
		}
	}
	return 0
}

// joinTokens rebuilds the text of tokens that follow each other in text. A line
// break together with the blanks around it becomes one space, as does a gap that
// something was taken out of; other blanks stay, because they may be quoted.
func joinTokens(text string, toks []token) string {
	var b strings.Builder
	for i, t := range toks {
		if i > 0 {
			gap := text[toks[i-1].end:t.start]
			if strings.Trim(gap, " \t\v\f") != "" {
				gap = " "
			}
			b.WriteString(gap)
		}
		b.WriteString(t.text)
	}
	return b.String()
}

// SplitWords splits the text of a verb that takes single words. Template expressions
// are not split.
func SplitWords(text string) []string {
	toks := tokenise(text, true)
	out := make([]string, len(toks))
	for i, t := range toks {
		out[i] = t.text
	}
	return out
}

// SplitKeyValue splits the text of a verb that takes a key and a value.
func SplitKeyValue(text string) (key, value string) {
	key, value, _ = strings.Cut(text, " ")
	return key, strings.TrimLeft(value, " \t")
}

var (
	errQuote  = errors.New("a quote is not closed")
	errEscape = errors.New("nothing follows the last backslash")
)

// SplitPaths splits the text of a verb that takes paths, by the rules of a POSIX
// shell: quotes and backslashes keep blanks together. Template expressions
// outside of quotes are not split.
func SplitPaths(text string) ([]string, error) {
	var (
		out  []string
		word strings.Builder
		open bool
	)
	for i := 0; i < len(text); {
		c := text[i]
		if n := templateLength(text[i:]); n > 0 {
			word.WriteString(text[i : i+n])
			open = true
			i += n
			continue
		}
		switch {
		case blank(c):
			if open {
				out = append(out, word.String())
				word.Reset()
				open = false
			}
			i++
		case c == '\\':
			if i+1 == len(text) {
				return nil, errEscape
			}
			word.WriteByte(text[i+1])
			open = true
			i += 2
		case c == '\'' || c == '"':
			n, err := quoted(&word, text[i:])
			if err != nil {
				return nil, err
			}
			open = true
			i += n
		default:
			word.WriteByte(c)
			open = true
			i++
		}
	}
	if open {
		out = append(out, word.String())
	}
	return out, nil
}

// quoted appends the content of the quoted string that s begins with, and
// returns the length of its source.
func quoted(word *strings.Builder, s string) (int, error) {
	quote := s[0]
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == quote:
			return i + 1, nil
		case quote == '"' && s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
			word.WriteByte(s[i])
		default:
			word.WriteByte(s[i])
		}
	}
	return 0, errQuote
}
