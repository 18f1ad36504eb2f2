package template

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind uint8

const (
	kData kind = iota
	kVarBegin
	kVarEnd
	kBlockBegin
	kBlockEnd
	kName
	kString
	kInteger
	kFloat
	kOperator
	kEOF
)

type token struct {
	kind kind
	text string // of a string: its content
	line int
}

func (t token) String() string {
	switch t.kind {
	case kEOF:
		return "end of template"
	case kVarEnd:
		return "end of print statement"
	case kBlockEnd:
		return "end of statement block"
	case kString:
		return "string"
	}
	return "'" + t.text + "'"
}

var (
	reRaw     = regexp.MustCompile(`^\{%[-+]?\s*raw\s*(-%\}\s*|%\})`)
	reEndRaw  = regexp.MustCompile(`\{%([-+]?)\s*endraw\s*(-%\}\s*|\+%\}|%\})`)
	reFloat   = regexp.MustCompile(`^(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?[eE][+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)`)
	reInteger = regexp.MustCompile(`^(?:0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0[xX](?:_?[0-9a-fA-F])+|[1-9](?:_?\d)*|0(?:_?0)*)`)
)

// operators, the longest first.
var operators = [...]string{"//", "**", "==", "!=", ">=", "<=",
	"+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";"}

type lexer struct {
	src  string
	pos  int
	line int
	toks []token
}

// lex splits a template into tokens. Line breaks of any kind become "\n".
func lex(src string) ([]token, error) {
	l := &lexer{src: strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(src), line: 1}
	for l.pos < len(l.src) {
		if err := l.next(); err != nil {
			return nil, err
		}
	}
	l.add(kEOF, "")
	return l.toks, nil
}

func (l *lexer) add(k kind, text string) { l.toks = append(l.toks, token{k, text, l.line}) }

func (l *lexer) fail(format string, args ...any) error {
	return &Error{Line: l.line, Err: fmt.Errorf(format, args...)}
}

// advance passes n bytes and counts their lines.
func (l *lexer) advance(n int) {
	l.line += strings.Count(l.src[l.pos:l.pos+n], "\n")
	l.pos += n
}

func (l *lexer) skipSpace() {
	rest := l.src[l.pos:]
	l.advance(len(rest) - len(strings.TrimLeftFunc(rest, unicode.IsSpace)))
}

// next reads the data before the next tag, and the tag.
func (l *lexer) next() error {
	rest := l.src[l.pos:]
	begin := -1
	for i := 0; i+1 < len(rest); i++ {
		if rest[i] == '{' && (rest[i+1] == '{' || rest[i+1] == '%' || rest[i+1] == '#') {
			begin = i
			break
		}
	}
	if begin < 0 {
		l.add(kData, rest)
		l.advance(len(rest))
		return nil
	}
	data := rest[:begin]
	if begin+2 < len(rest) && rest[begin+2] == '-' {
		data = strings.TrimRightFunc(data, unicode.IsSpace)
	}
	if data != "" {
		l.add(kData, data)
	}
	l.advance(begin)
	tag := rest[begin:]
	switch {
	case tag[1] == '#':
		return l.comment()
	case tag[1] == '{':
		return l.expression(kVarBegin, kVarEnd, "}}")
	}
	if m := reRaw.FindString(tag); m != "" {
		return l.raw(len(m))
	}
	return l.expression(kBlockBegin, kBlockEnd, "%}")
}

func (l *lexer) comment() error {
	end := strings.Index(l.src[l.pos+2:], "#}")
	if end < 0 {
		return l.fail("missing end of comment tag")
	}
	strip := l.src[l.pos+1+end] == '-' && end > 0 || end > 0 && l.src[l.pos+2+end-1] == '-'
	l.advance(2 + end + 2)
	if strip {
		l.skipSpace()
	}
	return nil
}

func (l *lexer) raw(n int) error {
	l.advance(n)
	rest := l.src[l.pos:]
	m := reEndRaw.FindStringSubmatchIndex(rest)
	if m == nil {
		return l.fail("missing end of raw directive")
	}
	data := rest[:m[0]]
	if rest[m[2]:m[3]] == "-" {
		data = strings.TrimRightFunc(data, unicode.IsSpace)
	}
	l.add(kData, data)
	l.advance(m[1])
	return nil
}

// expression reads the tokens of a tag up to its end. An end inside of brackets
// is not one.
func (l *lexer) expression(begin, end kind, closing string) error {
	l.add(begin, "")
	l.pos += 2
	if l.pos < len(l.src) && (l.src[l.pos] == '-' || l.src[l.pos] == '+' && begin == kBlockBegin) {
		l.pos++
	}
	var brackets []byte
	for {
		l.skipSpace()
		rest := l.src[l.pos:]
		if rest == "" {
			return l.fail("unexpected end of template, '%s' is missing", closing)
		}
		if len(brackets) == 0 {
			if n, strip := closes(rest, closing); n > 0 {
				l.add(end, "")
				l.pos += n
				if strip {
					l.skipSpace()
				}
				return nil
			}
		}
		if err := l.token(rest, &brackets); err != nil {
			return err
		}
	}
}

// closes reports how long the end of a tag at the start of s is, and whether it
// strips what follows.
func closes(s, closing string) (n int, strip bool) {
	switch {
	case strings.HasPrefix(s, closing):
		return 2, false
	case strings.HasPrefix(s, "-"+closing):
		return 3, true
	case strings.HasPrefix(s, "+"+closing) && closing == "%}":
		return 3, false
	}
	return 0, false
}

func (l *lexer) token(rest string, brackets *[]byte) error {
	r, _ := utf8.DecodeRuneInString(rest)
	switch {
	case r == '\'' || r == '"':
		return l.string(rest)
	case r >= '0' && r <= '9':
		return l.number(rest)
	case r == '_' || unicode.IsLetter(r):
		n := strings.IndexFunc(rest, func(r rune) bool {
			return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.Mn, r)
		})
		if n < 0 {
			n = len(rest)
		}
		l.add(kName, rest[:n])
		l.pos += n
		return nil
	}
	for _, op := range operators {
		if !strings.HasPrefix(rest, op) {
			continue
		}
		if c := op[0]; strings.IndexByte("([{", c) >= 0 {
			*brackets = append(*brackets, c)
		} else if i := strings.IndexByte(")]}", c); i >= 0 {
			n := len(*brackets)
			if n == 0 || (*brackets)[n-1] != "([{"[i] {
				return l.fail("unexpected '%s'", op)
			}
			*brackets = (*brackets)[:n-1]
		}
		l.add(kOperator, op)
		l.pos += len(op)
		return nil
	}
	return l.fail("unexpected char %q", r)
}

func (l *lexer) number(rest string) error {
	afterDot := len(l.toks) > 0 && l.toks[len(l.toks)-1].text == "." && l.pos > 0 && l.src[l.pos-1] == '.'
	if m := reFloat.FindString(rest); m != "" && !afterDot {
		l.add(kFloat, m)
		l.pos += len(m)
		return nil
	}
	m := reInteger.FindString(rest)
	if m == "" {
		return l.fail("unexpected char %q", rest[0])
	}
	l.add(kInteger, m)
	l.pos += len(m)
	return nil
}

func (l *lexer) string(rest string) error {
	quote := rest[0]
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case quote:
			text, err := unescape(rest[1:i])
			if err != nil {
				return l.fail("%v", err)
			}
			l.add(kString, text)
			l.advance(i + 1)
			return nil
		}
	}
	return l.fail("unexpected char %q", rune(quote))
}
