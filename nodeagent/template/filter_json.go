package template

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"quorate/internal/pyvalue"
)

// A jsonWriter writes JSON as Jinja2's tojson does: like Python's json.dumps,
// with sorted keys.
type jsonWriter struct {
	r      *renderer
	b      strings.Builder
	indent string
	pretty bool
}

func (w *jsonWriter) value(v pyvalue.Value, depth int) error {
	if err := defined(v); err != nil {
		return err
	}
	if depth > 200 || w.b.Len() > OutputBytesMax {
		return fmt.Errorf("%w: a value is too large for JSON", ErrLimit)
	}
	if err := w.r.step(); err != nil {
		return err
	}
	switch v := ungrouped(v).(type) {
	case *pyvalue.List:
		return w.list(v.Items, depth)
	case pyvalue.Tuple:
		return w.list(v, depth)
	case *pyvalue.Dict:
		return w.dict(v, depth)
	case pyvalue.NoneType, pyvalue.Bool, pyvalue.Int, *pyvalue.Big, pyvalue.Float, pyvalue.Str:
		w.b.WriteString(pyvalue.JSON(v))
		return nil
	}
	return fmt.Errorf("object of type %s is not JSON serializable", v.Type())
}

// line begins a new line where the output is to be indented.
func (w *jsonWriter) line(depth int) {
	if w.pretty {
		w.b.WriteByte('\n')
		w.b.WriteString(strings.Repeat(w.indent, depth))
	}
}

func (w *jsonWriter) comma(i, depth int) {
	switch {
	case i > 0 && w.pretty:
		w.b.WriteByte(',')
	case i > 0:
		w.b.WriteString(", ")
	}
	w.line(depth)
}

func (w *jsonWriter) list(items []pyvalue.Value, depth int) error {
	if len(items) == 0 {
		w.b.WriteString("[]")
		return nil
	}
	w.b.WriteByte('[')
	for i, item := range items {
		w.comma(i, depth+1)
		if err := w.value(item, depth+1); err != nil {
			return err
		}
	}
	w.line(depth)
	w.b.WriteByte(']')
	return nil
}

func (w *jsonWriter) dict(d *pyvalue.Dict, depth int) error {
	if d.Len() == 0 {
		w.b.WriteString("{}")
		return nil
	}
	keys := d.Keys()
	for _, k := range keys {
		if _, ok := k.(pyvalue.Tuple); ok {
			return fmt.Errorf("keys must be str, int, float, bool or None, not tuple")
		}
	}
	var failure error
	slices.SortStableFunc(keys, func(a, b pyvalue.Value) int {
		n, err := w.r.order(a, b, "<")
		failure = cmp.Or(failure, err)
		return n
	})
	if failure != nil {
		return failure
	}
	w.b.WriteByte('{')
	for i, k := range keys {
		w.comma(i, depth+1)
		w.b.WriteString(pyvalue.JSON(pyvalue.Str(pyvalue.Key(k))))
		w.b.WriteString(": ")
		v, _ := d.Get(k)
		if err := w.value(v, depth+1); err != nil {
			return err
		}
	}
	w.line(depth)
	w.b.WriteByte('}')
	return nil
}
