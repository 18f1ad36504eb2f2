package bundle

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strconv"

	"quorate/eventlog"
)

// lineBytesMax bounds a line of events: the longest event in base64, and what it
// says, which is null where a value begins behind describedBytesMax of the line.
const (
	lineBytesMax      = 96 << 20
	describedBytesMax = 32 << 20
)

var errLine = errors.New("not in canonical form")

// appendLine appends the line of a record: its own fields, the hash of its leaf in
// the tree, and what it says.
func (d *describer) appendLine(dst []byte, r *eventlog.Record) []byte {
	start := len(dst)
	dst = append(dst, `{"index":`...)
	dst = strconv.AppendUint(dst, r.Index, 10)
	dst = append(dst, `,"time":`...)
	dst = strconv.AppendInt(dst, r.Time, 10)
	dst = append(dst, `,"kind":`...)
	dst = strconv.AppendUint(dst, uint64(r.Kind), 10)
	dst = append(dst, `,"data":"`...)
	dst = appendBase64(dst, r.Data)
	dst = append(dst, `","leaf":"`...)
	dst = append(dst, r.LeafHash().String()...)
	dst = append(dst, `",`...)
	// The line's own bound must not depend on what stands before it.
	line := d.append(dst[start:len(dst):cap(dst)], uint16(r.Kind), r.Data)
	return append(append(dst[:start], line...), '}', '\n')
}

// parseLine reads a record out of a line, which is what appendLine makes of it.
// The record's Hash is not set. Scratch is for another call.
func (d *describer) parseLine(line, scratch []byte) (r eventlog.Record, again []byte, err error) {
	rest, ok := bytes.CutPrefix(line, []byte(`{"index":`))
	number := func(name string, bits int) (n int64) {
		text, after, found := bytes.Cut(rest, []byte(name))
		n, err := strconv.ParseInt(string(text[:min(len(text), 24)]), 10, bits)
		ok = ok && found && err == nil
		rest = after
		return n
	}
	r.Index = uint64(number(`,"time":`, 64))
	r.Time = number(`,"kind":`, 64)
	r.Kind = eventlog.Kind(number(`,"data":"`, 32))
	text, _, found := bytes.Cut(rest, []byte(`"`))
	if !ok || !found {
		return r, scratch, errLine
	}
	if r.Data, err = base64.StdEncoding.AppendDecode(nil, text); err != nil || len(r.Data) > eventlog.EntryBytesMax {
		return r, scratch, errLine
	}
	scratch = d.appendLine(scratch[:0], &r)
	if !bytes.Equal(scratch, line) {
		return r, scratch, errLine
	}
	return r, scratch, nil
}
