package template

import (
	"strings"
	"unicode/utf8"
)

// pad fills a text up to a width: '<' after it, '>' before it, '=' after its
// sign, '^' on both sides as Python's str.center does.
func (r *renderer) pad(s string, width int, fill string, align byte) (string, error) {
	missing := width - utf8.RuneCountInString(s)
	if missing <= 0 {
		return s, nil
	}
	if missing > AllocatedBytesMax {
		return "", r.charge(-1)
	}
	if err := r.charge(len(s) + missing*len(fill)); err != nil {
		return "", err
	}
	switch align {
	case '<':
		return s + strings.Repeat(fill, missing), nil
	case '>':
		return strings.Repeat(fill, missing) + s, nil
	case '=':
		if s != "" && (s[0] == '-' || s[0] == '+') {
			return s[:1] + strings.Repeat(fill, missing) + s[1:], nil
		}
		return strings.Repeat(fill, missing) + s, nil
	}
	left := missing/2 + missing&width&1
	return strings.Repeat(fill, left) + s + strings.Repeat(fill, missing-left), nil
}
