package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"quorate/eventlog"
)

// The encoding of a state begins with these bytes and its version as a varint.
// Everything behind them is in the order of encode_parts.go: numbers as varints,
// texts and lists behind their length plus one (0 is a nil one), maps by ascending
// key, and what is an event of the catalogue in that event's own encoding, so that
// fields which are added to events need nothing here.
const (
	encodingMagic = "quorate-state\n"
	// encodingVersion is raised when a part is added, and when the fold makes
	// something else of records that are already written: older states stay readable,
	// and [EncodingVersion] tells who could fold the log instead.
	encodingVersion = 5
)

// EncodingVersion is the version of the encoding that [State.Encode] writes.
// States of an older one are read, but may lack what the fold has learned since.
const EncodingVersion = encodingVersion

var (
	// ErrEncoding is wrapped by the errors of [DecodeState] for what is not an
	// encoded state, or only a part of one.
	ErrEncoding = errors.New("not an encoded state")
	// ErrNewerEncoding is wrapped by the errors of [DecodeState] for a state that a
	// later version of the program wrote.
	ErrNewerEncoding = errors.New("the state was written by a newer version of this program: read it with that one")
)

// Encode writes the whole state, so that [DecodeState] makes an equal one of it:
// of the same hash, and folding what follows to the same states. Equal states
// have equal encodings. The error is of w.
func (s *State) Encode(w io.Writer) error { return s.encode(w, encodingVersion) }

// EncodedAs reports whether an encoding that the state was decoded from is the one
// that its version of the program writes of it.
func (s *State) EncodedAs(encoded []byte) bool {
	c := &codec{
		from: bytes.NewReader(encoded), buf: make([]byte, 0, codecBufferBytes),
		texts: map[string]string{}, forms: map[string][]byte{},
	}
	c.take(len(encodingMagic))
	number(c, &c.version)
	if c.err != nil || c.version > encodingVersion {
		return false
	}
	c.state(NewState())
	var again bytes.Buffer
	return c.err == nil && s.encodeAs(&again, c.version, c.forms) == nil && bytes.Equal(again.Bytes(), encoded)
}

func (s *State) encode(w io.Writer, version uint64) error { return s.encodeAs(w, version, nil) }

// encodeAs writes events that have another form in forms in that one.
func (s *State) encodeAs(w io.Writer, version uint64, forms map[string][]byte) error {
	c := &codec{version: version, to: w, buf: make([]byte, 0, codecBufferBytes), forms: forms}
	c.buf = append(c.buf, encodingMagic...)
	number(c, &version)
	c.state(s)
	c.flush()
	return c.err
}

// DecodeState reads what [State.Encode] wrote, and nothing may follow it. What it
// reads may come from anybody: it takes memory in proportion to the input, and a
// state that it returns can be folded on. Errors wrap [ErrEncoding],
// [ErrNewerEncoding], or are of r.
func DecodeState(r io.Reader) (*State, error) {
	c := &codec{from: r, buf: make([]byte, 0, codecBufferBytes), texts: map[string]string{}}
	if string(c.take(len(encodingMagic))) != encodingMagic {
		return nil, c.refuse("it begins with something else")
	}
	var version uint64
	number(c, &version)
	switch {
	case c.err != nil:
		return nil, c.refuse("it ends early")
	case version > encodingVersion:
		return nil, fmt.Errorf("%w (format %d; this one knows %d)", ErrNewerEncoding, version, encodingVersion)
	case version == 0:
		return nil, c.refuse("it has no version")
	}
	c.version = version
	s := NewState()
	c.state(s)
	if c.err == nil && !c.atEnd() {
		c.fail("something follows its end")
	}
	if c.err == nil {
		if why := s.fault(); why != "" {
			c.fail(why)
		}
	}
	if c.err != nil {
		return nil, c.err
	}
	s.derive()
	return s, nil
}

// refuse returns the error so far, or one with the reason.
func (c *codec) refuse(reason string) error {
	if c.err == nil || errors.Is(c.err, ErrEncoding) {
		return fmt.Errorf("%w: %s", ErrEncoding, reason)
	}
	return c.err
}

// asEvent codes a part that is an event of the catalogue.
func asEvent[E any, P interface {
	*E
	eventlog.Event
}](c *codec, e P) {
	if c.reading() {
		var data []byte
		c.bytes(&data)
		if c.err != nil {
			return
		}
		decoded, err := eventlog.Decode(e.Kind(), data)
		if err != nil {
			c.fail(err.Error())
			return
		}
		*e = *decoded.(P)
		if c.forms != nil {
			now, err := eventlog.Encode(e)
			if err == nil && !bytes.Equal(now, data) {
				c.forms[string(now)] = data
			}
		}
		return
	}
	data, err := eventlog.Encode(e)
	if err != nil && c.err == nil {
		c.err = err
	}
	if before, ok := c.forms[string(data)]; ok {
		data = before
	}
	c.bytes(&data)
}
