package eventlog

import (
	"bytes"
	"testing"
)

// seedSegment is a segment of 256 records.
func seedSegment(tb testing.TB) (x *segmentIndex, raw []byte) {
	tb.Helper()
	var head Head
	x = &segmentIndex{cluster: "0123456789abcdef"}
	records := chain(tb, &head, blockRecords)
	var leaves []Hash
	for i := range records {
		raw = appendChunked(raw, &records[i])
		leaves = append(leaves, records[i].LeafHash())
	}
	x.end = head
	x.chunks = []chunk{{records: blockRecords, raw: uint32(len(raw)), packed: 100, end: head, at: int64(len(segmentStart))}}
	x.subtrees = []Hash{newBlockHashes(leaves)[blockLevel][0]}
	return x, raw
}

// What is taken for an index is one to the bit, and asks for bounded memory.
func FuzzSegmentIndex(f *testing.F) {
	x, _ := seedSegment(f)
	f.Add(x.encode())
	f.Add(x.encode()[:100])
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := decodeSegmentIndex(b)
		if err != nil {
			return
		}
		if !bytes.Equal(x.encode(), b) {
			t.Fatal("another form of the same index was taken")
		}
		for i := range x.chunks {
			if k := &x.chunks[i]; k.raw > chunkRawMax || k.packed > chunkPackedMax || k.records > blockRecords {
				t.Fatalf("%+v", k)
			}
		}
	})
}

// What is taken for a chunk is the one that the index says, whose chain only it has.
func FuzzSegmentChunk(f *testing.F) {
	x, raw := seedSegment(f)
	f.Add(raw)
	f.Add(raw[:50])
	f.Fuzz(func(t *testing.T, b []byte) {
		k := x.chunks[0]
		k.raw = uint32(len(b))
		records, err := k.decode(b)
		if err == nil && (!bytes.Equal(b, raw) || len(records) != blockRecords) {
			t.Fatal("another chunk was taken")
		}
	})
}

// What the database says of a segment is canonical too.
func FuzzSegmentEntry(f *testing.F) {
	g := segment{first: 1, end: Head{Index: blockRecords, Time: 5}, size: 5000, raw: 9000, index: 400}
	f.Add(indexKey(1), g.encode())
	f.Fuzz(func(t *testing.T, key, b []byte) {
		if g, ok := decodeSegment(key, b); ok && (!bytes.Equal(g.encode(), b) || !bytes.Equal(indexKey(g.first), key)) {
			t.Fatal("another form of the same entry was taken")
		}
	})
}
