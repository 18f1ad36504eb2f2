package raft

import (
	"encoding/binary"
	"errors"

	"quorate/eventlog"
)

// A proposal is what goes through Raft: the entries of one or several Appends,
// under an id by which a repeat of it is known.
type proposal struct {
	proposer uint64 // random, of one run of a process
	sequence uint64 // from 1
	entries  []eventlog.Entry
}

const (
	proposalVersion     = 1
	proposalHeaderBytes = 1 + 8 + 8 + 4
	entryHeaderBytes    = 8 + 2 + 4
)

var errProposal = errors.New("malformed proposal")

// encode writes the version, the proposer, the sequence and the count, then each
// entry's time, kind, length and data, all big-endian.
func (p *proposal) encode() []byte {
	size := proposalHeaderBytes
	for i := range p.entries {
		size += entryHeaderBytes + len(p.entries[i].Data)
	}
	b := make([]byte, 0, size)
	b = append(b, proposalVersion)
	b = binary.BigEndian.AppendUint64(b, p.proposer)
	b = binary.BigEndian.AppendUint64(b, p.sequence)
	b = binary.BigEndian.AppendUint32(b, uint32(len(p.entries)))
	for i := range p.entries {
		b = appendEntry(b, &p.entries[i])
	}
	return b
}

func appendEntry(b []byte, e *eventlog.Entry) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(e.Time))
	b = binary.BigEndian.AppendUint16(b, uint16(e.Kind))
	b = binary.BigEndian.AppendUint32(b, uint32(len(e.Data)))
	return append(b, e.Data...)
}

// decodeProposal aliases b. It must not come to depend on the catalogue: replicas
// of different versions have to agree on what is malformed.
func decodeProposal(b []byte) (proposal, error) {
	if len(b) < proposalHeaderBytes || b[0] != proposalVersion {
		return proposal{}, errProposal
	}
	p := proposal{proposer: binary.BigEndian.Uint64(b[1:]), sequence: binary.BigEndian.Uint64(b[9:])}
	count := binary.BigEndian.Uint32(b[17:])
	b = b[proposalHeaderBytes:]
	if p.sequence == 0 || count == 0 || uint64(count)*entryHeaderBytes > uint64(len(b)) {
		return proposal{}, errProposal
	}
	p.entries = make([]eventlog.Entry, count)
	for i := range p.entries {
		if len(b) < entryHeaderBytes {
			return proposal{}, errProposal
		}
		n := binary.BigEndian.Uint32(b[10:])
		if uint64(n) > uint64(len(b)-entryHeaderBytes) {
			return proposal{}, errProposal
		}
		end := entryHeaderBytes + int(n)
		p.entries[i] = eventlog.Entry{
			Time: int64(binary.BigEndian.Uint64(b)),
			Kind: eventlog.Kind(binary.BigEndian.Uint16(b[8:])),
			Data: b[entryHeaderBytes:end:end],
		}
		b = b[end:]
	}
	if len(b) != 0 {
		return proposal{}, errProposal
	}
	return p, nil
}
