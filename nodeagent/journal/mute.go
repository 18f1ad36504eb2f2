package journal

import (
	"bytes"
	"fmt"

	"quorate/nodeagent/wire"
)

// The records of format versions up to 6 had no outputs and no notes. What they have in
// addition now stands at the end of them, or of the one thing that they hold, and may be
// nil: the bytes of an earlier one become those of a present one by nils at its end.

// A lengthening is what a record has more of than it had.
type lengthening struct {
	nested bool // in what it holds, and not by itself
	nils   byte
}

func lengtheningOf(k Kind) lengthening {
	switch k {
	case KindKeptReport, KindJobEnded, KindAttemptEnded, KindForbidden, KindPublished:
		return lengthening{nested: true, nils: 1}
	case KindKept:
		return lengthening{nested: true, nils: 2}
	case KindIntended, KindEndedElsewhere:
		return lengthening{nils: 1}
	}
	return lengthening{}
}

// The first bytes of lists of up to 15 and of up to 65,535 elements.
const (
	shortList    = 0x90
	shortListMax = 15
	longList     = 0xdc
)

// decodeMute is decodeRecord for a file of format versions up to 6.
func decodeMute(data []byte) (Record, error) {
	if len(data) == 0 {
		return decodeRecord(data)
	}
	l := lengtheningOf(Kind(data[0]))
	if l.nils == 0 {
		return decodeRecord(data)
	}
	at := 1
	if l.nested {
		at = 2
	}
	if len(data) < at+3 {
		return nil, fmt.Errorf("journal record: %w: %d bytes", wire.ErrMalformed, len(data))
	}
	longer := bytes.Clone(data[:at])
	switch n := data[at] - shortList; {
	case data[at] == longList:
		longer = append(longer, longList, data[at+1], data[at+2]+l.nils) // no record has 250 fields
		at += 3
	case n+l.nils <= shortListMax:
		longer = append(longer, shortList+n+l.nils)
		at++
	default:
		longer = append(longer, longList, 0, n+l.nils)
		at++
	}
	longer = append(longer, data[at:]...)
	return decodeRecord(append(longer, bytes.Repeat([]byte{0xc0}, int(l.nils))...))
}
