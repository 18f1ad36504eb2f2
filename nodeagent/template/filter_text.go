package template

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"quorate/internal/pyvalue"
)

// text binds a filter's arguments and returns the value as text.
func (a *arguments) text(params string, defaults ...pyvalue.Value) (string, []pyvalue.Value, error) {
	args, err := a.bind("value "+params, defaults...)
	if err != nil {
		return "", nil, err
	}
	s, err := a.r.str(args[0])
	if err == nil {
		err = a.r.charge(len(s))
	}
	return s, args[1:], err
}

func filterCase(a *arguments) (pyvalue.Value, error) {
	s, _, err := a.text("")
	switch a.fn {
	case "capitalize":
		s = capitalize(s)
	case "lower":
		s = lower(s)
	case "upper":
		s = upper(s)
	default:
		s = title(s, func(r rune) bool { return !unicode.IsSpace(r) && !strings.ContainsRune("-({[<", r) })
	}
	return pyvalue.Str(s), err
}

func filterString(a *arguments) (pyvalue.Value, error) {
	s, _, err := a.text("")
	return pyvalue.Str(s), err
}

func filterPrint(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("value")
	if err != nil {
		return nil, err
	}
	v, err := a.r.ordered(args[0], orderedDepthMax)
	if err != nil {
		return nil, err
	}
	s, err := a.r.repr(v)
	return pyvalue.Str(s), err
}

// orderedDepthMax is how deep mappings are put in order. A list may hold itself.
const orderedDepthMax = 100

// ordered is a value in which every mapping is in the order of its keys, where these
// are texts.
func (r *renderer) ordered(v pyvalue.Value, depth int) (pyvalue.Value, error) {
	if err := r.elements(1); err != nil || depth == 0 {
		return v, err
	}
	var err error
	switch v := v.(type) {
	case *pyvalue.List:
		out := &pyvalue.List{Items: slices.Clone(v.Items)}
		for i := range out.Items {
			if out.Items[i], err = r.ordered(out.Items[i], depth-1); err != nil {
				return nil, err
			}
		}
		return out, nil
	case pyvalue.Tuple:
		out := slices.Clone(v)
		for i := range out {
			if out[i], err = r.ordered(out[i], depth-1); err != nil {
				return nil, err
			}
		}
		return out, nil
	case *pyvalue.Dict:
		keys, out := v.Keys(), pyvalue.NewDict()
		if !slices.ContainsFunc(keys, func(k pyvalue.Value) bool { _, text := k.(pyvalue.Str); return !text }) {
			keys = slices.Clone(keys)
			slices.SortFunc(keys, func(a, b pyvalue.Value) int { return cmp.Compare(a.(pyvalue.Str), b.(pyvalue.Str)) })
		}
		for _, k := range keys {
			item, _ := v.Get(k)
			if item, err = r.ordered(item, depth-1); err != nil {
				return nil, err
			}
			out.Set(k, item)
		}
		return out, nil
	}
	return v, nil
}

func filterCenter(a *arguments) (pyvalue.Value, error) {
	s, args, err := a.text("width", pyvalue.Int(80))
	if err != nil {
		return nil, err
	}
	width, err := toInt(args[0])
	if err != nil {
		return nil, err
	}
	s, err = a.r.pad(s, width, " ", '^')
	return pyvalue.Str(s), err
}

func filterFormat(a *arguments) (pyvalue.Value, error) {
	if len(a.pos) > 1 && len(a.names) > 0 {
		return nil, errors.New("can't handle positional and keyword arguments at the same time")
	}
	s, err := a.r.str(a.pos[0])
	if err != nil {
		return nil, err
	}
	var v pyvalue.Value = pyvalue.Tuple(a.pos[1:])
	if len(a.names) > 0 {
		d := pyvalue.NewDict()
		for i, id := range a.names {
			d.SetStr(id, a.values[i])
		}
		v = d
	}
	s, err = a.r.percent(s, v)
	return pyvalue.Str(s), err
}

