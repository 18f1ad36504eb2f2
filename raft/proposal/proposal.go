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
	// Behind is the end of the log that the proposer had applied when it made the
	// proposal: every replica that applies it has that record with that hash.
	Behind  Link
	Entries []eventlog.Entry
}

// A Link is a record by its index and its hash in the chain; both are zero for
// the beginning of the log.
type Link struct {
	Index uint64
	Hash  eventlog.Hash
	// Unknown is set where the proposal is of a version that has no link.
	Unknown bool
}

const (
	// versionUnlinked is what was written before proposals had a Link.
	versionUnlinked = 1
	version         = 2
	unlinkedBytes   = 1 + 8 + 8 + 4
	headerBytes     = unlinkedBytes + 8 + 32

	// EntryHeaderBytes is what AppendEntry writes before the data.
	EntryHeaderBytes = 8 + 2 + 4
)

// ErrMalformed says that bytes are not the encoding of a proposal.
var ErrMalformed = errors.New("malformed proposal")

// Encode writes the version, the proposer, the sequence, the link's index and hash
// and the count, then each entry's time, kind, length and data, all big-endian.
// One with an unknown link is written as it was read.
func (p *Proposal) Encode() []byte {
	size := headerBytes
	for i := range p.Entries {
		size += EntryHeaderBytes + len(p.Entries[i].Data)
	}
	b := make([]byte, 0, size)
	if p.Behind.Unknown {
		b = append(b, versionUnlinked)
	} else {
		b = append(b, version)
	}
	b = binary.BigEndian.AppendUint64(b, p.Proposer)
	b = binary.BigEndian.AppendUint64(b, p.Sequence)
	if !p.Behind.Unknown {
		b = binary.BigEndian.AppendUint64(b, p.Behind.Index)
		b = append(b, p.Behind.Hash[:]...)
	}
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
	if len(b) < unlinkedBytes || b[0] != versionUnlinked && (b[0] != version || len(b) < headerBytes) {
		return Proposal{}, ErrMalformed
	}
	p := Proposal{Proposer: binary.BigEndian.Uint64(b[1:]), Sequence: binary.BigEndian.Uint64(b[9:])}
	p.Behind.Unknown = b[0] == versionUnlinked
	b = b[17:]
	if !p.Behind.Unknown {
		p.Behind.Index = binary.BigEndian.Uint64(b)
		copy(p.Behind.Hash[:], b[8:])
		b = b[8+len(p.Behind.Hash):]
	}
	count := binary.BigEndian.Uint32(b)
	b = b[4:]
	if p.Sequence == 0 || count == 0 && p.Behind.Unknown || uint64(count)*EntryHeaderBytes > uint64(len(b)) {
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
