package eventlog

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"

	"github.com/vmihailenco/msgpack/v5"
)

// Bounds of one append. The bytes of a batch stay below the frames of 16 MiB
// that replicas exchange.
const (
	// EntryBytesMax bounds the data of one entry.
	EntryBytesMax = 8 << 20
	// BatchBytesMax bounds the data of the entries of one Append.
	BatchBytesMax = 12 << 20
	// BatchEntriesMax bounds the number of entries of one Append.
	BatchEntriesMax = 16384
)

// ErrRefused is wrapped by errors for entries that a log will not take. Nothing
// of such an Append is in the log, nor ever will be.
var ErrRefused = errors.New("refused by the log")

// A DecodeError says why bytes are not an event.
type DecodeError struct {
	Kind   Kind
	Offset int // of the first byte that is wrong
	Reason string
}

// Error implements error.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("event %s: byte %d: %s", e.Kind, e.Offset, e.Reason)
}

// Why an event of a later version is none of this one.
const (
	newerKind   = "a kind that this version does not know"
	newerFields = "more fields than this version knows"
)

// Newer reports whether that is what an event of a later version looks like.
func (e *DecodeError) Newer() bool { return e.Reason == newerKind || e.Reason == newerFields }

// Encode returns the one canonical encoding of an event: its fields as a msgpack
// array, every number and length in its shortest form.
func Encode(e Event) ([]byte, error) {
	v := reflect.ValueOf(e)
	if !v.IsValid() || v.Kind() != reflect.Pointer || v.IsNil() {
		return nil, fmt.Errorf("%w: no event", ErrRefused)
	}
	if c, ok := lookup(e.Kind()); !ok || v.Type().Elem() != c.typ {
		return nil, fmt.Errorf("%w: %T is not in the catalogue", ErrRefused, e)
	}
	var buf bytes.Buffer
	enc := msgpack.GetEncoder()
	defer msgpack.PutEncoder(enc)
	enc.Reset(&buf)
	enc.UseCompactInts(true)
	if err := enc.Encode(e); err != nil {
		return nil, fmt.Errorf("event %s: %w", e.Kind(), err)
	}
	if buf.Len() > EntryBytesMax {
		return nil, fmt.Errorf("%w: event %s of %d bytes exceeds %d", ErrRefused, e.Kind(), buf.Len(), EntryBytesMax)
	}
	return buf.Bytes(), nil
}

// NewEntry encodes an event at a time in unix nanoseconds.
func NewEntry(now int64, e Event) (Entry, error) {
	data, err := Encode(e)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Time: now, Kind: e.Kind(), Data: data}, nil
}

// Decode returns the event of canonical bytes. Events of earlier versions, with
// fewer fields, decode with the fields since added left zero. The error is a
// [*DecodeError].
func Decode(kind Kind, data []byte) (Event, error) {
	c, ok := lookup(kind)
	if !ok {
		return nil, &DecodeError{Kind: kind, Reason: newerKind}
	}
	if len(data) > EntryBytesMax {
		return nil, &DecodeError{Kind: kind, Offset: EntryBytesMax, Reason: "longer than an entry may be"}
	}
	full, offset, reason := conform(c.shape, data)
	if reason != "" {
		return nil, &DecodeError{Kind: kind, Offset: offset, Reason: reason}
	}
	e := reflect.New(c.typ).Interface()
	dec := msgpack.GetDecoder()
	defer msgpack.PutDecoder(dec)
	dec.Reset(bytes.NewReader(full))
	if err := dec.Decode(e); err != nil {
		return nil, &DecodeError{Kind: kind, Reason: err.Error()}
	}
	return e.(Event), nil
}

// CheckBatch returns an error that wraps [ErrRefused] where the entries of one
// Append exceed a bound or are of no known kind.
func CheckBatch(entries []Entry) error {
	if len(entries) == 0 {
		return fmt.Errorf("%w: no entries", ErrRefused)
	}
	if len(entries) > BatchEntriesMax {
		return fmt.Errorf("%w: %d entries exceed %d", ErrRefused, len(entries), BatchEntriesMax)
	}
	total := 0
	for i := range entries {
		n := len(entries[i].Data)
		if n > EntryBytesMax {
			return fmt.Errorf("%w: an entry of %d bytes exceeds %d", ErrRefused, n, EntryBytesMax)
		}
		if _, ok := lookup(entries[i].Kind); !ok {
			return fmt.Errorf("%w: %s is not in the catalogue", ErrRefused, entries[i].Kind)
		}
		if total += n; total > BatchBytesMax {
			return fmt.Errorf("%w: a batch of more than %d bytes", ErrRefused, BatchBytesMax)
		}
	}
	return nil
}
