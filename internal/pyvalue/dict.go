package pyvalue

import (
	"fmt"
	"iter"
	"math"
	"strings"
)

// A Dict is a mapping that keeps the order of insertion. The zero Dict is empty
// and ready to use.
type Dict struct {
	index   map[string]int
	entries []entry
	live    int
}

type entry struct {
	key, value Value
	deleted    bool
}

// NewDict returns an empty dict.
func NewDict() *Dict { return &Dict{} }

// tupleBytesMax bounds a tuple that is a key: a small one can hold another a
// great many times. Longer ones are unhashable.
const tupleBytesMax = 1 << 20

// hash returns a text that equal keys share and others do not, or false where
// Python calls the value unhashable.
func hash(v Value) (string, bool) {
	switch v := v.(type) {
	case Str:
		return "s" + string(v), true
	case NoneType:
		return "n", true
	case Float:
		f := float64(v)
		if math.IsNaN(f) || math.IsInf(f, 0) || f != math.Trunc(f) {
			return "f" + Repr(v), true
		}
		n, _ := toBigFloat(v)
		return "i" + n.Text('f', 0), true
	case Bool, Int, *Big:
		n, _ := ToBig(v)
		return "i" + n.String(), true
	case Tuple:
		var b strings.Builder
		b.WriteByte('t')
		for _, item := range v {
			h, ok := hash(item)
			if !ok {
				return "", false
			}
			fmt.Fprintf(&b, "%d:%s", len(h), h)
			if b.Len() > tupleBytesMax {
				return "", false
			}
		}
		return b.String(), true
	}
	return "", false
}

// Hashable reports whether the value can be a key.
func Hashable(v Value) bool {
	_, ok := hash(v)
	return ok
}

// Len is the number of entries.
func (d *Dict) Len() int { return d.live }

// Get returns the value of a key.
func (d *Dict) Get(key Value) (Value, bool) {
	h, ok := hash(key)
	if !ok {
		return nil, false
	}
	i, ok := d.index[h]
	if !ok {
		return nil, false
	}
	return d.entries[i].value, true
}

// GetStr is Get for a text key.
func (d *Dict) GetStr(key string) (Value, bool) {
	i, ok := d.index["s"+key]
	if !ok {
		return nil, false
	}
	return d.entries[i].value, true
}

// Set adds an entry at the end, or replaces a key's value in its place. An
// unhashable key is refused.
func (d *Dict) Set(key, value Value) bool {
	h, ok := hash(key)
	if !ok {
		return false
	}
	if i, ok := d.index[h]; ok {
		d.entries[i].value = value
		return true
	}
	if d.index == nil {
		d.index = make(map[string]int)
	}
	d.index[h] = len(d.entries)
	d.entries = append(d.entries, entry{key: key, value: value})
	d.live++
	return true
}

// SetStr is Set for a text key.
func (d *Dict) SetStr(key string, value Value) { d.Set(Str(key), value) }

// Delete removes an entry and returns its value.
func (d *Dict) Delete(key Value) (Value, bool) {
	h, ok := hash(key)
	if !ok {
		return nil, false
	}
	i, ok := d.index[h]
	if !ok {
		return nil, false
	}
	value := d.entries[i].value
	delete(d.index, h)
	d.entries[i] = entry{deleted: true}
	d.live--
	if len(d.entries) > 2*d.live+8 {
		d.compact()
	}
	return value, true
}

func (d *Dict) compact() {
	kept := make([]entry, 0, d.live)
	index := make(map[string]int, d.live)
	for _, e := range d.entries {
		if !e.deleted {
			h, _ := hash(e.key)
			index[h] = len(kept)
			kept = append(kept, e)
		}
	}
	d.entries, d.index = kept, index
}

// All yields the entries in order. The dict must not change meanwhile.
func (d *Dict) All() iter.Seq2[Value, Value] {
	return func(yield func(Value, Value) bool) {
		for _, e := range d.entries {
			if !e.deleted && !yield(e.key, e.value) {
				return
			}
		}
	}
}

// Keys returns the keys in order.
func (d *Dict) Keys() []Value {
	out := make([]Value, 0, d.live)
	for k := range d.All() {
		out = append(out, k)
	}
	return out
}

// Clone returns a copy whose lists and dicts are not shared with the original.
// Nesting beyond 200 levels is cut off.
func (d *Dict) Clone() *Dict { return clone(d, 0).(*Dict) }

func clone(v Value, depth int) Value {
	if depth > depthMax {
		return None
	}
	switch v := v.(type) {
	case *List:
		out := &List{Items: make([]Value, len(v.Items))}
		for i, item := range v.Items {
			out.Items[i] = clone(item, depth+1)
		}
		return out
	case Tuple:
		out := make(Tuple, len(v))
		for i, item := range v {
			out[i] = clone(item, depth+1)
		}
		return out
	case *Dict:
		out := NewDict()
		for k, item := range v.All() {
			out.Set(k, clone(item, depth+1))
		}
		return out
	}
	return v
}
