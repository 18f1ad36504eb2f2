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

// A filterFunc is a filter; its first argument is the value that it is applied to.
type filterFunc func(a *arguments) (pyvalue.Value, error)

func filterTable() map[string]filterFunc {
	return map[string]filterFunc{
		"abs": filterAbs, "attr": filterAttr, "default": filterDefault, "d": filterDefault,
		"float": filterFloat, "int": filterInt, "round": filterRound, "sum": filterSum,
		"min": filterExtreme, "max": filterExtreme, "tojson": filterToJSON,
		"count": filterLength, "length": filterLength, "filesizeformat": filterFileSize,

		"batch": filterBatch, "slice": filterSlice, "first": filterFirst, "last": filterLast,
		"list": filterList, "items": filterItems, "join": filterJoin, "map": filterMap,
		"select": filterSelect, "reject": filterSelect, "selectattr": filterSelect, "rejectattr": filterSelect,
		"random": filterRandom, "sort": filterSort, "dictsort": filterDictSort, "unique": filterUnique,
		"groupby": filterGroupBy, "reverse": filterReverse,

		"capitalize": filterCase, "lower": filterCase, "upper": filterCase, "title": filterCase,
		"center": filterCenter, "format": filterFormat, "indent": filterIndent,
		"e": filterEscape, "escape": filterEscape, "forceescape": filterEscape,
		"replace": filterReplace, "safe": filterString, "string": filterString,
		"striptags": filterStripTags, "trim": filterTrim, "truncate": filterTruncate,
		"urlencode": filterURLEncode, "wordcount": filterWordCount, "wordwrap": filterWordWrap,
		"pprint": filterPrint, "xmlattr": filterXMLAttr,
	}
}

func filterAbs(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("x")
	if err != nil {
		return nil, err
	}
	if f, ok := args[0].(pyvalue.Float); ok {
		return pyvalue.Float(math.Abs(float64(f))), nil
	}
	n, ok := pyvalue.ToBig(args[0])
	if !ok {
		return nil, fmt.Errorf("bad operand type for abs(): '%s'", args[0].Type())
	}
	return pyvalue.FromBig(n.Abs(n)), nil
}

func filterAttr(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("obj name")
	if err != nil {
		return nil, err
	}
	id, err := a.r.str(args[1])
	if err != nil {
		return nil, err
	}
	if v, ok := attributeOf(args[0], id); ok {
		return v, nil
	}
	return noAttribute(args[0], id), nil
}

func filterDefault(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("value default_value boolean", pyvalue.Str(""), pyvalue.Bool(false))
	if err != nil {
		return nil, err
	}
	if defined(args[0]) != nil {
		return args[1], nil
	}
	loose, err := truth(args[2])
	if err != nil || !loose {
		return args[0], err
	}
	ok, err := truth(args[0])
	if err != nil || ok {
		return args[0], err
	}
	return args[1], nil
}

func filterFloat(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("value default", pyvalue.Float(0))
	if err != nil {
		return nil, err
	}
	if f, ok := pyvalue.ToFloat(args[0]); ok {
		return pyvalue.Float(f), nil
	}
	if s, ok := args[0].(pyvalue.Str); ok {
		if f, ok := parseFloat(string(s)); ok {
			return pyvalue.Float(f), nil
		}
	}
	return args[1], nil
}

// parseFloat reads a float as Python's float() does.
func parseFloat(s string) (float64, bool) {
	s = strings.TrimSpace(s)
	if strings.ContainsAny(s, "xXpP") {
		return 0, false
	}
	f, err := strconv.ParseFloat(underscores(s), 64)
	return f, err == nil || errors.Is(err, strconv.ErrRange)
}

