package template

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"quorate/internal/pyvalue"
)

// A formatSpec is Python's mini-language of formatting.
type formatSpec struct {
	fill      string
	align     byte // < > ^ = or 0
	sign      byte // + blank or 0
	alternate bool
	zero      bool
	width     int
	group     byte // , _ or 0
	precision int  // or -1
	digits    int  // least digits of an integer, for % formatting
	verb      byte // or 0
}

// format is Python's str.format.
func (r *renderer) format(s string, a *arguments) (string, error) {
	var b strings.Builder
	auto := 0
	for i := 0; i < len(s); {
		switch {
		case strings.HasPrefix(s[i:], "{{") || strings.HasPrefix(s[i:], "}}"):
			b.WriteByte(s[i])
			i += 2
		case s[i] == '}':
			return "", errors.New("single '}' encountered in format string")
		case s[i] == '{':
			end := fieldEnd(s[i:])
			if end < 0 {
				return "", errors.New("expected '}' before end of string")
			}
			text, err := r.replacement(s[i+1:i+end], a, &auto, 0)
			if err != nil {
				return "", err
			}
			b.WriteString(text)
			i += end + 1
		default:
			b.WriteByte(s[i])
			i++
		}
		if b.Len() > OutputBytesMax {
			return "", r.charge(-1)
		}
	}
	return b.String(), r.charge(b.Len())
}

// fieldEnd returns where the brace that s begins with closes, or -1.
func fieldEnd(s string) int {
	open := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			open++
		case '}':
			if open--; open == 0 {
				return i
			}
		}
	}
	return -1
}

// replacement formats one field: name, conversion and specification.
func (r *renderer) replacement(field string, a *arguments, auto *int, depth int) (string, error) {
	if depth > 1 {
		return "", errors.New("max string recursion exceeded")
	}
	name, spec, _ := strings.Cut(field, ":")
	name, conversion, _ := strings.Cut(name, "!")
	v, err := r.fieldValue(name, a, auto)
	if err != nil {
		return "", err
	}
	for {
		open := strings.IndexByte(spec, '{')
		if open < 0 {
			break
		}
		end := fieldEnd(spec[open:])
		if end < 0 {
			return "", errors.New("expected '}' before end of string")
		}
		text, err := r.replacement(spec[open+1:open+end], a, auto, depth+1)
		if err != nil {
			return "", err
		}
		if strings.ContainsAny(text, "{}") {
			return "", errors.New("invalid format specifier")
		}
		spec = spec[:open] + text + spec[open+end+1:]
	}
	switch conversion {
	case "s", "r":
		text, err := r.str(v)
		if conversion == "r" && err == nil {
			text, err = r.repr(v)
		}
		if err != nil {
			return "", err
		}
		v = pyvalue.Str(text)
	case "":
	default:
		return "", fmt.Errorf("unknown conversion specifier '%s'", conversion)
	}
	return r.formatValue(v, spec)
}

// fieldValue resolves a field's name: an argument, then attributes and items.
func (r *renderer) fieldValue(name string, a *arguments, auto *int) (pyvalue.Value, error) {
	head, rest := name, ""
	if i := strings.IndexAny(name, ".["); i >= 0 {
		head, rest = name[:i], name[i:]
	}
	_, err := strconv.Atoi(head)
	manual := err == nil
	if head == "" && *auto < 0 || manual && *auto > 0 {
		return nil, errors.New("cannot switch between automatic and manual field numbering")
	}
	if manual {
		*auto = -1
	}
	if head == "" {
		head = strconv.Itoa(*auto)
		*auto++
	}
	v, err := formatArgument(head, a)
	if err != nil {
		return nil, err
	}
	for rest != "" {
		var key pyvalue.Value
		if rest[0] == '.' {
			end := strings.IndexAny(rest[1:], ".[")
			if end < 0 {
				end = len(rest) - 1
			}
			found, ok := attributeOf(v, rest[1:end+1])
			if !ok {
				return nil, fmt.Errorf("'%s' object has no attribute '%s'", v.Type(), rest[1:end+1])
			}
			v, rest = found, rest[end+1:]
			continue
		}
		end := strings.IndexByte(rest, ']')
		if rest[0] != '[' || end < 0 {
			return nil, errors.New("missing ']' in format string")
		}
		key = pyvalue.Str(rest[1:end])
		if n, err := strconv.Atoi(rest[1:end]); err == nil {
			key = pyvalue.Int(n)
		}
		if v, err = subscript(v, key); err != nil {
			return nil, err
		}
		rest = rest[end+1:]
	}
	return v, defined(v)
}

