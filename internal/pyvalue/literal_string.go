package pyvalue

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// strings reads one or more string literals that stand next to each other.
func (p *literal) strings() (Value, error) {
	var b strings.Builder
	for count := 0; ; count++ {
		c := p.peek()
		start := p.i
		raw := false
		switch {
		case c == '\'' || c == '"':
		case (c|0x20 == 'r' || c|0x20 == 'u') && p.i+1 < len(p.s) && (p.s[p.i+1] == '\'' || p.s[p.i+1] == '"'):
			raw = c|0x20 == 'r'
			p.i++
		case count > 0 && !identifier(c):
			p.i = start
			return Str(b.String()), nil
		default: // bytes, f-strings, or a name
			return nil, ErrLiteral
		}
		if err := p.string(&b, raw); err != nil {
			return nil, err
		}
	}
}

func (p *literal) string(b *strings.Builder, raw bool) error {
	quote := p.s[p.i : p.i+1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(p.s[p.i:], triple) {
		quote = triple
	}
	p.i += len(quote)
	for p.i < len(p.s) {
		c := p.s[p.i]
		switch {
		case strings.HasPrefix(p.s[p.i:], quote):
			p.i += len(quote)
			return nil
		case c == '\n' && len(quote) == 1:
			return ErrLiteral
		case c == '\\' && p.i+1 < len(p.s) && raw:
			b.WriteString(p.s[p.i : p.i+2])
			p.i += 2
		case c == '\\':
			text, n, ok := Unescape(p.s[p.i:])
			if !ok {
				return ErrLiteral
			}
			b.WriteString(text)
			p.i += n
		default:
			b.WriteByte(c)
			p.i++
		}
	}
	return ErrLiteral
}

// Unescape reads the escape sequence that s begins with, and returns the length
// of its source. Named characters (\N) are not known and are not ok.
func Unescape(s string) (text string, n int, ok bool) {
	if len(s) < 2 {
		return "", 0, false
	}
	if simple := strings.IndexByte("\\'\"abfnrtv\n", s[1]); simple >= 0 {
		return [...]string{"\\", "'", "\"", "\a", "\b", "\f", "\n", "\r", "\t", "\v", ""}[simple], 2, true
	}
	switch c := s[1]; {
	case c >= '0' && c <= '7':
		n := 2
		for n < 4 && n < len(s) && s[n] >= '0' && s[n] <= '7' {
			n++
		}
		r, _ := strconv.ParseUint(s[1:n], 8, 32)
		return string(rune(r)), n, true
	case c == 'x' || c == 'u' || c == 'U':
		size := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
		if len(s) < 2+size {
			return "", 0, false
		}
		r, err := strconv.ParseUint(s[2:2+size], 16, 32)
		if err != nil || !utf8.ValidRune(rune(r)) || r > utf8.MaxRune {
			return "", 0, false
		}
		return string(rune(r)), 2 + size, true
	case c == 'N':
		return "", 0, false
	}
	return s[:1], 1, true // an unknown escape keeps its backslash
}