// underscores takes the underscores between digits out of a number.
func underscores(s string) string {
	if !strings.Contains(s, "_") {
		return s
	}
	for i := range len(s) {
		between := i > 0 && i+1 < len(s) && isDigit(s[i-1]) && isDigit(s[i+1])
		if s[i] == '_' && !between {
			return s
		}
	}
	return strings.ReplaceAll(s, "_", "")
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func filterInt(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("value default base", pyvalue.Int(0), pyvalue.Int(10))
	if err != nil {
		return nil, err
	}
	base, err := toInt(args[2])
	if err != nil {
		return nil, err
	}
	switch v := args[0].(type) {
	case pyvalue.Float:
		n, err := truncateFloat(float64(v))
		if err != nil {
			return args[1], nil
		}
		return n, nil
	case pyvalue.Str:
		if n, ok := parseInt(string(v), base); ok {
			return n, nil
		}
		if f, ok := parseFloat(string(v)); ok {
			if n, err := truncateFloat(f); err == nil {
				return n, nil
			}
		}
	default:
		if n, ok := pyvalue.ToBig(v); ok {
			return pyvalue.FromBig(n), nil
		}
	}
	return args[1], nil
}

// parseInt reads an integer as Python's int(text, base) does.
func parseInt(s string, base int) (pyvalue.Value, bool) {
	s = underscores(strings.TrimSpace(s))
	if len(s) > 4300 || base < 0 || base == 1 || base > 36 || strings.Contains(s, "_") {
		return nil, false
	}
	sign := ""
	if s != "" && (s[0] == '-' || s[0] == '+') {
		sign, s = s[:1], s[1:]
	}
	lower := strings.ToLower(s)
	for prefix, of := range map[string]int{"0x": 16, "0o": 8, "0b": 2} {
		if strings.HasPrefix(lower, prefix) && (base == of || base == 0) {
			s, base = s[2:], of
			break
		}
	}
	if base == 0 {
		if len(s) > 1 && s[0] == '0' && strings.Trim(s, "0") != "" {
			return nil, false
		}
		base = 10
	}
	if s == "" || s[0] == '-' || s[0] == '+' {
		return nil, false
	}
	n, ok := new(big.Int).SetString(sign+s, base)
	if !ok {
		return nil, false
	}
	return pyvalue.FromBig(n), true
}

func truncateFloat(f float64) (pyvalue.Value, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, errors.New("cannot convert float to integer")
	}
	n, _ := big.NewFloat(f).Int(nil)
	return pyvalue.FromBig(n), nil
}

func filterRound(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("value precision method", pyvalue.Int(0), pyvalue.Str("common"))
	if err != nil {
		return nil, err
	}
	precision, err := toInt(args[1])
	if err != nil {
		return nil, err
	}
	f, ok := pyvalue.ToFloat(args[0])
	if !ok {
		return nil, fmt.Errorf("type %s doesn't define __round__ method", args[0].Type())
	}
	_, isFloat := args[0].(pyvalue.Float)
	switch args[2] {
	case pyvalue.Value(pyvalue.Str("common")):
		if !isFloat {
			return roundInteger(args[0], precision)
		}
		return pyvalue.Float(roundHalfEven(f, precision)), nil
	case pyvalue.Value(pyvalue.Str("ceil")), pyvalue.Value(pyvalue.Str("floor")):
		scale := math.Pow(10, float64(precision))
		if args[2] == pyvalue.Value(pyvalue.Str("ceil")) {
			return pyvalue.Float(math.Ceil(f*scale) / scale), nil
		}
		return pyvalue.Float(math.Floor(f*scale) / scale), nil
	}
	return nil, errors.New("method must be common, ceil or floor")
}

// roundHalfEven rounds the exact value of the double, as Python does.
func roundHalfEven(f float64, precision int) float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) || precision > 400 {
		return f
	}
	if precision >= 0 {
		out, err := strconv.ParseFloat(strconv.FormatFloat(f, 'f', precision, 64), 64)
		if err != nil {
			return f
		}
		return out
	}
	if precision < -400 {
		return 0
	}
	scale := math.Pow(10, float64(-precision))
	return math.RoundToEven(f/scale) * scale
}

