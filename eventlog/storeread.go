package eventlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// recordHeaderBytes are a stored record's time, kind and hash, before its data.
const recordHeaderBytes = 8 + 2 + 32

func indexKey(index uint64) []byte {
	return binary.BigEndian.AppendUint64(nil, index)
}

// encodeRecord returns the value of a record: time (8 bytes) and kind (2),
// big-endian, the hash (32) and the data. The index is its key.
func encodeRecord(r *Record) []byte {
	b := make([]byte, 0, recordHeaderBytes+len(r.Data))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Time))
	b = binary.BigEndian.AppendUint16(b, uint16(r.Kind))
	b = append(b, r.Hash[:]...)
	return append(b, r.Data...)
}

// decodeRecord aliases v: the caller copies the data before its transaction ends.
func decodeRecord(key, v []byte) (r Record, ok bool) {
	if len(key) != 8 || len(v) < recordHeaderBytes {
		return Record{}, false
	}
	r = Record{
		Index: binary.BigEndian.Uint64(key),
		Time:  int64(binary.BigEndian.Uint64(v)),
		Kind:  Kind(binary.BigEndian.Uint16(v[8:])),
		Data:  v[recordHeaderBytes:],
	}
	copy(r.Hash[:], v[10:])
	return r, true
}

func encodeHead(h Head) []byte {
	b := binary.BigEndian.AppendUint64(nil, h.Index)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Time))
	return append(b, h.Hash[:]...)
}

func (s *Store) decodeHead(b []byte) (Head, error) {
	if len(b) != 48 {
		return Head{}, s.corrupt(0, "no chain head")
	}
	h := Head{Index: binary.BigEndian.Uint64(b), Time: int64(binary.BigEndian.Uint64(b[8:]))}
	copy(h.Hash[:], b[16:])
	return h, nil
}

// A pager collects the records that a [Store.Read] returns.
type pager struct {
	page  []Record
	limit int
	next  uint64 // the index of the next one
	prev  Hash   // the chain's, before it; nothing is known where page is empty
	size  int
	full  bool
}

// take adds a record, and reports whether it did and there is room for more.
func (p *pager) take(r Record) bool {
	if p.size += len(r.Data); len(p.page) > 0 && p.size > PageBytesMax {
		p.full = true
		return false
	}
	p.page = append(p.page, r)
	p.next, p.prev = r.Index+1, r.Hash
	p.full = len(p.page) >= p.limit
	return !p.full
}

// Read returns up to limit stored records from the index on, and fewer where
// their data exceeds [PageBytesMax]. A page is one read transaction, which is
// short: an open one keeps the writer from reusing pages. Each record is checked
// against the hash of the one before it: bbolt returns a flipped bit as data (B1).
// What is in segment files is read there. The error wraps a [*CorruptError] where a
// record is not what was written.
func (s *Store) Read(from uint64, limit int) ([]Record, error) {
	from = max(from, 1)
	if limit <= 0 || from > s.Head().Index {
		return nil, nil
	}
	p := &pager{limit: limit, next: from}
	err := s.readSealed(p)
	for err == nil && !p.full {
		if err = s.readLive(p); !errors.Is(err, errMoved) {
			break
		}
		err = s.readSealed(p)
	}
	if err != nil {
		return nil, fmt.Errorf("read of record %d: %w", from, err)
	}
	return p.page, nil
}

// readLive adds what is in the database. The error is errMoved where the next record
// is in a segment by now.
func (s *Store) readLive(p *pager) error {
	return s.view(func(tx *bolt.Tx) error {
		if movedBy(tx) >= p.next {
			return errMoved
		}
		start := p.size
		defer func() { s.read(tx, p.size-start+len(p.page)*recordHeaderBytes) }()
		c := tx.Bucket(bucketEvents).Cursor()
		before := p.prev
		if len(p.page) == 0 {
			var err error
			if before, err = s.hashBefore(c, p.next); err != nil {
				return err
			}
		}
		for k, v := c.Seek(indexKey(p.next)); k != nil; k, v = c.Next() {
			r, ok := decodeRecord(k, v)
			if !ok || r.Index != p.next {
				return s.corrupt(p.next, "the record is missing or has no header")
			}
			if r.chained(before) != r.Hash {
				return s.corrupt(p.next, "the hash does not match")
			}
			before = r.Hash
			if r.Data = bytes.Clone(r.Data); !p.take(r) {
				return nil
			}
		}
		return nil
	})
}

// hashBefore returns the hash of the record before an index.
func (s *Store) hashBefore(c *bolt.Cursor, index uint64) (Hash, error) {
	if index <= 1 {
		return Hash{}, nil
	}
	if g, ok := holding(s.segments.all(), index-1); ok && g.end.Index == index-1 {
		return g.end.Hash, nil
	}
	r, ok := decodeRecord(c.Seek(indexKey(index - 1)))
	if !ok || r.Index != index-1 {
		return Hash{}, s.corrupt(index-1, "the record is missing or has no header")
	}
	return r.Hash, nil
}

// Side returns every value that commits keep beside the records, by key.
func (s *Store) Side() ([]SideValue, error) {
	var all []SideValue
	err := s.view(func(tx *bolt.Tx) error {
		all = all[:0]
		return tx.Bucket(bucketSide).ForEach(func(k, v []byte) error {
			all = append(all, SideValue{Key: bytes.Clone(k), Value: bytes.Clone(v)})
			return nil
		})
	})
	return all, err
}
