package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// BytesMax bounds the content of a frame.
	BytesMax = 16 << 20
	// keptBytesMax bounds the buffer that is kept from one frame for the next.
	keptBytesMax = 1 << 20
	// firstBytes is how much is allocated on the word of a frame's header alone.
	firstBytes  = 64 << 10
	headerBytes = 4
)

// ErrMalformed is wrapped by errors about bytes that no Encoder writes.
var ErrMalformed = errors.New("malformed")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// A Reader reads frames. It is for one goroutine.
type Reader struct {
	from io.Reader
	// begun is called when a frame's header has arrived, and ended when the rest
	// has, so that a deadline may be set on that.
	begun func(bytes int) error
	ended func() error
	buf   []byte
}

// NewReader reads frames. Begun is called when a frame's header has arrived, with
// the bytes of the rest, and ended when these have; their errors end the reading.
func NewReader(from io.Reader, begun func(bytes int) error, ended func() error) *Reader {
	return &Reader{from: from, begun: begun, ended: ended}
}

// Next returns the content of the next frame, until the next call. The error is
// io.EOF where the stream ends before a frame.
func (r *Reader) Next() ([]byte, error) {
	if cap(r.buf) > keptBytesMax || r.buf == nil {
		r.buf = make([]byte, 0, headerBytes)
	}
	header := r.buf[:headerBytes]
	if _, err := io.ReadFull(r.from, header); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(header))
	if n == 0 || n > BytesMax {
		return nil, malformed("frame of %d bytes", n)
	}
	if err := r.begun(n); err != nil {
		return nil, err
	}
	buf := r.buf[:0]
	for len(buf) < n {
		if len(buf) == cap(buf) {
			// Twice what has arrived, so that a frame is allocated by who sends it.
			grown := make([]byte, len(buf), min(n, max(firstBytes, 2*len(buf))))
			copy(grown, buf)
			buf = grown
		}
		more := buf[len(buf):min(n, cap(buf))]
		if _, err := io.ReadFull(r.from, more); err != nil {
			return nil, fmt.Errorf("frame: %w", unexpected(err))
		}
		buf = buf[:len(buf)+len(more)]
	}
	r.buf = buf
	return buf, r.ended()
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// begin makes room for a frame's header.
func begin(buf []byte) []byte { return append(buf[:0], 0, 0, 0, 0) }

// finish writes the header, and the frame is complete.
func finish(buf []byte) ([]byte, error) {
	n := len(buf) - headerBytes
	if n > BytesMax {
		return nil, fmt.Errorf("frame of %d bytes exceeds %d", n, BytesMax)
	}
	binary.BigEndian.PutUint32(buf, uint32(n))
	return buf, nil
}

// A cursor reads values off the front of a frame, until the first that is wrong.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = malformed(format, args...)
	}
	c.b = nil
}

func (c *cursor) byte() byte {
	if len(c.b) == 0 {
		c.fail("it ends too soon")
		return 0
	}
	b := c.b[0]
	c.b = c.b[1:]
	return b
}

func (c *cursor) uint() uint64 {
	if len(c.b) > 0 && c.b[0] < 0x80 {
		v := c.b[0]
		c.b = c.b[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(c.b)
	if n <= 0 || c.b[n-1] == 0 {
		c.fail("a number is cut, too long or not in its shortest form")
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) bool() bool {
	b := c.byte()
	if b > 1 {
		c.fail("truth value %d", b)
	}
	return b == 1
}

// bytes returns a part of the frame.
func (c *cursor) bytes() []byte {
	n := c.uint()
	if n > uint64(len(c.b)) {
		c.fail("%d bytes of %d", n, len(c.b))
		return nil
	}
	b := c.b[:n:n]
	c.b = c.b[n:]
	return b
}

// count reads how many of something follow, each of so many bytes at least.
func (c *cursor) count(most, bytesMin int) int {
	n := c.uint()
	if n > uint64(most) || n*uint64(bytesMin) > uint64(len(c.b)) {
		c.fail("%d parts in %d bytes, %d at most", n, len(c.b), most)
		return 0
	}
	return int(n)
}

func appendBytes(b, v []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}
