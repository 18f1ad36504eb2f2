package eventlog

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// SegmentRecords is how many records a segment file holds at the most.
const SegmentRecords = 16384

// A segment file holds old records, from one index to another, and never changes:
//
//	start    "QUORSEG1"
//	chunks   records, compressed, one chunk behind the other
//	index    what the file is, and where its chunks are
//	sum      SHA-256 over the start and the index
//	length   4 bytes: of index and sum
//	end      "QUORSEGE"
//
// The index is: the format's version (2 bytes); the head of the log before the first
// record, and behind the last one (48 bytes each: index, time, chain hash); the length
// of the cluster's id (2) and the id; the number of chunks (4), and for each the number
// of its records (4), its length before and after compression (4 and 4), the head
// behind its last record (48) and the SHA-256 of it compressed; and the hashes of the
// complete subtrees of level 8 of the Merkle tree over these records, of 256 records
// each. A chunk is a frame of Zstandard (RFC 8878) around records of the same 256: each
// is its time (8), its kind (2), the length of its data (4) and the data. Integers are
// big-endian. Hashes of single records are computed from the head before the chunk.
const (
	segmentStart  = "QUORSEG1"
	segmentEnd    = "QUORSEGE"
	segmentFormat = 1

	segmentTailBytes = 4 + len(segmentEnd)
	chunkEntryBytes  = 4 + 4 + 4 + headBytes + len(Hash{})
	headBytes        = 8 + 8 + len(Hash{})
	chunkHeaderBytes = 8 + 2 + 4 // of a record in a chunk

	// A chunk is closed once it is as large as this. It may hold one record that is
	// larger.
	chunkRawWanted = 256 << 10
	chunkRawMax    = chunkRawWanted + chunkHeaderBytes + EntryBytesMax
	chunkPackedMax = chunkRawMax + chunkRawMax/64 + 1024
	// segmentRecordsMax and segmentBytesWanted bound a segment, the latter but for
	// the rest of 256 records. Less than the least is not worth a file of its own.
	segmentRecordsMax  = SegmentRecords
	segmentRecordsMin  = 4096
	segmentBytesWanted = 16 << 20
	segmentBytesMin    = 4 << 20
	clusterBytesMax    = 255
	indexBytesMax      = segmentRecordsMax*chunkEntryBytes + segmentRecordsMax/blockRecords*len(Hash{}) + 1024
)

var errSegment = errors.New("not a segment of this program")

// A segmentIndex says what is in a segment file.
type segmentIndex struct {
	before, end Head
	cluster     string
	chunks      []chunk
	subtrees    []Hash
}

// A chunk is some records of a segment.
type chunk struct {
	records, raw, packed uint32
	end                  Head
	sum                  Hash

	before Head  // where the chunk begins in the log
	at     int64 // and in the file
}

func (x *segmentIndex) encode() []byte {
	b := binary.BigEndian.AppendUint16(nil, segmentFormat)
	b = append(b, encodeHead(x.before)...)
	b = append(b, encodeHead(x.end)...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(x.cluster)))
	b = append(b, x.cluster...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(x.chunks)))
	for i := range x.chunks {
		c := &x.chunks[i]
		b = binary.BigEndian.AppendUint32(b, c.records)
		b = binary.BigEndian.AppendUint32(b, c.raw)
		b = binary.BigEndian.AppendUint32(b, c.packed)
		b = append(b, encodeHead(c.end)...)
		b = append(b, c.sum[:]...)
	}
	for _, h := range x.subtrees {
		b = append(b, h[:]...)
	}
	return b
}

// sumSegment is what vouches for the index of a segment.
func sumSegment(index []byte) Hash {
	return sha256.Sum256(append([]byte(segmentStart), index...))
}

// A cutter takes bytes off the front; too few leave it failed.
type cutter struct {
	rest   []byte
	failed bool
}

