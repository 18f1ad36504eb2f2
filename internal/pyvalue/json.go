package pyvalue

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
)

// JSON is what Python's json.dumps writes by default: ", " and ": " between
// elements, and everything outside of ASCII escaped.
func JSON(v Value) string {
	var b strings.Builder
	writeJSON(&b, v, 0)
	return b.String()
}

func writeJSON(b *strings.Builder, v Value, depth int) {
	if depth > depthMax {
		b.WriteString("null")
		return
	}
	switch v := v.(type) {
	case NoneType:
		b.WriteString("null")
	case Bool:
		b.WriteString(strconv.FormatBool(bool(v)))
	case Float:
		b.WriteString(jsonFloat(v))
	case Str:
		jsonStr(b, string(v))
	case *List:
		jsonItems(b, v.Items, depth)
	case Tuple:
		jsonItems(b, v, depth)
	case *Dict:
		b.WriteByte('{')
		first := true
		for k, item := range v.All() {
			if !first {
				b.WriteString(", ")
			}
			first = false
			jsonStr(b, Key(k))
			b.WriteString(": ")
			writeJSON(b, item, depth+1)
		}
		b.WriteByte('}')
	default:
		b.WriteString(Repr(v))
	}
}

func jsonItems(b *strings.Builder, items []Value, depth int) {
	b.WriteByte('[')
	for i, item := range items {
		if i > 0 {
			b.WriteString(", ")
		}
		writeJSON(b, item, depth+1)
	}
	b.WriteByte(']')
}

func jsonFloat(f Float) string {
	switch x := float64(f); {
	case math.IsNaN(x):
		return "NaN"
	case math.IsInf(x, 1):
		return "Infinity"
	case math.IsInf(x, -1):
		return "-Infinity"
	}
	return reprFloat(float64(f))
}

// Key is the text that a mapping's key becomes in JSON.
func Key(k Value) string {
	switch k := k.(type) {
	case Str:
		return string(k)
	case NoneType, Bool:
		return JSON(k)
	case Float:
		return jsonFloat(k)
	}
	return Repr(k)
}

func jsonStr(b *strings.Builder, s string) {
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\b':
			b.WriteString(`\b`)
		case r == '\f':
			b.WriteString(`\f`)
		case r >= 0x20 && r < 0x7f:
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(b, `\u%04x\u%04x`, hi, lo)
		}
	}
	b.WriteByte('"')
}

// Plain is the value after a round trip through JSON, which is what reaches an
// agent's arguments: tuples become lists and keys become text. Nesting beyond
// 200 levels becomes None.
func Plain(v Value) Value { return plain(v, 0) }

func plain(v Value, depth int) Value {
	if depth > depthMax {
		return None
	}
	switch v := v.(type) {
	case *List:
		return plainItems(v.Items, depth)
	case Tuple:
		return plainItems(v, depth)
	case *Dict:
		out := NewDict()
		for k, item := range v.All() {
			out.SetStr(Key(k), plain(item, depth+1))
		}
		return out
	}
	return v
}

func plainItems(items []Value, depth int) *List {
	out := &List{Items: make([]Value, len(items))}
	for i, item := range items {
		out.Items[i] = plain(item, depth+1)
	}
	return out
}
