package planner

import (
	"regexp"
	"strings"
)

// A matcher holds a text against one of the patterns of names.
type matcher func(string) bool

// The bytes that names are made of.
const (
	letters   = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits    = "0123456789"
	nameBytes = letters + digits + ".-_"
)

// matcherOf returns a matcher for the pattern. Names are held against patterns
// some ten times per file, so the known ones are looked up byte by byte, which
// is an order of magnitude faster than the regular expressions that editors get.
func matcherOf(pattern string) matcher {
	switch pattern {
	case "":
		return func(string) bool { return true }
	case PatternName:
		return bytesOf(nameBytes)
	case PatternHost:
		return bytesOf(letters[:26] + digits + ".-")
	case PatternServiceRef:
		return bytesOf(nameBytes + " ")
	case PatternRole:
		first, rest := bytesOf(letters+digits), bytesOf(nameBytes+" ")
		return func(s string) bool { return s != "" && first(s[:1]) && rest(s) }
	case PatternVersion:
		return isVersion
	}
	return regexp.MustCompile(pattern).MatchString
}

// bytesOf matches one or more bytes out of a set.
func bytesOf(set string) matcher {
	var allowed [256]bool
	for i := range len(set) {
		allowed[set[i]] = true
	}
	return func(s string) bool {
		for i := range len(s) {
			if !allowed[s[i]] {
				return false
			}
		}
		return s != ""
	}
}

func isVersion(s string) bool {
	for {
		part, rest, more := strings.Cut(s, ".")
		if part == "" || strings.Trim(part, digits) != "" {
			return false
		}
		if !more {
			return true
		}
		s = rest
	}
}
