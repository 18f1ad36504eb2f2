package pyvalue

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// String is Python's str(): text as it is, anything else as [Repr].
func String(v Value) string {
	if s, ok := v.(Str); ok {
		return string(s)
	}
	return Repr(v)
}

// Repr is Python's repr(). Nesting beyond 200 levels prints as "...".
func Repr(v Value) string {
	w := printer{limit: math.MaxInt}
	w.value(v, 0)
	return w.b.String()
}

// ReprWithin is Repr, cut off as soon as it is longer than limit bytes; ok says
// that it was not.
func ReprWithin(v Value, limit int) (text string, ok bool) {
	w := printer{limit: limit}
	w.value(v, 0)
	return w.b.String(), w.b.Len() <= limit
}

// A Wrapper is a value that prints as another one between two texts.
type Wrapper interface {
	Value
	Unwrap() (prefix string, v Value, suffix string)
}

type printer struct {
	b     strings.Builder
	limit int
	open  []Value // the lists and dicts being printed
}

func (w *printer) value(v Value, depth int) {
	if w.b.Len() > w.limit {
		return
	}
	switch v := v.(type) {
	case NoneType:
		w.b.WriteString("None")
	case Bool:
		if v {
			w.b.WriteString("True")
		} else {
			w.b.WriteString("False")
		}
	case Int:
		w.b.WriteString(strconv.FormatInt(int64(v), 10))
	case *Big:
		w.b.WriteString(v.n.String())
	case Float:
		w.b.WriteString(reprFloat(float64(v)))
	case Str:
		reprStr(&w.b, string(v))
	case *List:
		if w.enter(v, depth, "[...]") {
			w.items("[", v.Items, "]", depth)
			w.open = w.open[:len(w.open)-1]
		}
	case Tuple:
		closing := ")"
		if len(v) == 1 {
			closing = ",)"
		}
		w.items("(", v, closing, depth)
	case *Dict:
		if w.enter(v, depth, "{...}") {
			w.dict(v, depth)
			w.open = w.open[:len(w.open)-1]
		}
	default:
		w.foreign(v, depth)
	}
}

// foreign prints values that this package does not know.
func (w *printer) foreign(v Value, depth int) {
	switch v := v.(type) {
	case Wrapper:
		prefix, inner, suffix := v.Unwrap()
		w.b.WriteString(prefix)
		if depth <= depthMax {
			w.value(inner, depth+1)
		}
		w.b.WriteString(suffix)
	case fmt.Stringer:
		w.b.WriteString(v.String())
	default:
		w.b.WriteString("<" + v.Type() + ">")
	}
}

// enter notes that a container is being printed; one that holds itself prints as
// Python prints it.
func (w *printer) enter(v Value, depth int, again string) bool {
	for _, o := range w.open {
		if o == v {
			w.b.WriteString(again)
			return false
		}
	}
	if depth > depthMax {
		w.b.WriteString("...")
		return false
	}
	w.open = append(w.open, v)
	return true
}

func (w *printer) items(opening string, items []Value, closing string, depth int) {
	w.b.WriteString(opening)
	for i, item := range items {
		if i > 0 {
			w.b.WriteString(", ")
		}
		if depth > depthMax {
			w.b.WriteString("...")
			break
		}
		w.value(item, depth+1)
	}
	w.b.WriteString(closing)
}

func (w *printer) dict(d *Dict, depth int) {
	w.b.WriteByte('{')
	first := true
	for k, item := range d.All() {
		if !first {
			w.b.WriteString(", ")
		}
		first = false
		w.value(k, depth+1)
		w.b.WriteString(": ")
		w.value(item, depth+1)
	}
	w.b.WriteByte('}')
}

func reprFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	e := strconv.FormatFloat(f, 'e', -1, 64)
	exp, _ := strconv.Atoi(e[strings.IndexByte(e, 'e')+1:])
	if exp < -4 || exp >= 16 {
		return e
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.ContainsRune(s, '.') {
		s += ".0"
	}
	return s
}

// reprStr writes a string literal: in single quotes unless the text holds one
// and no double quote.
func reprStr(b *strings.Builder, s string) {
	quote := byte('\'')
	if strings.ContainsRune(s, '\'') && !strings.ContainsRune(s, '"') {
		quote = '"'
	}
	b.WriteByte(quote)
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(b, `\x%02x`, s[i])
		case r == rune(quote) || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			fmt.Fprintf(b, `\U%08x`, r)
		}
	}
	b.WriteByte(quote)
}
