package yaml11

import "strings"

// truths are the words of booleans, in lower case.
var truths = map[string]bool{"yes": true, "true": true, "on": true, "no": false, "false": false, "off": false}

// Resolve is the type of a plain scalar by the rules of PyYAML's resolver. They
// are YAML 1.1's with its own exceptions: a float needs a dot, 0o755 is text.
func Resolve(s string) Tag {
	if s == "" {
		return Null
	}
	switch c := s[0]; {
	case c == '~' || c == 'n' || c == 'N' || c == 'y' || c == 'Y' || c == 't' || c == 'T' || c == 'f' || c == 'F' || c == 'o' || c == 'O':
		return resolveWord(s)
	case c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.':
		switch {
		case isFloat(s):
			return Float
		case isInt(s):
			return Int
		case isTimestamp(s):
			return Timestamp
		}
	}
	return Str
}

func resolveWord(s string) Tag {
	switch s {
	case "~", "null", "Null", "NULL":
		return Null
	case "yes", "Yes", "YES", "no", "No", "NO", "true", "True", "TRUE", "false", "False", "FALSE", "on", "On", "ON", "off", "Off", "OFF":
		return Bool
	}
	return Str
}

// unsigned cuts one sign off.
func unsigned(s string) string {
	if s != "" && (s[0] == '-' || s[0] == '+') {
		return s[1:]
	}
	return s
}

// spanOf is the length of the longest prefix of bytes out of set.
func spanOf(s, set string) int {
	for i := 0; i < len(s); i++ {
		if strings.IndexByte(set, s[i]) < 0 {
			return i
		}
	}
	return len(s)
}

const (
	digits       = "0123456789"
	digitsSpaced = digits + "_"
)

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isInt matches 0b, octal with a leading 0, decimal, 0x and base 60. A literal
// without a digit, such as 0x_, is text: PyYAML dies of it.
func isInt(s string) bool {
	s = unsigned(s)
	if s == "" || !isDigit(s[0]) {
		return false
	}
	if s[0] != '0' {
		return spanOf(s, digitsSpaced) == len(s) || isBase60(s)
	}
	switch {
	case len(s) == 1:
		return true
	case s[1] == 'b':
		return len(s) > 2 && spanOf(s[2:], "01_") == len(s)-2 && strings.Trim(s[2:], "_") != ""
	case s[1] == 'x':
		return len(s) > 2 && spanOf(s[2:], "0123456789abcdefABCDEF_") == len(s)-2 && strings.Trim(s[2:], "_") != ""
	}
	return spanOf(s, "01234567_") == len(s)
}

// isBase60 matches [1-9][0-9_]*(:[0-5]?[0-9])+
func isBase60(s string) bool {
	if s == "" || s[0] == '0' {
		return false
	}
	rest, ok := cutBase60(s)
	return ok && rest == ""
}

// cutBase60 takes [0-9][0-9_]*(:[0-5]?[0-9])+ off the front, at least one colon.
func cutBase60(s string) (rest string, ok bool) {
	if s == "" || !isDigit(s[0]) {
		return s, false
	}
	s = s[spanOf(s, digitsSpaced):]
	groups := 0
	for strings.HasPrefix(s, ":") {
		n := spanOf(s[1:], digits)
		if n == 0 || n > 2 || n == 2 && s[1] > '5' {
			return s, false
		}
		s = s[1+n:]
		groups++
	}
	return s, groups > 0
}

func isFloat(s string) bool {
	switch s {
	case ".nan", ".NaN", ".NAN":
		return true
	}
	u := unsigned(s)
	switch u {
	case "", ".":
		return false
	case ".inf", ".Inf", ".INF":
		return true
	}
	if u[0] == '.' { // no sign before a bare fraction
		return len(u) == len(s) && isDigit(u[1]) && isExponent(u[1+spanOf(u[1:], digitsSpaced):])
	}
	if !isDigit(u[0]) {
		return false
	}
	if i := spanOf(u, digitsSpaced); i < len(u) && u[i] == '.' {
		u = u[i+1:]
		return isExponent(u[spanOf(u, digitsSpaced):])
	}
	rest, ok := cutBase60(u)
	return ok && strings.HasPrefix(rest, ".") && spanOf(rest[1:], digitsSpaced) == len(rest)-1
}

// isExponent matches ([eE][-+][0-9]+)? whole.
func isExponent(s string) bool {
	if s == "" {
		return true
	}
	return len(s) > 2 && (s[0] == 'e' || s[0] == 'E') && (s[1] == '-' || s[1] == '+') && spanOf(s[2:], digits) == len(s)-2
}

func isTimestamp(s string) bool {
	_, ok := cutTimestamp(s)
	return ok
}
