package eventlog

import (
	"encoding/binary"
	"math"
	"math/bits"
	"reflect"
)

// A shape is what the canonical encoding of a type looks like. Checking bytes
// against it before they are decoded bounds what a decode can allocate to a
// small multiple of their length, and refuses a second spelling of one value,
// which would fork the hash chain.
type shape struct {
	kind   reflect.Kind // Struct, Slice, String, Bool, Int64, Uint64; Array stands for bytes
	bits   int          // of an integer
	elem   *shape       // of a slice
	fields []*shape     // of a struct
	// fieldsMin is how many fields the first version of a struct had.
	fieldsMin int
}

// shapeOf derives the shape of an event's type. It panics on a type that has no
// canonical encoding: that is a mistake in the catalogue, found by any test.
func shapeOf(t reflect.Type) *shape {
	switch t.Kind() {
	case reflect.Struct:
		s := &shape{kind: reflect.Struct}
		for f := range t.Fields() {
			if !f.IsExported() {
				continue
			}
			s.fields = append(s.fields, shapeOf(f.Type))
			if f.Tag.Get("added") == "" {
				s.fieldsMin = len(s.fields)
			}
		}
		return s
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return &shape{kind: reflect.Array}
		}
		return &shape{kind: reflect.Slice, elem: shapeOf(t.Elem())}
	case reflect.String, reflect.Bool:
		return &shape{kind: t.Kind()}
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &shape{kind: reflect.Int64, bits: t.Bits()}
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &shape{kind: reflect.Uint64, bits: t.Bits()}
	}
	panic("eventlog: no canonical encoding for " + t.String())
}

// A walker checks bytes against a shape and lengthens arrays from before a field
// was added.
type walker struct {
	data []byte
	pos  int
	// out holds data[:copied] with the arrays lengthened; empty while none was short.
	out    []byte
	copied int
}

// conform returns data in the shape's present form, or the offset and the reason
// why it is not of that shape.
func conform(s *shape, data []byte) (full []byte, offset int, reason string) {
	w := walker{data: data}
	if reason := w.walk(s); reason != "" {
		return nil, w.pos, reason
	}
	if w.pos != len(data) {
		return nil, w.pos, "trailing bytes"
	}
	if w.copied == 0 {
		return data, 0, ""
	}
	return append(w.out, data[w.copied:]...), 0, ""
}

const truncated = "truncated"

// walk leaves pos at the offending byte when it returns a reason.
func (w *walker) walk(s *shape) string {
	if w.pos >= len(w.data) {
		return truncated
	}
	c := w.data[w.pos]
	switch s.kind {
	case reflect.Struct:
		return w.walkStruct(s)
	case reflect.Slice:
		if c == codeNil {
			w.pos++
			return ""
		}
		n, reason := w.length(arrayCodes)
		for i := 0; reason == "" && i < n; i++ {
			reason = w.walk(s.elem)
		}
		return reason
	case reflect.String:
		return w.skip(stringCodes)
	case reflect.Array:
		if c == codeNil {
			w.pos++
			return ""
		}
		return w.skip(bytesCodes)
	case reflect.Bool:
		if c != codeFalse && c != codeTrue {
			return "not a boolean"
		}
		w.pos++
		return ""
	default:
		return w.integer(s)
	}
}

func (w *walker) walkStruct(s *shape) string {
	start := w.pos
	n, reason := w.length(arrayCodes)
	if reason != "" {
		return reason
	}
	if n < s.fieldsMin || n > len(s.fields) {
		w.pos = start
		if n > len(s.fields) {
			return newerFields
		}
		return "too few fields"
	}
	missing := len(s.fields) - n
	if missing > 0 {
		w.out = append(w.out, w.data[w.copied:start]...)
		w.out = append(w.out, codeArray32)
		w.out = binary.BigEndian.AppendUint32(w.out, uint32(len(s.fields)))
		w.copied = w.pos
	}
	for _, f := range s.fields[:n] {
		if reason := w.walk(f); reason != "" {
			return reason
		}
	}
	if missing > 0 {
		w.out = append(w.out, w.data[w.copied:w.pos]...)
		w.copied = w.pos
		for range missing {
			w.out = append(w.out, codeNil)
		}
	}
	return ""
}

