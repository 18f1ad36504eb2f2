package eventlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// bucketSegments holds what the database knows of each segment, by its first index.
// Its entry and the removal of the records are one transaction: before it the file is
// nothing, and behind it the only place of the records.
var bucketSegments = []byte("segments")

const segmentEntryBytes = headBytes + 8 + 8 + 4 + len(Hash{})

// errMoved says that a record which was looked for in the database is in a segment.
var errMoved = errors.New("the record is in a segment by now")

func (g *segment) encode() []byte {
	b := encodeHead(g.end)
	b = binary.BigEndian.AppendUint64(b, uint64(g.size))
	b = binary.BigEndian.AppendUint64(b, uint64(g.raw))
	b = binary.BigEndian.AppendUint32(b, g.index)
	return append(b, g.sum[:]...)
}

// decodeSegment returns nothing for what cannot be an entry of the bucket.
func decodeSegment(key, b []byte) (g segment, ok bool) {
	if len(key) != 8 || len(b) != segmentEntryBytes {
		return g, false
	}
	c := &cutter{rest: b}
	g = segment{
		first: binary.BigEndian.Uint64(key), end: c.head(), size: int64(binary.BigEndian.Uint64(c.take(8))),
		raw: int64(binary.BigEndian.Uint64(c.take(8))), index: c.uint32(),
	}
	copy(g.sum[:], c.take(len(g.sum)))
	return g, g.end.Index >= g.first && g.end.Index-g.first < segmentRecordsMax && int(g.index) > len(g.sum) && g.index <= uint32(indexBytesMax) &&
		g.size >= int64(g.index)+int64(segmentTailBytes+len(segmentStart))
}

// movedBy returns the last index that a transaction knows to be in a segment.
func movedBy(tx *bolt.Tx) uint64 {
	b := tx.Bucket(bucketSegments)
	if b == nil {
		return 0
	}
	g, ok := decodeSegment(b.Cursor().Last())
	if !ok {
		return 0
	}
	return g.end.Index
}

// loadSegments reads what the database knows of its segments, and looks whether they
// are there, unless they are about to be read or are not to be verified.
func (s *Store) loadSegments() error {
	var list []segment
	err := s.view(func(tx *bolt.Tx) error {
		list = list[:0]
		next := uint64(1)
		if b := tx.Bucket(bucketSegments); b != nil {
			err := b.ForEach(func(k, v []byte) error {
				g, ok := decodeSegment(k, v)
				if !ok || g.first != next || g.end.Index > s.head.Index {
					return s.corrupt(next, "what it knows of its segments is not what was written")
				}
				list = append(list, g)
				next = g.end.Index + 1
				return nil
			})
			if err != nil {
				return err
			}
		}
		return s.checkLiveStart(tx, next)
	})
	if err != nil {
		return err
	}
	s.segments.set(list)
	if s.opt.SkipVerify || s.opt.VerifyAll {
		return nil
	}
	for i := range list {
		f, _, err := s.segments.open(&list[i], true)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// checkLiveStart refuses a database that does not begin with a record.
func (s *Store) checkLiveStart(tx *bolt.Tx, first uint64) error {
	k, _ := tx.Bucket(bucketEvents).Cursor().First()
	switch want := indexKey(first); {
	case k == nil && s.head.Index >= first:
		return s.corrupt(first, "the record is missing or has no header")
	case k != nil && bytes.Compare(k, want) < 0:
		return s.corrupt(first, "a record that is in a segment already")
	case k != nil && !bytes.Equal(k, want):
		return s.corrupt(first, "the record is missing or has no header")
	}
	return nil
}

// readSealed adds what is in segments.
func (s *Store) readSealed(p *pager) error {
	for !p.full {
		s.mu.RLock()
		if s.db == nil {
			s.mu.RUnlock()
			return ErrClosed
		}
		g, ok := holding(s.segments.all(), p.next)
		var err error
		if ok {
			err = s.segments.read(&g, p)
		}
		s.mu.RUnlock()
		if !ok {
			return nil
		}
		if now, still := holding(s.segments.all(), p.next); err != nil && still && now == g {
			return err
		}
	}
	return nil
}

// Sealed returns the last index that is in a segment file; 0 where none is.
func (s *Store) Sealed() uint64 { return sealed(s.segments.all()).Index }

// Sizes are what a store takes on its disk.
type Sizes struct {
	// Live is how many records are in the database, and LiveBytes its file; of these
	// FreeBytes are used again before it grows.
	Live                 uint64
	LiveBytes, FreeBytes int64
	// Segments is how many segment files there are, SegmentBytes what they take,
	// UnpackedBytes what their records take in a database, and Sealed the last index
	// in them.
	Segments                    int
	SegmentBytes, UnpackedBytes int64
	Sealed                      uint64
}

// Sizes returns what the store takes. The error is of the file.
func (s *Store) Sizes() (z Sizes, err error) {
	list := s.segments.all()
	for i := range list {
		z.SegmentBytes += list[i].size
		z.UnpackedBytes += list[i].raw
	}
	z.Segments, z.Sealed = len(list), sealed(list).Index
	z.Live = s.Head().Index - z.Sealed
	err = s.view(func(tx *bolt.Tx) error {
		z.LiveBytes = tx.Size()
		stats := tx.DB().Stats()
		z.FreeBytes = int64(stats.FreePageN+stats.PendingPageN) * int64(tx.DB().Info().PageSize)
		return nil
	})
	return z, err
}

// segmentFiles lists what is in the directory of segments that may be a segment, or
// what is left of one.
func (s *Store) segmentFiles() (names []string, err error) {
	files, err := os.ReadDir(s.segments.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, f := range files {
		if name := f.Name(); strings.HasSuffix(name, segmentSuffix) || strings.HasSuffix(name, unfinishedSuffix) {
			names = append(names, name)
		}
	}
	return names, err
}

// refuseStray refuses to begin a log beside the segments of another one.
func (s *Store) refuseStray() error {
	names, err := s.segmentFiles()
	if err != nil || len(names) == 0 {
		return err
	}
	return s.corrupt(1, fmt.Sprintf("it is missing or empty, and %s holds segments of it", s.segments.dir))
}
