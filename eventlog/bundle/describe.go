package bundle

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"strconv"

	"quorate/eventlog"
)

// errData is the error for an event's data that is not what its schema says.
var errData = errors.New("the data is not what the schema says")

func appendBase64(dst, b []byte) []byte { return base64.StdEncoding.AppendEncode(dst, b) }

// A describer turns the data of events into JSON by their schemas.
type describer struct {
	kinds map[uint16]*eventlog.KindSchema
}

func newDescriber(schemas []eventlog.KindSchema) *describer {
	d := &describer{kinds: make(map[uint16]*eventlog.KindSchema, len(schemas))}
	for i := range schemas {
		d.kinds[schemas[i].Kind] = &schemas[i]
	}
	return d
}

// append appends the name of an event's kind and its fields, as two members of an
// object. What no schema describes is null.
func (d *describer) append(dst []byte, kind uint16, data []byte) []byte {
	schema, ok := d.kinds[kind]
	if !ok {
		dst = append(dst, `"type":"kind_`...)
		dst = strconv.AppendUint(dst, uint64(kind), 10)
		return append(dst, `","event":null`...)
	}
	dst = append(dst, `"type":`...)
	dst = appendText(dst, []byte(schema.Name))
	dst = append(dst, `,"event":`...)
	m := unpacker{data: data}
	described, err := m.structure(dst, schema.Fields)
	if err != nil || len(m.data) > 0 {
		return append(dst, `null`...)
	}
	return described
}

// An unpacker reads msgpack. Its data shrinks as it is read.
type unpacker struct{ data []byte }

func (m *unpacker) value(dst []byte, s *eventlog.FieldSchema) ([]byte, error) {
	if len(m.data) == 0 || len(dst) > describedBytesMax {
		return nil, errData
	}
	c := m.data[0]
	switch s.Type {
	case "bool":
		m.data = m.data[1:]
		switch c {
		case 0xc2:
			return append(dst, `false`...), nil
		case 0xc3:
			return append(dst, `true`...), nil
		}
		return nil, errData
	case "string":
		b, err := m.run(0xa0, 31, 0xd9)
		return appendBytes(dst, b), err
	case "int", "uint":
		return m.number(dst, s.Words)
	case "struct":
		return m.structure(dst, s.Fields)
	case "bytes", "list":
		if c == 0xc0 {
			m.data = m.data[1:]
			return append(dst, `null`...), nil
		}
		if s.Type == "list" {
			return m.list(dst, s.Elem)
		}
		b, err := m.run(0, -1, 0xc4)
		return appendBytes(dst, b), err
	}
	return nil, errData
}

// structure reads an array as the fields of an object: all of them, or the first
// few in records from before the others were added.
func (m *unpacker) structure(dst []byte, fields []eventlog.FieldSchema) ([]byte, error) {
	n, err := m.length(0x90, 15, 0xdc, 2)
	if err != nil || n > len(fields) {
		return nil, errData
	}
	dst = append(dst, '{')
	for i := range fields[:n] {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendText(dst, []byte(fields[i].Name)), ':')
		if dst, err = m.value(dst, &fields[i]); err != nil {
			return nil, err
		}
	}
	if n < len(fields) && !fields[n].Added {
		return nil, errData
	}
	return append(dst, '}'), nil
}

func (m *unpacker) list(dst []byte, elem *eventlog.FieldSchema) ([]byte, error) {
	n, err := m.length(0x90, 15, 0xdc, 2)
	if err != nil || elem == nil {
		return nil, errData
	}
	dst = append(dst, '[')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = m.value(dst, elem); err != nil {
			return nil, err
		}
	}
	return append(dst, ']'), nil
}

