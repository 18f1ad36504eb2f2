package engine

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

const (
	codecBufferBytes = 64 << 10
	// codecTextsMax and codecTextBytesMax bound the texts that are remembered while
	// a state is read, so that equal ones take memory once.
	codecTextsMax     = 4096
	codecTextBytesMax = 256
	// codecListMin is how many elements a list may have before memory is taken only
	// for those that were read.
	codecListMin = 1024
)

const disorder = "the keys of a map are not ascending"

// A codec writes a state, or reads one. Each part is listed once, by a method that
// does both, so that the two cannot disagree. After the first error it does nothing.
type codec struct {
	version uint64 // of the encoding

	to   io.Writer // nil while reading
	from io.Reader // nil while writing

	buf  []byte // written and not passed on, or read from off on and not used
	off  int
	done bool // from has no more
	err  error

	texts map[string]string // that were read
	// forms are events as they were read, by their present encoding: those from before
	// a field was added to them. Nil where nobody asks.
	forms map[string][]byte
	// id and time are what the next attempt's are coded against.
	id   uint64
	time int64
}

func (c *codec) reading() bool { return c.from != nil }

func (c *codec) fail(reason string) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s", ErrEncoding, reason)
	}
}

// flush passes on what is written.
func (c *codec) flush() {
	if c.err == nil {
		_, c.err = c.to.Write(c.buf)
	}
	c.buf = c.buf[:0]
}

// fill reads until there are n bytes, at most codecBufferBytes, or there is no more.
func (c *codec) fill(n int) {
	if len(c.buf)-c.off >= n || c.done {
		return
	}
	c.buf = c.buf[:copy(c.buf[:cap(c.buf)], c.buf[c.off:])]
	c.off = 0
	k, err := io.ReadAtLeast(c.from, c.buf[len(c.buf):cap(c.buf)], n-len(c.buf))
	c.buf = c.buf[:len(c.buf)+k]
	if err == nil {
		return
	}
	c.done = true
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && c.err == nil {
		c.err = err
	}
}

func (c *codec) atEnd() bool {
	c.fill(1)
	return c.off == len(c.buf)
}

// take returns the next n bytes, at most codecBufferBytes, which the next call
// overwrites; nil where there are not so many.
func (c *codec) take(n int) []byte {
	c.fill(n)
	if len(c.buf)-c.off < n {
		c.fail("it ends early")
		return nil
	}
	c.off += n
	return c.buf[c.off-n : c.off]
}

// uvarint reads a number in its shortest form.
func (c *codec) uvarint() uint64 {
	if c.err != nil {
		return 0
	}
	c.fill(binary.MaxVarintLen64)
	v, n := binary.Uvarint(c.buf[c.off:])
	switch {
	case n <= 0:
		c.fail("a number is cut off or too long")
		return 0
	case n > 1 && c.buf[c.off+n-1] == 0:
		c.fail("a number is longer than it need be")
		return 0
	}
	c.off += n
	return v
}

func (c *codec) put(v uint64) {
	if len(c.buf) > codecBufferBytes-binary.MaxVarintLen64 {
		c.flush()
	}
	c.buf = binary.AppendUvarint(c.buf, v)
}

// number codes a number that is not negative.
func number[T ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~int](c *codec, v *T) {
	if !c.reading() {
		c.put(uint64(*v))
		return
	}
	n := c.uvarint()
	if *v = T(n); uint64(*v) != n || *v < 0 {
		c.fail("a number is out of range")
	}
}

// signed codes any number; small ones are short.
func signed[T ~int | ~int32 | ~int64](c *codec, v *T) {
	if !c.reading() {
		n := int64(*v)
		c.put(uint64(n)<<1 ^ uint64(n>>63))
		return
	}
	u := c.uvarint()
	n := int64(u>>1) ^ -int64(u&1)
	if *v = T(n); int64(*v) != n {
		c.fail("a number is out of range")
	}
}

// moment codes a time by how far it is from the one before.
func (c *codec) moment(t *int64) {
	d := *t - c.time
	signed(c, &d)
	if c.reading() {
		*t = c.time + d
	}
	c.time = *t
}

