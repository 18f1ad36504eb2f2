// Package proposal is the encoding of what goes through Raft. It stands apart so
// that it can be tested and fuzzed without Raft itself.
package proposal

import (
	"encoding/binary"
	"errors"

	"quorate/eventlog"
)

// A Proposal is what goes through Raft: the entries of one or several Appends,
// under an id by which a repeat of it is known.
type Proposal struct {
	Proposer uint64 // random, of one run of a process
	Sequence uint64 // from 1
	Entries  []eventlog.Entry
}

const (
	version     = 1
	headerBytes = 1 + 8 + 8 + 4

	// EntryHeaderBytes is what AppendEntry writes before the data.
	EntryHeaderBytes = 8 + 2 + 4
)

// ErrMalformed says that bytes are not the encoding of a proposal.
var ErrMalformed = errors.New("malformed proposal")

// Encode writes the version, the proposer, the sequence and the count, then each
// entry's time, kind, length and data, all big-endian.
func (p *Proposal) Encode() []byte {
	size := headerBytes
	for i := range p.Entries {
		size += EntryHeaderBytes + len(p.Entries[i].Data)
	}
	b := make([]byte, 0, size)
	b = append(b, version)
	b = binary.BigEndian.AppendUint64(b, p.Proposer)
	b = binary.BigEndian.AppendUint64(b, p.Sequence)
	b = binary.BigEndian.AppendUint32(b, uint32(len(p.Entries)))
	for i := range p.Entries {
		b = AppendEntry(b, &p.Entries[i])
	}
	return b
}

// AppendEntry adds an entry's time, kind, length and data to b.
func AppendEntry(b []byte, e *eventlog.Entry) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(e.Time))
	b = binary.BigEndian.AppendUint16(b, uint16(e.Kind))
	b = binary.BigEndian.AppendUint32(b, uint32(len(e.Data)))
	return append(b, e.Data...)
}

// Decode aliases b. It must not come to depend on the catalogue: replicas
// of different versions have to agree on what is malformed.
func Decode(b []byte) (Proposal, error) {
	if len(b) < headerBytes || b[0] != version {
		return Proposal{}, ErrMalformed
	}
	p := Proposal{Proposer: binary.BigEndian.Uint64(b[1:]), Sequence: binary.BigEndian.Uint64(b[9:])}
	count := binary.BigEndian.Uint32(b[17:])
	b = b[headerBytes:]
	if p.Sequence == 0 || count == 0 || uint64(count)*EntryHeaderBytes > uint64(len(b)) {
		return Proposal{}, ErrMalformed
	}
	p.Entries = make([]eventlog.Entry, count)
	for i := range p.Entries {
		if len(b) < EntryHeaderBytes {
			return Proposal{}, ErrMalformed
		}
		n := binary.BigEndian.Uint32(b[10:])
		if uint64(n) > uint64(len(b)-EntryHeaderBytes) {
			return Proposal{}, ErrMalformed
		}
		end := EntryHeaderBytes + int(n)
		p.Entries[i] = eventlog.Entry{
			Time: int64(binary.BigEndian.Uint64(b)),
			Kind: eventlog.Kind(binary.BigEndian.Uint16(b[8:])),
			Data: b[EntryHeaderBytes:end:end],
		}
		b = b[end:]
	}
	if len(b) != 0 {
		return Proposal{}, ErrMalformed
	}
	return p, nil
}