func formatArgument(head string, a *arguments) (pyvalue.Value, error) {
	if i, err := strconv.Atoi(head); err == nil {
		if i < 0 || i >= len(a.pos) {
			return nil, fmt.Errorf("replacement index %d out of range for positional args tuple", i)
		}
		return a.pos[i], nil
	}
	for i, id := range a.names {
		if id == head {
			return a.values[i], nil
		}
	}
	return nil, fmt.Errorf("key '%s' does not exist", head)
}

// formatValue formats a value by a specification.
func (r *renderer) formatValue(v pyvalue.Value, text string) (string, error) {
	if text == "" {
		return r.str(v)
	}
	spec, err := parseSpec(text)
	if err != nil {
		return "", err
	}
	_, isBool := v.(pyvalue.Bool)
	if _, ok := pyvalue.ToFloat(v); ok && !(isBool && spec.verb == 0) {
		if spec.align == 0 {
			spec.align = '>'
			if spec.zero {
				spec.align, spec.fill = '=', "0"
			}
		}
		return r.formatNumber(v, spec)
	}
	s, ok := v.(pyvalue.Str)
	if !ok && !isBool {
		return "", fmt.Errorf("unsupported format string passed to %s.__format__", v.Type())
	}
	if spec.verb != 0 && spec.verb != 's' {
		return "", fmt.Errorf("unknown format code '%c' for object of type '%s'", spec.verb, v.Type())
	}
	if !ok {
		s = pyvalue.Str(pyvalue.String(v))
	}
	if spec.align == '=' || spec.sign != 0 {
		return "", errors.New("'=' alignment or sign not allowed in string format specifier")
	}
	if spec.zero && spec.align == 0 {
		spec.fill = "0"
	}
	if spec.align == 0 {
		spec.align = '<'
	}
	return r.formatText(string(s), spec)
}

func parseSpec(s string) (formatSpec, error) {
	spec := formatSpec{fill: " ", precision: -1}
	if _, n := utf8.DecodeRuneInString(s); n < len(s) && strings.IndexByte("<>^=", s[n]) >= 0 {
		spec.fill, spec.align = s[:n], s[n]
		s = s[n+1:]
	} else if strings.IndexByte("<>^=", s[0]) >= 0 {
		spec.align = s[0]
		s = s[1:]
	}
	take := func(chars string) byte {
		if s != "" && strings.IndexByte(chars, s[0]) >= 0 {
			c := s[0]
			s = s[1:]
			return c
		}
		return 0
	}
	if spec.sign = take("+- "); spec.sign == '-' {
		spec.sign = 0
	}
	spec.alternate = take("#") != 0
	spec.zero = take("0") != 0
	digits := func() int {
		n := 0
		for s != "" && s[0] >= '0' && s[0] <= '9' && n <= OutputBytesMax {
			n = n*10 + int(s[0]-'0')
			s = s[1:]
		}
		return n
	}
	spec.width = digits()
	spec.group = take(",_")
	if take(".") != 0 {
		if s == "" || s[0] < '0' || s[0] > '9' {
			return spec, errors.New("format specifier missing precision")
		}
		spec.precision = digits()
	}
	spec.verb = take("bcdeEfFgGnosxX%")
	if s != "" {
		return spec, errors.New("invalid format specifier")
	}
	return spec, nil
}

func (r *renderer) formatText(s string, spec formatSpec) (string, error) {
	if runes := []rune(s); spec.precision >= 0 && spec.precision < len(runes) {
		s = string(runes[:spec.precision])
	}
	return r.align(s, spec)
}

// align pads to the width; centring leaves the odd blank on the right.
func (r *renderer) align(s string, spec formatSpec) (string, error) {
	if spec.align != '^' {
		return r.pad(s, spec.width, spec.fill, spec.align)
	}
	n := utf8.RuneCountInString(s)
	left, err := r.pad(s, n+max(0, spec.width-n)/2, spec.fill, '>')
	if err != nil {
		return "", err
	}
	return r.pad(left, spec.width, spec.fill, '<')
}

// formatNumber formats an integer or a float.
func (r *renderer) formatNumber(v pyvalue.Value, spec formatSpec) (string, error) {
	if spec.precision > 10_000 || spec.digits > 10_000 {
		return "", errors.New("precision too big")
	}
	var text string
	var err error
	_, isFloat := v.(pyvalue.Float)
	if isFloat || strings.IndexByte("eEfFgG%", spec.verb) >= 0 && spec.verb != 0 {
		f, _ := pyvalue.ToFloat(v)
		text, err = floatText(f, spec)
	} else {
		n, _ := pyvalue.ToBig(v)
		text, err = integerText(n, spec)
	}
	if err != nil {
		return "", err
	}
	if text[0] != '-' && spec.sign != 0 {
		text = string(spec.sign) + text
	}
	if spec.align == '=' && strings.ContainsAny(text, "xXob") && spec.alternate {
		return r.padPrefixed(text, spec)
	}
	return r.align(text, spec)
}