func filterIndent(a *arguments) (pyvalue.Value, error) {
	if _, err := toStr(a.pos[0]); err != nil {
		return nil, err
	}
	s, args, err := a.text("width first blank", pyvalue.Int(4), pyvalue.Bool(false), pyvalue.Bool(false))
	if err != nil {
		return nil, err
	}
	by, ok := args[0].(pyvalue.Str)
	if !ok {
		n, err := toInt(args[0])
		if err != nil {
			return nil, err
		}
		if n > 10_000 {
			return nil, a.r.charge(-1)
		}
		by = pyvalue.Str(strings.Repeat(" ", max(n, 0)))
	}
	parts := lines(s+"\n", false)
	if err := a.r.charge(len(s) + len(parts)*len(by)); err != nil {
		return nil, err
	}
	blank := pyvalue.Truth(args[2])
	for i, line := range parts {
		if i > 0 && (line != "" || blank) || i == 0 && pyvalue.Truth(args[1]) {
			parts[i] = string(by) + line
		}
	}
	return pyvalue.Str(strings.Join(parts, "\n")), nil
}

func filterEscape(a *arguments) (pyvalue.Value, error) {
	s, _, err := a.text("")
	return pyvalue.Str(escapeHTML(s)), err
}

func escapeHTML(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&#39;", `"`, "&#34;").Replace(s)
}

func filterReplace(a *arguments) (pyvalue.Value, error) {
	s, args, err := a.text("old new count", pyvalue.None)
	if err != nil {
		return nil, err
	}
	before, err := a.r.str(args[0])
	if err != nil {
		return nil, err
	}
	after, err := a.r.str(args[1])
	if err != nil {
		return nil, err
	}
	n := -1
	if args[2] != pyvalue.Value(pyvalue.None) {
		if n, err = toInt(args[2]); err != nil {
			return nil, err
		}
	}
	s, err = a.r.replace(s, before, after, n)
	return pyvalue.Str(s), err
}

var reTags = regexp.MustCompile(`(?s)<!--.*?-->|<[^>]*>`)

func filterStripTags(a *arguments) (pyvalue.Value, error) {
	s, _, err := a.text("")
	s = strings.Join(strings.Fields(reTags.ReplaceAllString(s, "")), " ")
	s = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&#39;", "'", "&#34;", `"`, "&quot;", `"`, "&amp;", "&").Replace(s)
	return pyvalue.Str(s), err
}

func filterTrim(a *arguments) (pyvalue.Value, error) {
	s, args, err := a.text("chars", pyvalue.None)
	if err != nil {
		return nil, err
	}
	if args[0] == pyvalue.Value(pyvalue.None) {
		return pyvalue.Str(strings.TrimSpace(s)), nil
	}
	chars, err := toStr(args[0])
	return pyvalue.Str(strings.Trim(s, chars)), err
}

func filterTruncate(a *arguments) (pyvalue.Value, error) {
	s, args, err := a.text("length killwords end leeway", pyvalue.Int(255), pyvalue.Bool(false), pyvalue.Str("..."), pyvalue.Int(5))
	if err != nil {
		return nil, err
	}
	n, err := toInt(args[0])
	if err != nil {
		return nil, err
	}
	end, err := toStr(args[2])
	if err != nil {
		return nil, err
	}
	leeway := 5
	if args[3] != pyvalue.Value(pyvalue.None) {
		if leeway, err = toInt(args[3]); err != nil {
			return nil, err
		}
	}
	if n < lengthOf(end) || leeway < 0 {
		return nil, errors.New("truncate: the length is too small")
	}
	size, ok := length(a.pos[0])
	switch _, isText := a.pos[0].(pyvalue.Str); {
	case !ok:
		return nil, fmt.Errorf("object of type '%s' has no len()", a.pos[0].Type())
	case size <= n+leeway:
		return a.pos[0], nil
	case !isText:
		return nil, fmt.Errorf("a '%s' cannot be truncated", a.pos[0].Type())
	}
	s = string([]rune(s)[:n-lengthOf(end)])
	if i := strings.LastIndexByte(s, ' '); i >= 0 && !pyvalue.Truth(args[1]) {
		s = s[:i]
	}
	return pyvalue.Str(s + end), nil
}

func filterWordCount(a *arguments) (pyvalue.Value, error) {
	s, _, err := a.text("")
	n := 0
	inWord := false
	for _, r := range s {
		is := r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r)
		if is && !inWord {
			n++
		}
		inWord = is
	}
	return pyvalue.Int(n), err
}