// flags codes up to eight flags.
func (c *codec) flags(vs ...*bool) {
	var b uint8
	for i, v := range vs {
		if *v {
			b |= 1 << i
		}
	}
	number(c, &b)
	if !c.reading() {
		return
	}
	c.want(b>>len(vs) == 0, "an unknown flag")
	for i, v := range vs {
		*v = b>>i&1 != 0
	}
}

// length codes a list's length and whether it is nil.
func (c *codec) length(n int, isNil bool) (int, bool) {
	if !isNil {
		n++
	}
	number(c, &n)
	return max(n-1, 0), n == 0
}

func (c *codec) raw(b []byte) {
	if c.reading() {
		copy(b, c.take(len(b)))
		return
	}
	if len(c.buf)+len(b) > codecBufferBytes {
		c.flush()
	}
	if len(b) > codecBufferBytes {
		if c.err == nil {
			_, c.err = c.to.Write(b)
		}
		return
	}
	c.buf = append(c.buf, b...)
}

func (c *codec) bytes(b *[]byte) {
	n, isNil := c.length(len(*b), *b == nil)
	if !c.reading() {
		c.raw(*b)
		return
	}
	*b = nil
	if isNil {
		return
	}
	read := make([]byte, 0, min(n, codecBufferBytes))
	for len(read) < n && c.err == nil {
		read = append(read, c.take(min(n-len(read), codecBufferBytes))...)
	}
	*b = read
}

func (c *codec) text(s *string) {
	n := len(*s)
	number(c, &n)
	if !c.reading() {
		c.raw([]byte(*s))
		return
	}
	if n > codecTextBytesMax {
		var b []byte
		for len(b) < n && c.err == nil {
			b = append(b, c.take(min(n-len(b), codecBufferBytes))...)
		}
		*s = string(b)
		return
	}
	b := c.take(n)
	known, ok := c.texts[string(b)]
	if !ok {
		known = string(b)
		if len(c.texts) < codecTextsMax {
			c.texts[known] = known
		}
	}
	*s = known
}

// list codes a list by its elements.
func list[E any](c *codec, l *[]E, each func(*codec, *E)) {
	n, isNil := c.length(len(*l), *l == nil)
	if !c.reading() {
		for i := range *l {
			each(c, &(*l)[i])
		}
		return
	}
	*l = nil
	if isNil || c.err != nil {
		return
	}
	read := make([]E, 0, min(n, codecListMin))
	for range n {
		if c.err != nil {
			return
		}
		var e E
		read = append(read, e)
		each(c, &read[len(read)-1])
	}
	*l = slices.Clip(read)
}

// want refuses what is read unless it is as it has to be.
func (c *codec) want(ok bool, otherwise string) {
	if !ok {
		c.fail(otherwise)
	}
}

func (c *codec) strings(l *[]string)   { list(c, l, (*codec).text) }
func (c *codec) numbers(l *[]uint64)   { list(c, l, number[uint64]) }
func (c *codec) positions(l *[]uint32) { list(c, l, number[uint32]) }
func (c *codec) hash(h *[32]byte)      { c.raw(h[:]) }

// table codes a map whose values hold their keys.
func table[K cmp.Ordered, V any](c *codec, m map[K]*V, key func(*V) K, each func(*codec, *V)) {
	n := len(m)
	number(c, &n)
	if !c.reading() {
		for _, k := range inOrder(m) {
			each(c, m[k])
		}
		return
	}
	var last K
	for i := range n {
		if c.err != nil {
			return
		}
		v := new(V)
		each(c, v)
		c.want(i == 0 || key(v) > last, disorder)
		last = key(v)
		m[last] = v
	}
}

// index codes a map from texts to numbers.
func (c *codec) index(m map[string]uint64) {
	n := len(m)
	number(c, &n)
	if !c.reading() {
		for _, k := range inOrder(m) {
			v := m[k]
			c.text(&k)
			number(c, &v)
		}
		return
	}
	var last string
	for i := range n {
		if c.err != nil {
			return
		}
		var k string
		var v uint64
		c.text(&k)
		number(c, &v)
		c.want(i == 0 || k > last, disorder)
		last, m[k] = k, v
	}
}

func inOrder[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
