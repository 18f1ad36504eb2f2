package template

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"quorate/internal/pyvalue"
)

type strCall func(a *arguments, s string) (pyvalue.Value, error)

func strMethod(id string) (strCall, bool) {
	switch id {
	case "lower", "upper", "casefold", "capitalize", "title", "swapcase":
		return strFold, true
	case "strip", "lstrip", "rstrip":
		return strStrip, true
	case "split", "rsplit":
		return strSplit, true
	case "splitlines":
		return strSplitLines, true
	case "partition", "rpartition":
		return strPartition, true
	case "startswith", "endswith":
		return strAffix, true
	case "removeprefix", "removesuffix":
		return strRemove, true
	case "find", "rfind", "index", "rindex", "count":
		return strFind, true
	case "replace":
		return strReplace, true
	case "join":
		return strJoin, true
	case "center", "ljust", "rjust", "zfill":
		return strPad, true
	case "expandtabs":
		return strTabs, true
	case "format_map":
		return strFormatMap, true
	case "format":
		return func(a *arguments, s string) (pyvalue.Value, error) {
			text, err := a.r.format(s, a)
			return pyvalue.Str(text), err
		}, true
	}
	return strPredicate(id)
}

// strFormatMap is format with a mapping for the named arguments.
func strFormatMap(a *arguments, s string) (pyvalue.Value, error) {
	args, err := a.bind("mapping")
	if err != nil {
		return nil, err
	}
	mapping, ok := args[0].(*pyvalue.Dict)
	if !ok {
		return nil, fmt.Errorf("format_map() takes a mapping, not %s", args[0].Type())
	}
	named := &arguments{s: a.s, r: a.r, fn: a.fn}
	for k, v := range mapping.All() {
		if name, ok := k.(pyvalue.Str); ok {
			named.names, named.values = append(named.names, string(name)), append(named.values, v)
		}
	}
	text, err := a.r.format(s, named)
	return pyvalue.Str(text), err
}

func strFold(a *arguments, s string) (pyvalue.Value, error) {
	if _, err := a.bind(""); err != nil {
		return nil, err
	}
	if err := a.r.charge(len(s)); err != nil {
		return nil, err
	}
	switch a.fn {
	case "upper":
		return pyvalue.Str(upper(s)), nil
	case "casefold":
		return pyvalue.Str(casefold(s)), nil
	case "capitalize":
		return pyvalue.Str(capitalize(s)), nil
	case "title":
		return pyvalue.Str(title(s, unicode.IsLetter)), nil
	case "swapcase":
		return pyvalue.Str(strings.Map(func(r rune) rune {
			if unicode.IsUpper(r) {
				return unicode.ToLower(r)
			}
			return unicode.ToUpper(r)
		}, s)), nil
	}
	return pyvalue.Str(lower(s)), nil
}

func strStrip(a *arguments, s string) (pyvalue.Value, error) {
	args, err := a.bind("chars", pyvalue.None)
	if err != nil {
		return nil, err
	}
	match := unicode.IsSpace
	if args[0] != pyvalue.Value(pyvalue.None) {
		chars, err := toStr(args[0])
		if err != nil {
			return nil, err
		}
		match = func(r rune) bool { return strings.ContainsRune(chars, r) }
	}
	if a.fn != "rstrip" {
		s = strings.TrimLeftFunc(s, match)
	}
	if a.fn != "lstrip" {
		s = strings.TrimRightFunc(s, match)
	}
	return pyvalue.Str(s), nil
}

func strs(parts []string) *pyvalue.List {
	out := &pyvalue.List{Items: make([]pyvalue.Value, len(parts))}
	for i, p := range parts {
		out.Items[i] = pyvalue.Str(p)
	}
	return out
}

func strSplit(a *arguments, s string) (pyvalue.Value, error) {
	args, err := a.bind("sep maxsplit", pyvalue.None, pyvalue.Int(-1))
	if err != nil {
		return nil, err
	}
	limit, err := toInt(args[1])
	if err != nil {
		return nil, err
	}
	if err := a.r.elements(len(s)); err != nil {
		return nil, err
	}
	if args[0] == pyvalue.Value(pyvalue.None) {
		return strs(splitBlanks(s, limit, a.fn == "rsplit")), nil
	}
	sep, err := toStr(args[0])
	if err != nil {
		return nil, err
	}
	if sep == "" {
		return nil, errors.New("empty separator")
	}
	if limit < 0 {
		return strs(strings.Split(s, sep)), nil
	}
	if a.fn == "split" {
		return strs(strings.SplitN(s, sep, limit+1)), nil
	}
	var parts []string
	for ; limit > 0; limit-- {
		i := strings.LastIndex(s, sep)
		if i < 0 {
			break
		}
		parts = append([]string{s[i+len(sep):]}, parts...)
		s = s[:i]
	}
	return strs(append([]string{s}, parts...)), nil
}

