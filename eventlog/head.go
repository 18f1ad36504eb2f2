package eventlog

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// A Head is the end of a log: what the next record follows.
type Head struct {
	Index uint64 // 0 for an empty log
	Time  int64  // unix nanoseconds
	Hash  Hash
}

// Next returns the record that an entry becomes behind the head, and moves the
// head to it. The time is clamped so that it never runs backwards.
func (h *Head) Next(e Entry) Record {
	h.Index++
	h.Time = max(h.Time, e.Time)
	r := Record{Index: h.Index, Time: h.Time, Kind: e.Kind, Data: e.Data}
	h.Hash = r.chained(h.Hash)
	r.Hash = h.Hash
	return r
}

// chained returns the hash of the record behind a record of hash prev: SHA-256
// over prev, the index (8 bytes), the time (8), the kind (2), big-endian, and
// the data.
func (r *Record) chained(prev Hash) Hash {
	var fixed [len(prev) + 18]byte
	copy(fixed[:], prev[:])
	binary.BigEndian.PutUint64(fixed[32:], r.Index)
	binary.BigEndian.PutUint64(fixed[40:], uint64(r.Time))
	binary.BigEndian.PutUint16(fixed[48:], uint16(r.Kind))
	d := sha256.New()
	d.Write(fixed[:])
	d.Write(r.Data)
	var h Hash
	d.Sum(h[:0])
	return h
}

// String returns the hash in lower-case hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalJSON writes the hash as a string of hex.
func (h Hash) MarshalJSON() ([]byte, error) {
	return []byte(`"` + h.String() + `"`), nil
}
