package template

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"quorate/internal/pyvalue"
)

// What follows are the values that exist only while a template is rendered.

// undefined is a name, attribute or element that does not exist. Any use of it
// is an error, but for tests, default and being passed on. A lenient one, which
// is what an inline if without else gives, also prints as nothing, is false and
// is an empty sequence.
type undefined struct {
	message string
	lenient bool
}

func isLenient(v pyvalue.Value) bool {
	u, ok := v.(undefined)
	return ok && u.lenient
}

func (undefined) Type() string   { return "Undefined" }
func (undefined) String() string { return "Undefined" }

// generator is what lazy filters give: it can be walked through once.
type generator struct {
	filter string
	items  []pyvalue.Value
}

func (*generator) Type() string { return "generator" }
func (g *generator) String() string {
	return "<generator object " + g.filter + ">"
}

// view is what a mapping's keys, values and items give.
type view struct {
	kind string // keys, values or items
	dict *pyvalue.Dict
}

func (v *view) Type() string { return "dict_" + v.kind }

// Unwrap implements pyvalue.Wrapper.
func (v *view) Unwrap() (string, pyvalue.Value, string) {
	return v.Type() + "(", pyvalue.NewList(v.items()...), ")"
}

func (v *view) items() []pyvalue.Value {
	out := make([]pyvalue.Value, 0, v.dict.Len())
	for k, value := range v.dict.All() {
		switch v.kind {
		case "keys":
			out = append(out, k)
		case "values":
			out = append(out, value)
		default:
			out = append(out, pyvalue.Tuple{k, value})
		}
	}
	return out
}

type rangeValue struct{ start, stop, step int64 }

func (rangeValue) Type() string { return "range" }
func (v rangeValue) String() string {
	if v.step != 1 {
		return fmt.Sprintf("range(%d, %d, %d)", v.start, v.stop, v.step)
	}
	return fmt.Sprintf("range(%d, %d)", v.start, v.stop)
}

func (v rangeValue) len() int {
	switch {
	case v.step > 0 && v.start < v.stop:
		return int((uint64(v.stop-v.start)-1)/uint64(v.step) + 1)
	case v.step < 0 && v.start > v.stop:
		return int((uint64(v.start-v.stop)-1)/uint64(-v.step) + 1)
	}
	return 0
}

func (v rangeValue) at(i int) pyvalue.Value { return pyvalue.Int(v.start + int64(i)*v.step) }

// function is a global function, a method bound to its value, or a filter.
type function struct {
	name string
	call func(a *arguments) (pyvalue.Value, error)
}

func (*function) Type() string     { return "builtin_function_or_method" }
func (f *function) String() string { return "<built-in function " + f.name + ">" }

// namespace is the only object whose attributes a template can assign.
type namespace struct{ attrs *pyvalue.Dict }

func (*namespace) Type() string { return "Namespace" }

// Unwrap implements pyvalue.Wrapper.
func (n *namespace) Unwrap() (string, pyvalue.Value, string) { return "<Namespace ", n.attrs, ">" }

type cycler struct {
	items []pyvalue.Value
	pos   int
}

func (*cycler) Type() string { return "Cycler" }

type joiner struct {
	sep  string
	used bool
}

func (*joiner) Type() string { return "Joiner" }

// object is how Jinja2 names a value in a message.
func object(v pyvalue.Value) string {
	if v == pyvalue.Value(pyvalue.None) {
		return "None"
	}
	return v.Type() + " object"
}

func noAttribute(v pyvalue.Value, name string) undefined {
	return undefined{message: fmt.Sprintf("'%s' has no attribute '%s'", object(v), name)}
}

func noElement(v, key pyvalue.Value) undefined {
	if s, ok := key.(pyvalue.Str); ok {
		return noAttribute(v, string(s))
	}
	return undefined{message: fmt.Sprintf("%s has no element %s", object(v), short(key))}
}

// short is a value in a message.
func short(v pyvalue.Value) string {
	const bytesMax = 100
	text, whole := pyvalue.ReprWithin(v, bytesMax)
	if !whole {
		return strings.ToValidUTF8(text[:bytesMax], "") + "..."
	}
	return text
}

// defined returns an error where the value is not defined.
func defined(values ...pyvalue.Value) error {
	for _, v := range values {
		if u, ok := v.(undefined); ok {
			return &UndefinedError{u.message}
		}
	}
	return nil
}

// str is the text that a value prints as.
func (r *renderer) str(v pyvalue.Value) (string, error) {
	if isLenient(v) {
		return "", nil
	}
	if err := defined(v); err != nil {
		return "", err
	}
	if s, ok := v.(pyvalue.Str); ok {
		return string(s), nil
	}
	return r.repr(v)
}

func (r *renderer) repr(v pyvalue.Value) (string, error) {
	text, ok := pyvalue.ReprWithin(v, OutputBytesMax)
	if !ok {
		return "", fmt.Errorf("%w: a value prints longer than %d bytes", ErrLimit, OutputBytesMax)
	}
	return text, r.charge(len(text))
}

func truth(v pyvalue.Value) (bool, error) {
	if isLenient(v) {
		return false, nil
	}
	if err := defined(v); err != nil {
		return false, err
	}
	switch v := v.(type) {
	case *view:
		return v.dict.Len() > 0, nil
	case rangeValue:
		return v.len() > 0, nil
	}
	return pyvalue.Truth(v), nil
}

// list returns what walking through a value gives. The slice is not shared.
func (r *renderer) list(v pyvalue.Value) ([]pyvalue.Value, error) {
	if isLenient(v) {
		return nil, nil
	}
	if err := defined(v); err != nil {
		return nil, err
	}
	if n, ok := length(v); ok {
		if err := r.elements(n); err != nil {
			return nil, err
		}
	}
	switch v := v.(type) {
	case *pyvalue.List:
		return append([]pyvalue.Value(nil), v.Items...), nil
	case pyvalue.Tuple:
		return append([]pyvalue.Value(nil), v...), nil
	case *pyvalue.Dict:
		return v.Keys(), nil
	case *view:
		return v.items(), nil
	case *generator:
		items := v.items
		v.items = nil
		return items, nil
	case rangeValue:
		out := make([]pyvalue.Value, v.len())
		for i := range out {
			out[i] = v.at(i)
		}
		return out, nil
	case pyvalue.Str:
		out := make([]pyvalue.Value, 0, len(v))
		for _, c := range string(v) {
			out = append(out, pyvalue.Str(string(c)))
		}
		return out, nil
	case *loop:
		return v.rest(), nil
	case *group:
		return v.tuple(), nil
	}
	return nil, fmt.Errorf("'%s' object is not iterable", v.Type())
}

// length is Python's len, where there is one.
func length(v pyvalue.Value) (int, bool) {
	switch v := v.(type) {
	case pyvalue.Str:
		return utf8.RuneCountInString(string(v)), true
	case *pyvalue.List:
		return len(v.Items), true
	case pyvalue.Tuple:
		return len(v), true
	case *pyvalue.Dict:
		return v.Len(), true
	case *view:
		return v.dict.Len(), true
	case rangeValue:
		return v.len(), true
	case *loop:
		return len(v.items), true
	case *group:
		return 2, true
	}
	return 0, isLenient(v)
}

// unescape reads the escape sequences of a string literal.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			i++
			continue
		}
		text, n, ok := pyvalue.Unescape(s[i:])
		if !ok {
			return "", fmt.Errorf("invalid escape sequence in a string")
		}
		b.WriteString(text)
		i += n
	}
	return b.String(), nil
}