// splitBlanks splits at runs of blanks, at most limit times, from the left or
// the right.
func splitBlanks(s string, limit int, right bool) []string {
	if limit < 0 {
		return strings.Fields(s)
	}
	var parts []string
	for s = strings.TrimSpace(s); s != ""; {
		cut := strings.IndexFunc(s, unicode.IsSpace)
		if right {
			cut = strings.LastIndexFunc(s, unicode.IsSpace)
		}
		switch {
		case limit == 0 || cut < 0:
			if right {
				return append([]string{s}, parts...)
			}
			return append(parts, s)
		case right:
			_, size := utf8.DecodeRuneInString(s[cut:])
			parts = append([]string{s[cut+size:]}, parts...)
			s = strings.TrimRightFunc(s[:cut], unicode.IsSpace)
		default:
			parts = append(parts, s[:cut])
			s = strings.TrimLeftFunc(s[cut:], unicode.IsSpace)
		}
		limit--
	}
	return parts
}

func strSplitLines(a *arguments, s string) (pyvalue.Value, error) {
	args, err := a.bind("keepends", pyvalue.Bool(false))
	if err != nil {
		return nil, err
	}
	if err := a.r.elements(len(s)); err != nil {
		return nil, err
	}
	return strs(lines(s, pyvalue.Truth(args[0]))), nil
}

// lines splits a text as Python's splitlines does.
func lines(s string, keep bool) []string {
	var out []string
	for s != "" {
		i := strings.IndexAny(s, "\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029")
		if i < 0 {
			return append(out, s)
		}
		_, n := utf8.DecodeRuneInString(s[i:])
		if strings.HasPrefix(s[i:], "\r\n") {
			n = 2
		}
		end := i
		if keep {
			end += n
		}
		out = append(out, s[:end])
		s = s[i+n:]
	}
	return out
}

func strPartition(a *arguments, s string) (pyvalue.Value, error) {
	args, err := a.bind("sep")
	if err != nil {
		return nil, err
	}
	sep, err := toStr(args[0])
	if err != nil {
		return nil, err
	}
	if sep == "" {
		return nil, errors.New("empty separator")
	}
	i := strings.Index(s, sep)
	if a.fn == "rpartition" {
		if i = strings.LastIndex(s, sep); i < 0 {
			return pyvalue.Tuple{pyvalue.Str(""), pyvalue.Str(""), pyvalue.Str(s)}, nil
		}
	}
	if i < 0 {
		return pyvalue.Tuple{pyvalue.Str(s), pyvalue.Str(""), pyvalue.Str("")}, nil
	}
	return pyvalue.Tuple{pyvalue.Str(s[:i]), pyvalue.Str(sep), pyvalue.Str(s[i+len(sep):])}, nil
}

func strAffix(a *arguments, s string) (pyvalue.Value, error) {
	args, err := a.bind("affix start end", pyvalue.None, pyvalue.None)
	if err != nil {
		return nil, err
	}
	if s, _, err = window(s, args[1], args[2]); err != nil {
		return nil, err
	}
	affixes := []pyvalue.Value{args[0]}
	if t, ok := args[0].(pyvalue.Tuple); ok {
		affixes = t
	}
	for _, v := range affixes {
		affix, err := toStr(v)
		if err != nil {
			return nil, err
		}
		if a.fn == "startswith" && strings.HasPrefix(s, affix) || a.fn == "endswith" && strings.HasSuffix(s, affix) {
			return pyvalue.Bool(true), nil
		}
	}
	return pyvalue.Bool(false), nil
}

// window is the part of a text between two optional indexes, and the index of
// its first character.
func window(s string, start, end pyvalue.Value) (string, int, error) {
	none := pyvalue.Value(pyvalue.None)
	if start == none && end == none {
		return s, 0, nil
	}
	runes := []rune(s)
	limits := [2]int{0, len(runes)}
	for i, v := range []pyvalue.Value{start, end} {
		if v == none {
			continue
		}
		n, err := toInt(v)
		if err != nil {
			return "", 0, err
		}
		if n < 0 {
			n += len(runes)
		}
		limits[i] = max(0, min(n, len(runes)))
	}
	if limits[0] > limits[1] {
		return "", limits[0], nil
	}
	return string(runes[limits[0]:limits[1]]), limits[0], nil
}

