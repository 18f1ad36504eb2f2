package wire

import (
	"encoding/binary"
	"fmt"
	"io"
)

// AppendMessage appends the message's frame to dst.
func AppendMessage(dst []byte, m Message) ([]byte, error) {
	if _, ok := m.Type().sender(); !ok {
		return dst, fmt.Errorf("message type %d: %w", m.Type(), ErrMalformed)
	}
	start := len(dst)
	out := append(dst, 0, 0, 0, 0, byte(m.Type()))
	out, err := appendValue(out, m)
	if err != nil {
		return dst, err
	}
	n := len(out) - start - 4
	if n > m.Type().frameBytesMax() {
		return dst, fmt.Errorf("%T of %d bytes: %w", m, n, ErrTooLarge)
	}
	binary.BigEndian.PutUint32(out[start:], uint32(n))
	return out, nil
}

// WriteMessage writes the message's frame in one call of Write.
func WriteMessage(w io.Writer, m Message) error {
	b, err := AppendMessage(nil, m)
	if err != nil {
		return err
	}
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("writing %T: %w", m, err)
	}
	return nil
}

// ReadMessage reads one frame, whoever may have sent it. io.EOF, unwrapped, says
// that the stream ended between two frames.
func ReadMessage(r io.Reader) (Message, error) {
	m, _, err := read(r, Newest, 0, false)
	return m, err
}

// ReadFrom reads one frame like [ReadMessage] and refuses the messages that the
// side does not send. Use it on everything that comes from a peer.
func ReadFrom(r io.Reader, side Side) (Message, error) {
	return Newest.Receive(r, side)
}

// read reads a frame, or the body of one that is packed where those may come.
func read(r io.Reader, p Protocol, side Side, mayPack bool) (m Message, packed []byte, err error) {
	var header [headerBytes]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		if err == io.EOF {
			return nil, nil, err
		}
		return nil, nil, fmt.Errorf("reading a frame's header: %w", err)
	}
	length := binary.BigEndian.Uint32(header[:])
	t := Type(header[4])
	sender, known := t.sender()
	if !known || side != 0 && sender != side || t.packed() && !mayPack {
		return nil, nil, fmt.Errorf("%w: message type %d is not expected here", ErrMalformed, t)
	}
	if length == 0 {
		return nil, nil, fmt.Errorf("%w: empty frame", ErrMalformed)
	}
	if uint64(length) > uint64(t.frameBytesMax()) {
		return nil, nil, fmt.Errorf("frame of %d bytes: %w", length, ErrTooLarge)
	}
	body, err := readBody(r, int(length)-1)
	if err != nil {
		return nil, nil, fmt.Errorf("reading a frame of %d bytes: %w", length, err)
	}
	if t.packed() {
		return nil, body, nil
	}
	m = p.empty(t)
	if err := Unmarshal(body, m); err != nil {
		return nil, nil, err
	}
	if older, ok := m.(form); ok {
		m = older.newest()
	}
	return m, nil, nil
}

// readBody reads n bytes. It allocates as they arrive: a peer that announces
// much and sends little costs little.
func readBody(r io.Reader, n int) ([]byte, error) {
	body := make([]byte, 0, min(n, growBytes))
	for len(body) < n {
		if len(body) == cap(body) {
			grown := make([]byte, len(body), min(n, 2*cap(body)))
			copy(grown, body)
			body = grown
		}
		got, err := io.ReadFull(r, body[len(body):cap(body)])
		body = body[:len(body)+got]
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return body, nil
}

// A Writer gathers frames and writes them together. It is not safe for
// concurrent use.
type Writer struct {
	w        io.Writer
	buf      []byte
	side     Side // what it may pack for, or 0
	protocol Protocol
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return Newest.NewWriter(w) }

// Add appends the message's frame to what the next Flush writes.
func (w *Writer) Add(m Message) error {
	b, err := AppendMessage(w.buf, w.protocol.told(m))
	if err == nil {
		w.buf = b
	}
	return err
}

// Buffered returns how many bytes wait for Flush.
func (w *Writer) Buffered() int { return len(w.buf) }

// Pack has the next flushes write packed what a side sends, where that is less. The
// reader has to be a [Reader]. 0 ends it.
func (w *Writer) Pack(side Side) { w.side = side }

// Flush writes what was added, in one call of Write.
func (w *Writer) Flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	out := w.buf
	if w.side != 0 {
		packed, err := pack(w.buf, w.side)
		if err != nil {
			return err
		}
		if packed != nil {
			out = packed
		}
	}
	_, err := w.w.Write(out)
	w.buf = w.buf[:0]
	if cap(w.buf) > growBytes {
		w.buf = nil
	}
	if err != nil {
		return fmt.Errorf("writing frames: %w", err)
	}
	return nil
}
