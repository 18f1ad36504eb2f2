package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
)

var errShort = errors.New("too short")

// A checker walks encoded bytes along a Go type before the msgpack library sees
// them. The library trusts lengths in places, cuts integers to size and takes
// several spellings of one value; the checker refuses all of that, so that
// encoding what was decoded gives the same bytes again.
type checker struct {
	data []byte
	pos  int
	// budget is how many bytes of list elements may still be allocated.
	budget int
}

func (c *checker) take(n int) ([]byte, error) {
	if n > len(c.data)-c.pos {
		return nil, errShort
	}
	b := c.data[c.pos : c.pos+n]
	c.pos += n
	return b, nil
}

func (c *checker) value(t reflect.Type) error {
	switch t.Kind() {
	case reflect.Struct:
		return c.structure(t)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return c.blob(0xc4, 0, 0, true)
		}
		return c.list(t)
	case reflect.Array:
		return c.bytes(t)
	case reflect.String:
		return c.blob(0xd9, 0xa0, 31, false)
	case reflect.Bool:
		b, err := c.take(1)
		if err == nil && b[0] != 0xc2 && b[0] != 0xc3 {
			err = fmt.Errorf("byte %#x is no boolean", b[0])
		}
		return err
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return c.integer(t, false)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return c.integer(t, true)
	}
	return fmt.Errorf("type %s has no place in a message", t)
}

func (c *checker) structure(t reflect.Type) error {
	fields := 0
	for i := range t.NumField() {
		if t.Field(i).IsExported() {
			fields++
		}
	}
	n, null, err := c.length(0x90, 15, 0xdc)
	if err != nil {
		return err
	}
	if null || n != fields {
		return fmt.Errorf("%s has %d fields, want %d", t, n, fields)
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		if err := c.value(f.Type); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return nil
}

func (c *checker) list(t reflect.Type) error {
	n, _, err := c.length(0x90, 15, 0xdc)
	if err != nil {
		return err
	}
	if n > ElementsMax || n > len(c.data)-c.pos {
		return fmt.Errorf("list of %d in %d bytes", n, len(c.data)-c.pos)
	}
	if c.budget -= n * int(t.Elem().Size()); c.budget < 0 {
		return fmt.Errorf("list of %d elements: %w", n, ErrTooLarge)
	}
	for i := range n {
		if err := c.value(t.Elem()); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

// bytes reads bytes whose number is the type's.
func (c *checker) bytes(t reflect.Type) error {
	if t.Elem().Kind() != reflect.Uint8 {
		return fmt.Errorf("type %s has no place in a message", t)
	}
	from := c.pos
	if err := c.blob(0xc4, 0, 0, false); err != nil {
		return err
	}
	header := 2
	if t.Len() > math.MaxUint8 {
		header = 3
	}
	if n := c.pos - from - header; n != t.Len() {
		return fmt.Errorf("%d bytes, want %d", n, t.Len())
	}
	return nil
}

// length reads the header of an array: nil, fixed, 16 or 32 bits wide, in the
// shortest form that holds the number.
func (c *checker) length(fixed byte, fixedMax int, wide byte) (n int, null bool, err error) {
	b, err := c.take(1)
	if err != nil {
		return 0, false, err
	}
	switch code := b[0]; {
	case code == 0xc0:
		return 0, true, nil
	case code >= fixed && int(code-fixed) <= fixedMax:
		return int(code - fixed), false, nil
	case code == wide:
		return c.sized(2, fixedMax)
	case code == wide+1:
		return c.sized(4, math.MaxUint16)
	default:
		return 0, false, fmt.Errorf("byte %#x is no list", code)
	}
}

// sized reads a length of so many bytes, which has to be above what a shorter
// form could have said.
func (c *checker) sized(width, above int) (int, bool, error) {
	b, err := c.take(width)
	if err != nil {
		return 0, false, err
	}
	var v uint64
	for _, x := range b {
		v = v<<8 | uint64(x)
	}
	if int64(v) <= int64(above) || v > math.MaxInt32 {
		return 0, false, fmt.Errorf("length %d in %d bytes", v, width)
	}
	return int(v), false, nil
}

// blob reads a string or, where it may be nil, bytes. code is the form with an
// 8-bit length; the 16- and 32-bit ones follow it.
func (c *checker) blob(code, fixed byte, fixedMax int, nullable bool) error {
	b, err := c.take(1)
	if err != nil {
		return err
	}
	n := 0
	switch x := b[0]; {
	case nullable && x == 0xc0:
		return nil
	case fixed != 0 && x >= fixed && int(x-fixed) <= fixedMax:
		n = int(x - fixed)
	case x == code && fixed == 0:
		n, _, err = c.sized(1, -1)
	case x == code:
		n, _, err = c.sized(1, fixedMax)
	case x == code+1:
		n, _, err = c.sized(2, math.MaxUint8)
	case x == code+2:
		n, _, err = c.sized(4, math.MaxUint16)
	default:
		err = fmt.Errorf("byte %#x is no string or bytes", x)
	}
	if err != nil {
		return err
	}
	_, err = c.take(n)
	return err
}

func (c *checker) integer(t reflect.Type, signed bool) error {
	b, err := c.take(1)
	if err != nil {
		return err
	}
	code := b[0]
	switch {
	case code <= 0x7f:
		return nil
	case code >= 0xe0 && signed:
		return nil
	case code >= 0xcc && code <= 0xcf:
		return c.unsigned(t, 1<<(code-0xcc), signed)
	case code >= 0xd0 && code <= 0xd3 && signed:
		return c.negative(t, 1<<(code-0xd0))
	}
	return fmt.Errorf("byte %#x is no %s", code, t)
}

func (c *checker) unsigned(t reflect.Type, width int, signed bool) error {
	b, err := c.take(width)
	if err != nil {
		return err
	}
	v := widen(b)
	var above uint64 = math.MaxInt8
	if width > 1 {
		above = 1<<(4*width) - 1
	}
	max := uint64(math.MaxUint64) >> (64 - t.Bits())
	if signed {
		max >>= 1
	}
	if v <= above || v > max {
		return fmt.Errorf("%d in %d bytes is no %s", v, width, t)
	}
	return nil
}

func (c *checker) negative(t reflect.Type, width int) error {
	b, err := c.take(width)
	if err != nil {
		return err
	}
	v := int64(widen(b)) << (64 - 8*width) >> (64 - 8*width)
	var below int64 = -32
	if width > 1 {
		below = -1 << (4*width - 1)
	}
	if v >= below || v < math.MinInt64>>(64-t.Bits()) {
		return fmt.Errorf("%d in %d bytes is no %s", v, width, t)
	}
	return nil
}

// widen reads a big-endian number of 1, 2, 4 or 8 bytes.
func widen(b []byte) uint64 {
	var w [8]byte
	copy(w[8-len(b):], b)
	return binary.BigEndian.Uint64(w[:])
}