func strRemove(a *arguments, s string) (pyvalue.Value, error) {
	args, err := a.bind("affix")
	if err != nil {
		return nil, err
	}
	affix, err := toStr(args[0])
	if err != nil {
		return nil, err
	}
	if a.fn == "removeprefix" {
		return pyvalue.Str(strings.TrimPrefix(s, affix)), nil
	}
	return pyvalue.Str(strings.TrimSuffix(s, affix)), nil
}

func strFind(a *arguments, s string) (pyvalue.Value, error) {
	args, err := a.bind("sub start end", pyvalue.None, pyvalue.None)
	if err != nil {
		return nil, err
	}
	sub, err := toStr(args[0])
	if err != nil {
		return nil, err
	}
	s, offset, err := window(s, args[1], args[2])
	if err != nil {
		return nil, err
	}
	var at int
	switch a.fn {
	case "count":
		return pyvalue.Int(strings.Count(s, sub)), nil
	case "find", "index":
		at = strings.Index(s, sub)
	default:
		at = strings.LastIndex(s, sub)
	}
	if at < 0 {
		if strings.HasSuffix(a.fn, "index") {
			return nil, errors.New("substring not found")
		}
		return pyvalue.Int(-1), nil
	}
	return pyvalue.Int(offset + utf8.RuneCountInString(s[:at])), nil
}

func strReplace(a *arguments, s string) (pyvalue.Value, error) {
	args, err := a.bind("old new count", pyvalue.Int(-1))
	if err != nil {
		return nil, err
	}
	before, err := toStr(args[0])
	if err != nil {
		return nil, err
	}
	after, err := toStr(args[1])
	if err != nil {
		return nil, err
	}
	n, err := toInt(args[2])
	if err != nil {
		return nil, err
	}
	text, err := a.r.replace(s, before, after, n)
	return pyvalue.Str(text), err
}

// replace replaces up to n occurrences, or all where n is negative.
func (r *renderer) replace(s, before, after string, n int) (string, error) {
	count := strings.Count(s, before)
	if n >= 0 {
		count = min(count, n)
	}
	if len(after) > 0 && count > AllocatedBytesMax/len(after) {
		return "", r.charge(-1)
	}
	if err := r.charge(len(s) + count*len(after)); err != nil {
		return "", err
	}
	return strings.Replace(s, before, after, n), nil
}

func strJoin(a *arguments, s string) (pyvalue.Value, error) {
	args, err := a.bind("iterable")
	if err != nil {
		return nil, err
	}
	items, err := a.r.list(args[0])
	if err != nil {
		return nil, err
	}
	parts := make([]string, len(items))
	size := 0
	for i, item := range items {
		text, ok := item.(pyvalue.Str)
		if !ok {
			return nil, fmt.Errorf("sequence item %d: expected str instance, %s found", i, item.Type())
		}
		parts[i] = string(text)
		size += len(text) + len(s)
		if size > AllocatedBytesMax {
			break
		}
	}
	if err := a.r.charge(size); err != nil {
		return nil, err
	}
	return pyvalue.Str(strings.Join(parts, s)), nil
}

func strPad(a *arguments, s string) (pyvalue.Value, error) {
	args, err := a.bind("width fillchar", pyvalue.Str(" "))
	if err != nil {
		return nil, err
	}
	width, err := toInt(args[0])
	if err != nil {
		return nil, err
	}
	fill, err := toStr(args[1])
	if err != nil {
		return nil, err
	}
	if utf8.RuneCountInString(fill) != 1 {
		return nil, errors.New("the fill character must be exactly one character long")
	}
	align := map[string]byte{"center": '^', "ljust": '<', "rjust": '>', "zfill": '='}[a.fn]
	if a.fn == "zfill" {
		fill = "0"
	}
	text, err := a.r.pad(s, width, fill, align)
	return pyvalue.Str(text), err
}

func strTabs(a *arguments, s string) (pyvalue.Value, error) {
	args, err := a.bind("tabsize", pyvalue.Int(8))
	if err != nil {
		return nil, err
	}
	size, err := toInt(args[0])
	if err != nil {
		return nil, err
	}
	if size > 1000 {
		return nil, a.r.charge(-1)
	}
	if err := a.r.charge(len(s) + strings.Count(s, "\t")*max(size, 0)); err != nil {
		return nil, err
	}
	var b strings.Builder
	column := 0
	for _, c := range s {
		switch {
		case c == '\t' && size > 0:
			n := size - column%size
			b.WriteString(strings.Repeat(" ", n))
			column += n
		case c == '\t':
		case c == '\n' || c == '\r':
			b.WriteRune(c)
			column = 0
		default:
			b.WriteRune(c)
			column++
		}
	}
	return pyvalue.Str(b.String()), nil
}
