package mux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A record is a byte of its kind, three of its length, and so many bytes.
const (
	recordHeaderBytes = 4
	// recordBytesMax bounds a record: a message of a stream and its header fit.
	recordBytesMax = 64 << 10
	// reasonBytesMax bounds the reason of a close.
	reasonBytesMax = 1024

	kindStreams = 1 // bytes of the streams
	kindClose   = 2 // eight bytes of the code, then the reason; the last record
)

// errRecord is of bytes that are no record.
var errRecord = errors.New("malformed record")

// appendRecord frames what is at most recordBytesMax long.
func appendRecord(to []byte, kind byte, payload []byte) []byte {
	n := len(payload)
	to = append(to, kind, byte(n>>16), byte(n>>8), byte(n))
	return append(to, payload...)
}

// appendClose frames the end of a connection.
func appendClose(to []byte, code uint64, reason string) []byte {
	if len(reason) > reasonBytesMax {
		reason = reason[:reasonBytesMax]
	}
	return appendRecord(to, kindClose, append(binary.BigEndian.AppendUint64(nil, code), reason...))
}

// A recordReader returns the bytes of the streams, without copying them. It is not for
// concurrent use.
type recordReader struct {
	from io.Reader
	left int // bytes of the record under way
}

// Read returns a *[CloseError] when the other side has closed. Bytes that end without
// that are an [io.ErrUnexpectedEOF].
func (r *recordReader) Read(p []byte) (int, error) {
	for r.left == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n, err := r.from.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, unexpected(err)
}

// next reads the header of a record of the streams.
func (r *recordReader) next() error {
	var header [recordHeaderBytes]byte
	if _, err := io.ReadFull(r.from, header[:]); err != nil {
		return unexpected(err)
	}
	n := int(binary.BigEndian.Uint32(header[:]) & 0xff_ffff)
	switch kind := header[0]; {
	case kind == kindStreams && n <= recordBytesMax:
		r.left = n
		return nil
	case kind == kindClose && n >= 8 && n <= 8+reasonBytesMax:
		payload := make([]byte, n)
		if _, err := io.ReadFull(r.from, payload); err != nil {
			return unexpected(err)
		}
		return &CloseError{Code: binary.BigEndian.Uint64(payload), Reason: string(payload[8:]), Remote: true}
	default:
		return fmt.Errorf("%w: %w: kind %d of %d bytes", ErrProtocol, errRecord, kind, n)
	}
}

// unexpected is for an end that nobody announced.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