// filterURLEncode quotes text for a URL, or the pairs of a mapping for a query.
func filterURLEncode(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("value")
	if err != nil {
		return nil, err
	}
	var pairs []pyvalue.Value
	switch v := args[0].(type) {
	case *pyvalue.Dict:
		pairs = (&view{"items", v}).items()
	case *pyvalue.List, pyvalue.Tuple, *view, *generator:
		if pairs, err = a.r.list(v); err != nil {
			return nil, err
		}
	default:
		s, err := a.r.str(v)
		return pyvalue.Str(quoteURL(s, "/")), err
	}
	var parts []string
	for _, pair := range pairs {
		kv, err := a.r.list(pair)
		if err != nil {
			return nil, err
		}
		if len(kv) != 2 {
			return nil, errors.New("urlencode needs pairs")
		}
		k, err := a.r.str(kv[0])
		if err != nil {
			return nil, err
		}
		v, err := a.r.str(kv[1])
		if err != nil {
			return nil, err
		}
		parts = append(parts, formURL(k)+"="+formURL(v))
	}
	s := strings.Join(parts, "&")
	return pyvalue.Str(s), a.r.charge(len(s))
}

func formURL(s string) string { return strings.ReplaceAll(quoteURL(s, ""), "%20", "+") }

func quoteURL(s, safe string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || isDigit(c) || strings.IndexByte("_.-~"+safe, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return b.String()
}

func filterXMLAttr(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("d autospace", pyvalue.Bool(true))
	if err != nil {
		return nil, err
	}
	d, ok := args[0].(*pyvalue.Dict)
	if !ok {
		return nil, errors.New("xmlattr needs a mapping")
	}
	var parts []string
	for k, v := range d.All() {
		if v == pyvalue.Value(pyvalue.None) || defined(v) != nil {
			continue
		}
		key, err := a.r.str(k)
		if err != nil {
			return nil, err
		}
		if strings.ContainsAny(key, " \t\n\r\f/>=") {
			return nil, errors.New("invalid character in attribute name")
		}
		text, err := a.r.str(v)
		if err != nil {
			return nil, err
		}
		parts = append(parts, escapeHTML(key)+`="`+escapeHTML(text)+`"`)
	}
	s := strings.Join(parts, " ")
	if s != "" && pyvalue.Truth(args[1]) {
		s = " " + s
	}
	return pyvalue.Str(s), a.r.charge(len(s))
}

// filterWordWrap breaks the lines of a text at blanks, where they are too long.
func filterWordWrap(a *arguments) (pyvalue.Value, error) {
	if _, err := toStr(a.pos[0]); err != nil {
		return nil, err
	}
	s, args, err := a.text("width break_long_words wrapstring break_on_hyphens",
		pyvalue.Int(79), pyvalue.Bool(true), pyvalue.Str("\n"), pyvalue.Bool(true))
	if err != nil {
		return nil, err
	}
	width, err := toInt(args[0])
	if err != nil || width < 1 {
		return nil, errors.Join(err, errors.New("a width from 1 is needed"))
	}
	sep, err := toStr(args[2])
	if err != nil {
		return nil, err
	}
	w := wrapper{width: width, long: pyvalue.Truth(args[1]), hyphens: pyvalue.Truth(args[3])}
	var out []string
	for _, line := range lines(s, false) {
		out = append(out, strings.Join(w.wrap(line), sep))
	}
	text := strings.Join(out, sep)
	return pyvalue.Str(text), a.r.charge(len(text))
}

type wrapper struct {
	width         int
	long, hyphens bool
}

var reChunks = regexp.MustCompile(`\s+|[^\s-]*[^\W\d_]-+|[^\s-]+|-+`)

// wrap follows Python's textwrap: chunks of blanks and words fill lines.
func (w *wrapper) wrap(line string) []string {
	chunks := regexp.MustCompile(`\s+|\S+`).FindAllString(line, -1)
	if w.hyphens {
		chunks = reChunks.FindAllString(line, -1)
	}
	var out []string
	for len(chunks) > 0 {
		if len(out) > 0 && strings.TrimSpace(chunks[0]) == "" {
			chunks = chunks[1:]
			continue
		}
		var row []string
		room := w.width
		for len(chunks) > 0 && lengthOf(chunks[0]) <= room {
			row, room = append(row, chunks[0]), room-lengthOf(chunks[0])
			chunks = chunks[1:]
		}
		if len(chunks) > 0 && lengthOf(chunks[0]) > w.width {
			switch {
			case w.long:
				cut := max(room, 1)
				runes := []rune(chunks[0])
				row = append(row, string(runes[:cut]))
				chunks[0] = string(runes[cut:])
			case len(row) == 0:
				row, chunks = chunks[:1:1], chunks[1:]
			}
		}
		if n := len(row); n > 0 && strings.TrimSpace(row[n-1]) == "" {
			row = row[:n-1]
		}
		if len(row) > 0 {
			out = append(out, strings.Join(row, ""))
		}
	}
	return out
}