// length reads the header of a value: small lengths in the byte itself, or behind
// a code for the width of what follows. Every element takes at least a byte.
func (m *unpacker) length(fixed byte, fixedMax int, code byte, width int) (int, error) {
	if len(m.data) == 0 {
		return 0, errData
	}
	c := m.data[0]
	if n := int(c) - int(fixed); n >= 0 && n <= fixedMax {
		if m.data = m.data[1:]; n > len(m.data) {
			return 0, errData
		}
		return n, nil
	}
	for ; width <= 4; width, code = 2*width, code+1 {
		if c != code {
			continue
		}
		n, err := m.unsigned(width)
		if err != nil || n > uint64(len(m.data)) {
			return 0, errData
		}
		return int(n), nil
	}
	return 0, errData
}

func (m *unpacker) run(fixed byte, fixedMax int, code byte) ([]byte, error) {
	n, err := m.length(fixed, fixedMax, code, 1)
	if err != nil {
		return nil, err
	}
	b := m.data[:n]
	m.data = m.data[n:]
	return b, nil
}

// unsigned reads a code and the big-endian number behind it.
func (m *unpacker) unsigned(width int) (uint64, error) {
	if len(m.data) < 1+width {
		return 0, errData
	}
	var wide [8]byte
	copy(wide[8-width:], m.data[1:1+width])
	m.data = m.data[1+width:]
	return binary.BigEndian.Uint64(wide[:]), nil
}

func (m *unpacker) number(dst []byte, words []string) ([]byte, error) {
	c := m.data[0]
	switch {
	case c <= 0x7f:
		m.data = m.data[1:]
		if int(c) < len(words) {
			return appendText(dst, []byte(words[c])), nil
		}
		return strconv.AppendUint(dst, uint64(c), 10), nil
	case c >= 0xe0:
		m.data = m.data[1:]
		return strconv.AppendInt(dst, int64(int8(c)), 10), nil
	case c >= 0xcc && c <= 0xcf:
		n, err := m.unsigned(1 << (c - 0xcc))
		return strconv.AppendUint(dst, n, 10), err
	case c >= 0xd0 && c <= 0xd3:
		width := 1 << (c - 0xd0)
		n, err := m.unsigned(width)
		shift := 64 - 8*width
		return strconv.AppendInt(dst, int64(n<<shift)>>shift, 10), err
	}
	return nil, errData
}

// extends is nil where the schemas of a bundle are those of this program as far as
// both go, so that fields are called what they are. Newer says that the bundle's
// know of more.
func extends(own, theirs []eventlog.KindSchema) (newer bool, err error) {
	known := newDescriber(own)
	last := -1
	for i := range theirs {
		t := &theirs[i]
		if int(t.Kind) <= last || t.Kind > math.MaxInt16 {
			return false, errors.New("its kinds are out of order")
		}
		last = int(t.Kind)
		o, ok := known.kinds[t.Kind]
		if !ok {
			newer = true
			continue
		}
		more, same := sameFields(o.Fields, t.Fields)
		if o.Name != t.Name || !same {
			return false, errors.New("it calls something else a " + o.Name)
		}
		newer = newer || more
	}
	return newer, nil
}

// sameFields compares as many fields as both have: versions only ever add some.
func sameFields(own, theirs []eventlog.FieldSchema) (more, same bool) {
	for i := range min(len(own), len(theirs)) {
		m, ok := sameField(&own[i], &theirs[i])
		if !ok {
			return false, false
		}
		more = more || m
	}
	longer := own
	if len(theirs) > len(own) {
		longer, more = theirs, true
	}
	for _, f := range longer[min(len(own), len(theirs)):] {
		if !f.Added {
			return false, false
		}
	}
	return more, true
}

func sameField(own, theirs *eventlog.FieldSchema) (more, same bool) {
	if own.Name != theirs.Name || own.Type != theirs.Type || own.Added != theirs.Added || (own.Elem == nil) != (theirs.Elem == nil) {
		return false, false
	}
	for i := range min(len(own.Words), len(theirs.Words)) {
		if own.Words[i] != theirs.Words[i] {
			return false, false
		}
	}
	more, same = sameFields(own.Fields, theirs.Fields)
	if same && own.Elem != nil {
		var m bool
		m, same = sameField(own.Elem, theirs.Elem)
		more = more || m
	}
	return more || len(theirs.Words) > len(own.Words), same
}
