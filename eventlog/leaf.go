package eventlog

import (
	"crypto/sha256"
	"encoding/binary"
)

// leafHeaderBytes are a leaf's index, time and kind, before its data.
const leafHeaderBytes = 8 + 8 + 2

// Leaf returns what the record is in the Merkle tree over the log: its index (8
// bytes), its time (8) and its kind (2), big-endian, and its data. It is what the
// chain's hash covers of the record itself, so that a leaf does not depend on the
// records before it.
func (r *Record) Leaf() []byte {
	b := make([]byte, 0, leafHeaderBytes+len(r.Data))
	b = binary.BigEndian.AppendUint64(b, r.Index)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Time))
	b = binary.BigEndian.AppendUint16(b, uint16(r.Kind))
	return append(b, r.Data...)
}

// LeafHash returns the hash of the record's [Record.Leaf] as RFC 6962 has it:
// SHA-256 over a zero byte and the leaf.
func (r *Record) LeafHash() Hash {
	var fixed [1 + leafHeaderBytes]byte
	binary.BigEndian.PutUint64(fixed[1:], r.Index)
	binary.BigEndian.PutUint64(fixed[9:], uint64(r.Time))
	binary.BigEndian.PutUint16(fixed[17:], uint16(r.Kind))
	d := sha256.New()
	d.Write(fixed[:])
	d.Write(r.Data)
	var h Hash
	d.Sum(h[:0])
	return h
}

// NodeHash returns the hash above two subtrees of the Merkle tree: SHA-256 over a
// byte of one and both hashes.
func NodeHash(left, right Hash) Hash {
	var b [1 + 2*len(left)]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+len(left):], right[:])
	return sha256.Sum256(b[:])
}