// padPrefixed fills between a prefix such as 0x and the digits.
func (r *renderer) padPrefixed(text string, spec formatSpec) (string, error) {
	n := strings.IndexByte(text, '0') + 2
	digits, err := r.pad(text[n:], spec.width-n, spec.fill, '>')
	return text[:n] + digits, err
}

func integerText(n *big.Int, spec formatSpec) (string, error) {
	if spec.precision >= 0 {
		return "", errors.New("precision not allowed in integer format specifier")
	}
	base, prefix := 10, ""
	switch spec.verb {
	case 'x', 'X':
		base, prefix = 16, "0"+string(spec.verb)
	case 'o':
		base, prefix = 8, "0o"
	case 'b':
		base, prefix = 2, "0b"
	case 'c':
		if !n.IsInt64() || n.Int64() < 0 || n.Int64() > 0x10ffff {
			return "", errors.New("%c arg not in range(0x110000)")
		}
		return string(rune(n.Int64())), nil
	case 's':
		return "", errors.New("unknown format code 's' for object of type 'int'")
	}
	digits := new(big.Int).Abs(n).Text(base)
	if spec.verb == 'X' {
		digits = strings.ToUpper(digits)
	}
	if missing := spec.digits - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	if spec.group != 0 {
		every := 3
		if base != 10 {
			every = 4
		}
		digits = grouped(digits, spec.group, every)
	}
	if spec.alternate {
		digits = prefix + digits
	}
	if n.Sign() < 0 {
		digits = "-" + digits
	}
	return digits, nil
}

func grouped(digits string, sep byte, every int) string {
	var b strings.Builder
	for i := range len(digits) {
		if i > 0 && (len(digits)-i)%every == 0 {
			b.WriteByte(sep)
		}
		b.WriteByte(digits[i])
	}
	return b.String()
}

func floatText(f float64, spec formatSpec) (string, error) {
	verb, precision, percent := spec.verb, spec.precision, ""
	switch verb {
	case '%':
		f, verb, percent = f*100, 'f', "%"
	case 'F':
		verb = 'f'
	case 'n':
		verb = 'g'
	case 's', 'd', 'b', 'o', 'x', 'X', 'c':
		return "", fmt.Errorf("unknown format code '%c' for object of type 'float'", verb)
	}
	var text string
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		text = strings.ToLower(strings.TrimPrefix(strconv.FormatFloat(f, 'g', -1, 64), "+"))
	case verb == 0 && precision < 0:
		text = pyvalue.Repr(pyvalue.Float(f))
	case verb == 0 || verb == 'g' || verb == 'G':
		text = generalText(f, precision, verb, spec.alternate)
	default:
		if precision < 0 {
			precision = 6
		}
		text = strconv.FormatFloat(f, verb, precision, 64)
	}
	if spec.group != 0 {
		sign := ""
		if text[0] == '-' {
			sign, text = "-", text[1:]
		}
		whole := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
		if whole < 0 {
			whole = len(text)
		}
		text = sign + grouped(text[:whole], spec.group, 3) + text[whole:]
	}
	return text + percent, nil
}

// generalText is Python's g format. Without a verb it keeps one digit after the
// point where there is no exponent.
func generalText(f float64, precision int, verb byte, alternate bool) string {
	if precision < 0 {
		precision = 6
	}
	precision = max(precision, 1)
	e := strconv.FormatFloat(f, 'e', precision-1, 64)
	exponent, _ := strconv.Atoi(e[strings.IndexByte(e, 'e')+1:])
	limit := precision
	if verb == 0 {
		limit = precision - 1
	}
	trim := func(s string) string {
		if alternate || !strings.Contains(s, ".") {
			return s
		}
		return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	}
	if exponent < -4 || exponent >= limit {
		mantissa, exp, _ := strings.Cut(e, "e")
		text := trim(mantissa) + "e" + exp
		if verb == 'G' {
			text = strings.ToUpper(text)
		}
		return text
	}
	text := trim(strconv.FormatFloat(f, 'f', max(precision-1-exponent, 0), 64))
	if verb == 0 && !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}
