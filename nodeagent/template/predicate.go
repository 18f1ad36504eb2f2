package template

import (
	"strings"
	"unicode"

	"quorate/internal/pyvalue"
)

// strPredicate returns one of the methods of text that answer yes or no.
func strPredicate(id string) (strCall, bool) {
	check, ok := map[string]func(string) bool{
		"isalpha":      every(unicode.IsLetter),
		"isdigit":      every(unicode.IsDigit),
		"isdecimal":    every(unicode.IsDigit),
		"isnumeric":    every(unicode.IsNumber),
		"isalnum":      every(func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }),
		"isspace":      every(unicode.IsSpace),
		"isascii":      func(s string) bool { return strings.IndexFunc(s, func(r rune) bool { return r > 127 }) < 0 },
		"isprintable":  func(s string) bool { return strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 },
		"islower":      func(s string) bool { return strings.ToLower(s) == s && strings.ToUpper(s) != s },
		"isupper":      func(s string) bool { return strings.ToUpper(s) == s && strings.ToLower(s) != s },
		"istitle":      func(s string) bool { return title(s, unicode.IsLetter) == s && strings.ToLower(s) != s },
		"isidentifier": isIdentifier,
	}[id]
	if !ok {
		return nil, false
	}
	return func(a *arguments, s string) (pyvalue.Value, error) {
		_, err := a.bind("")
		return pyvalue.Bool(check(s)), err
	}, true
}

func every(match func(rune) bool) func(string) bool {
	return func(s string) bool {
		return s != "" && strings.IndexFunc(s, func(r rune) bool { return !match(r) }) < 0
	}
}

func isIdentifier(s string) bool {
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return s != ""
}