// roundInteger rounds an integer to a power of ten, half to even. Jinja2's round
// gives an integer for an integer.
func roundInteger(v pyvalue.Value, precision int) (pyvalue.Value, error) {
	n, _ := pyvalue.ToBig(v)
	if precision >= 0 {
		return pyvalue.FromBig(n), nil
	}
	if precision < -4300 {
		return pyvalue.Int(0), nil
	}
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(-precision)), nil)
	quotient, rest := new(big.Int).DivMod(n, scale, new(big.Int))
	twice := rest.Lsh(rest, 1).Cmp(scale)
	if twice > 0 || twice == 0 && quotient.Bit(0) == 1 {
		quotient.Add(quotient, big.NewInt(1))
	}
	return pyvalue.FromBig(quotient.Mul(quotient, scale)), nil
}

func filterSum(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("iterable attribute start", pyvalue.None, pyvalue.Int(0))
	if err != nil {
		return nil, err
	}
	items, err := a.r.list(args[0])
	if err != nil {
		return nil, err
	}
	sum := args[2]
	if _, ok := sum.(pyvalue.Str); ok {
		return nil, errors.New("sum() can't sum strings")
	}
	get := a.r.getter(args[1], nil)
	for _, item := range items {
		v, err := get(item)
		if err != nil {
			return nil, err
		}
		if err := a.r.step(); err != nil {
			return nil, err
		}
		if sum, err = a.r.operate("+", sum, v); err != nil {
			return nil, err
		}
	}
	return sum, nil
}

func filterExtreme(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("value case_sensitive attribute", pyvalue.Bool(false), pyvalue.None)
	if err != nil {
		return nil, err
	}
	items, err := a.r.list(args[0])
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return undefined{message: "No aggregated item, sequence was empty."}, nil
	}
	keys, err := a.r.keys(items, args[2], !pyvalue.Truth(args[1]))
	if err != nil {
		return nil, err
	}
	best := 0
	op := map[string]string{"min": "<", "max": ">"}[a.fn]
	for i := range items[1:] {
		better, err := a.r.compare(op, keys[i+1], keys[best])
		if err != nil {
			return nil, err
		}
		if better {
			best = i + 1
		}
	}
	return items[best], nil
}

func filterLength(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("obj")
	if err != nil {
		return nil, err
	}
	n, ok := length(args[0])
	if !ok {
		return nil, fmt.Errorf("object of type '%s' has no len()", args[0].Type())
	}
	return pyvalue.Int(n), nil
}

func filterFileSize(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("value binary", pyvalue.Bool(false))
	if err != nil {
		return nil, err
	}
	size, ok := pyvalue.ToFloat(args[0])
	if s, isText := args[0].(pyvalue.Str); isText {
		size, ok = parseFloat(string(s))
	}
	if !ok {
		return nil, fmt.Errorf("a number is needed, not '%s'", args[0].Type())
	}
	base, units := 1000.0, []string{"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"}
	if pyvalue.Truth(args[1]) {
		base, units = 1024, []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"}
	}
	switch {
	case size == 1:
		return pyvalue.Str("1 Byte"), nil
	case size < base:
		return pyvalue.Str(strconv.FormatFloat(math.Trunc(size), 'f', 0, 64) + " Bytes"), nil
	}
	unit := base
	for i, name := range units {
		unit = math.Pow(base, float64(i+2))
		if size < unit || i == len(units)-1 {
			return pyvalue.Str(strconv.FormatFloat(base*size/unit, 'f', 1, 64) + " " + name), nil
		}
	}
	return pyvalue.None, nil
}

func filterToJSON(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("value indent", pyvalue.None)
	if err != nil {
		return nil, err
	}
	w := jsonWriter{r: a.r}
	if args[1] != pyvalue.Value(pyvalue.None) {
		n, err := toInt(args[1])
		if err != nil {
			return nil, err
		}
		if n > 100 {
			return nil, a.r.charge(-1)
		}
		w.indent, w.pretty = strings.Repeat(" ", max(n, 0)), true
	}
	if err := w.value(args[0], 0); err != nil {
		return nil, err
	}
	text := strings.NewReplacer("<", `\u003c`, ">", `\u003e`, "&", `\u0026`, "'", `\u0027`).Replace(w.b.String())
	return pyvalue.Str(text), a.r.charge(len(text))
}

// lengthOf is the number of characters.
func lengthOf(s string) int { return utf8.RuneCountInString(s) }