// Codes of the msgpack format.
const (
	codeNil     = 0xc0
	codeFalse   = 0xc2
	codeTrue    = 0xc3
	codeUint8   = 0xcc
	codeUint64  = 0xcf
	codeInt8    = 0xd0
	codeInt64   = 0xd3
	codeArray32 = 0xdd
)

// lengthCodes are the headers of a family of values: one byte that holds small
// lengths itself, then 1, 2 and 4 byte lengths; 0 where the format has none.
type lengthCodes struct {
	fixed, fixedMax byte
	one, two, four  byte
	name            string
}

var (
	arrayCodes  = lengthCodes{fixed: 0x90, fixedMax: 15, two: 0xdc, four: 0xdd, name: "an array"}
	stringCodes = lengthCodes{fixed: 0xa0, fixedMax: 31, one: 0xd9, two: 0xda, four: 0xdb, name: "a string"}
	bytesCodes  = lengthCodes{one: 0xc4, two: 0xc5, four: 0xc6, name: "bytes"}
)

// length reads a header. An element takes at least a byte, so that a length
// beyond what is left of the data is a lie.
func (w *walker) length(codes lengthCodes) (n int, reason string) {
	if w.pos >= len(w.data) {
		return 0, truncated
	}
	c, rest := w.data[w.pos], w.data[w.pos+1:]
	var size int
	var least uint64
	switch {
	case codes.fixedMax > 0 && c >= codes.fixed && c <= codes.fixed+codes.fixedMax:
		n = int(c - codes.fixed)
	case c == codes.one && codes.one != 0:
		size, least = 1, 0
		if codes.fixedMax > 0 {
			least = uint64(codes.fixedMax) + 1
		}
	case c == codes.two:
		size, least = 2, math.MaxUint8+1
		if codes.one == 0 {
			least = uint64(codes.fixedMax) + 1
		}
	case c == codes.four:
		size, least = 4, math.MaxUint16+1
	default:
		return 0, "not " + codes.name
	}
	if size > 0 {
		if len(rest) < size {
			return 0, truncated
		}
		v := bigEndian(rest[:size])
		if v < least {
			return 0, "longer than canonical"
		}
		if v > uint64(len(rest)-size) {
			return 0, "length exceeds the data"
		}
		n = int(v)
	} else if n > len(rest) {
		return 0, "length exceeds the data"
	}
	w.pos += 1 + size
	return n, ""
}

func (w *walker) skip(codes lengthCodes) string {
	n, reason := w.length(codes)
	if reason == "" {
		w.pos += n
	}
	return reason
}

// integer checks one number: in its shortest form, and within its type.
func (w *walker) integer(s *shape) string {
	c, rest := w.data[w.pos], w.data[w.pos+1:]
	if c <= 0x7f {
		w.pos++
		return ""
	}
	if c >= 0xe0 {
		if s.kind == reflect.Uint64 {
			return "negative"
		}
		w.pos++
		return ""
	}
	var size int
	switch {
	case c >= codeUint8 && c <= codeUint64:
		size = 1 << (c - codeUint8)
	case c >= codeInt8 && c <= codeInt64:
		size = 1 << (c - codeInt8)
	default:
		return "not an integer"
	}
	if len(rest) < size {
		return truncated
	}
	v := bigEndian(rest[:size])
	if c >= codeInt8 {
		n := int64(v) << (64 - 8*size) >> (64 - 8*size)
		if n >= 0 || size > 1 && n >= -1<<(4*size-1) || size == 1 && n >= -32 {
			return "longer than canonical"
		}
		if s.kind == reflect.Uint64 {
			return "negative"
		}
		if n < -1<<(s.bits-1) {
			return "out of range"
		}
	} else {
		if size == 1 && v <= math.MaxInt8 || size > 1 && v < 1<<(4*size) {
			return "longer than canonical"
		}
		width := s.bits
		if s.kind == reflect.Int64 {
			width--
		}
		if bits.Len64(v) > width {
			return "out of range"
		}
	}
	w.pos += 1 + size
	return ""
}

func bigEndian(b []byte) uint64 {
	var v uint64
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}