func (c *cutter) take(n int) []byte {
	if c.failed || n > len(c.rest) {
		c.failed = true
		return make([]byte, min(n, clusterBytesMax))
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cutter) uint16() uint16 { return binary.BigEndian.Uint16(c.take(2)) }
func (c *cutter) uint32() uint32 { return binary.BigEndian.Uint32(c.take(4)) }

func (c *cutter) head() (h Head) {
	b := c.take(headBytes)
	h.Index, h.Time = binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[8:]))
	copy(h.Hash[:], b[16:])
	return h
}

// decodeSegmentIndex is strict: what it takes encodes to the same bytes.
func decodeSegmentIndex(b []byte) (*segmentIndex, error) {
	c := &cutter{rest: b}
	if v := c.uint16(); !c.failed && v != segmentFormat {
		return nil, fmt.Errorf("it has format %d, and this version reads %d", v, segmentFormat)
	}
	x := &segmentIndex{before: c.head(), end: c.head()}
	named := int(c.uint16())
	if named > clusterBytesMax {
		return nil, errSegment
	}
	x.cluster = string(c.take(named))
	count := c.uint32()
	if c.failed || count == 0 || uint64(count)*uint64(chunkEntryBytes) > uint64(len(c.rest)) {
		return nil, errSegment
	}
	at, offset := x.before, int64(len(segmentStart))
	x.chunks = make([]chunk, count)
	for i := range x.chunks {
		k := &x.chunks[i]
		*k = chunk{records: c.uint32(), raw: c.uint32(), packed: c.uint32(), end: c.head(), before: at, at: offset}
		copy(k.sum[:], c.take(len(k.sum)))
		if !k.sound() {
			return nil, errSegment
		}
		at, offset = k.end, offset+int64(k.packed)
	}
	records := at.Index - x.before.Index
	if at != x.end || x.before.Index%blockRecords != 0 || records%blockRecords != 0 || records > segmentRecordsMax {
		return nil, errSegment
	}
	x.subtrees = make([]Hash, records/blockRecords)
	for i := range x.subtrees {
		copy(x.subtrees[i][:], c.take(len(Hash{})))
	}
	if c.failed || len(c.rest) > 0 {
		return nil, errSegment
	}
	return x, nil
}

// sound reports whether a chunk may be one: what it needs of memory is bounded, and it
// is within one block of the Merkle tree.
func (k *chunk) sound() bool {
	return k.records > 0 && k.records <= blockRecords && k.raw <= chunkRawMax && k.packed <= chunkPackedMax &&
		k.end.Index == k.before.Index+uint64(k.records) && k.end.Index > k.before.Index && k.end.Time >= k.before.Time &&
		k.before.Index/blockRecords == (k.end.Index-1)/blockRecords
}

// appendChunked adds a record to a chunk that is not compressed yet.
func appendChunked(b []byte, r *Record) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(r.Time))
	b = binary.BigEndian.AppendUint16(b, uint16(r.Kind))
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.Data)))
	return append(b, r.Data...)
}

// decodeChunk returns the records of a chunk, whose data alias raw. They are those that
// the index says, or it fails.
func (k *chunk) decode(raw []byte) ([]Record, error) {
	if len(raw) != int(k.raw) {
		return nil, errors.New("a chunk has another length")
	}
	c := &cutter{rest: raw}
	records := make([]Record, 0, k.records)
	at := k.before
	for range k.records {
		r := Record{Index: at.Index + 1, Time: int64(binary.BigEndian.Uint64(c.take(8))), Kind: Kind(c.uint16())}
		n := c.uint32()
		if c.failed || int64(n) > int64(len(c.rest)) {
			return nil, errors.New("a record is cut off")
		}
		if r.Time < at.Time {
			return nil, errors.New("time runs backwards")
		}
		r.Data = c.take(int(n))
		r.Hash = r.chained(at.Hash)
		at = Head{Index: r.Index, Time: r.Time, Hash: r.Hash}
		records = append(records, r)
	}
	if len(c.rest) > 0 || at != k.end {
		return nil, errors.New("the hash does not match")
	}
	return records, nil
}
