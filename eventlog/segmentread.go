package eventlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// SegmentsDir is the name of the directory of segment files beside [StoreFile].
	SegmentsDir   = "segments"
	segmentSuffix = ".seg"

	// What is kept in memory of segments: whoever reads records one after the other
	// finds them there.
	indexesKept = 4
	chunksKept  = 4
)

// A segment is a file of records that are no longer in the database, which vouches
// for it: with size and sum it is known to the bit.
type segment struct {
	first uint64
	end   Head
	size  int64
	raw   int64  // what its records take in the database
	index uint32 // bytes of the index and its sum
	sum   Hash   // of the index
}

func (g *segment) name() string {
	return fmt.Sprintf("%012d-%012d%s", g.first, g.end.Index, segmentSuffix)
}

// segments are the files of a store.
type segments struct {
	dir string

	mu sync.Mutex // guards what follows
	// list is ascending, begins with record 1 and has no holes. It is replaced, and
	// never changed.
	list    []segment
	indexes []keptIndex // the newest last
	chunks  []keptChunk

	unpack func() (*zstd.Decoder, error)
}

type keptIndex struct {
	of    segment
	index *segmentIndex
}

type keptChunk struct {
	sum     Hash
	before  Hash
	records []Record
}

// segmentsDir is where the segments of a store are: each store in a directory has its
// own.
func segmentsDir(store string) string {
	dir, name := filepath.Split(store)
	if name == StoreFile {
		return filepath.Join(dir, SegmentsDir)
	}
	return filepath.Join(dir, name+"."+SegmentsDir)
}

func newSegments(store string) *segments {
	return &segments{dir: segmentsDir(store), unpack: sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(chunkRawMax))
	})}
}

// all returns the segments. Who changes the list does so before the database forgets
// the records: what is not in the one is in the other.
func (g *segments) all() []segment {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.list
}

func (g *segments) set(list []segment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.list, g.indexes, g.chunks = list, nil, nil
}

// sealed returns the head behind the last segment.
func sealed(list []segment) Head {
	if len(list) == 0 {
		return Head{}
	}
	return list[len(list)-1].end
}

// holding returns the segment with an index.
func holding(list []segment, index uint64) (segment, bool) {
	i, _ := slices.BinarySearchFunc(list, index, func(s segment, index uint64) int {
		if s.end.Index < index {
			return -1
		}
		return 1
	})
	if i == len(list) || list[i].first > index {
		return segment{}, false
	}
	return list[i], true
}

func (g *segments) path(s *segment) string { return filepath.Join(g.dir, s.name()) }

// bad is damage to a segment from an index on.
func (g *segments) bad(s *segment, index uint64, format string, args ...any) error {
	return &CorruptError{Path: g.path(s), Index: index, Reason: fmt.Sprintf(format, args...)}
}

// open returns the file of a segment with its index. Fresh has it read in any case.
func (g *segments) open(s *segment, fresh bool) (f *os.File, x *segmentIndex, err error) {
	f, err = os.Open(g.path(s))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, g.bad(s, s.first, "the file is missing: the log needs it, and a copy of the log has to hold the directory %q as well", filepath.Base(g.dir))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("segment: %w", err)
	}
	if !fresh {
		x = g.keptIndex(s)
	}
	if x == nil {
		if x, err = g.readIndex(f, s); err != nil {
			return nil, nil, errors.Join(err, f.Close())
		}
		if !fresh {
			g.keepIndex(s, x)
		}
	}
	return f, x, nil
}

// readIndex reads the index of a segment and checks that it is the one that the
// database vouches for, and that the file is as long as it is to be.
func (g *segments) readIndex(f *os.File, s *segment) (*segmentIndex, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	if info.Size() != s.size {
		return nil, g.bad(s, s.first, "the file has %d bytes, and had %d", info.Size(), s.size)
	}
	b := make([]byte, int(s.index)+segmentTailBytes)
	if _, err := f.ReadAt(b, s.size-int64(len(b))); err != nil {
		return nil, fmt.Errorf("segment %s: %w", f.Name(), err)
	}
	start := make([]byte, len(segmentStart))
	if _, err := f.ReadAt(start, 0); err != nil {
		return nil, fmt.Errorf("segment %s: %w", f.Name(), err)
	}
	index := b[:int(s.index)-len(Hash{})]
	tail := binary.BigEndian.AppendUint32(bytes.Clone(s.sum[:]), s.index)
	if string(start) != segmentStart || sumSegment(index) != s.sum || string(b[len(index):]) != string(tail)+segmentEnd {
		return nil, g.bad(s, s.first, "its index is not the one that was written")
	}
	x, err := decodeSegmentIndex(index)
	if err != nil {
		return nil, g.bad(s, s.first, "%v", err)
	}
	if last := &x.chunks[len(x.chunks)-1]; x.before.Index+1 != s.first || x.end != s.end || last.at+int64(last.packed)+int64(len(b)) != s.size {
		return nil, g.bad(s, s.first, "its index is that of another segment")
	}
	return x, nil
}

// chunk returns the records of a chunk, which the caller must not change.
func (g *segments) chunk(f *os.File, s *segment, k *chunk, fresh bool) ([]Record, error) {
	if !fresh {
		if records := g.keptChunk(k); records != nil {
			return records, nil
		}
	}
	packed := make([]byte, k.packed)
	if _, err := f.ReadAt(packed, k.at); errors.Is(err, io.EOF) {
		return nil, g.bad(s, k.before.Index+1, "the file ends before the records %d to %d", k.before.Index+1, k.end.Index)
	} else if err != nil {
		return nil, fmt.Errorf("segment %s: %w", f.Name(), err)
	}
	if sha256.Sum256(packed) != k.sum {
		return nil, g.bad(s, k.before.Index+1, "the records %d to %d are not what was written", k.before.Index+1, k.end.Index)
	}
	d, err := g.unpack()
	if err != nil {
		return nil, err
	}
	raw, err := d.DecodeAll(packed, make([]byte, 0, k.raw))
	if err != nil {
		return nil, g.bad(s, k.before.Index+1, "the records %d to %d: %v", k.before.Index+1, k.end.Index, err)
	}
	records, err := k.decode(raw)
	if err != nil {
		return nil, g.bad(s, k.before.Index+1, "the records %d to %d: %v", k.before.Index+1, k.end.Index, err)
	}
	if !fresh {
		g.keepChunk(k, records)
	}
	return records, nil
}

// read adds records of a segment to a page.
func (g *segments) read(s *segment, p *pager) error {
	f, x, err := g.open(s, false)
	if err != nil {
		return err
	}
	defer f.Close()
	return g.readFile(f, x, s, p, false)
}

func (g *segments) readFile(f *os.File, x *segmentIndex, s *segment, p *pager, fresh bool) error {
	for i := range x.chunks {
		k := &x.chunks[i]
		if k.end.Index < p.next {
			continue
		}
		if p.full {
			return nil
		}
		records, err := g.chunk(f, s, k, fresh)
		if err != nil {
			return err
		}
		for _, r := range records[p.next-k.before.Index-1:] {
			if r.Data = bytes.Clone(r.Data); !p.take(r) {
				return nil
			}
		}
	}
	return nil
}

func (g *segments) keptIndex(s *segment) *segmentIndex {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.indexes {
		if g.indexes[i].of == *s {
			return g.indexes[i].index
		}
	}
	return nil
}

func (g *segments) keepIndex(s *segment, x *segmentIndex) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.indexes) == indexesKept {
		g.indexes = slices.Delete(g.indexes, 0, 1)
	}
	g.indexes = append(g.indexes, keptIndex{*s, x})
}

func (g *segments) keptChunk(k *chunk) []Record {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.chunks {
		if g.chunks[i].sum == k.sum && g.chunks[i].before == k.before.Hash {
			return g.chunks[i].records
		}
	}
	return nil
}

func (g *segments) keepChunk(k *chunk, records []Record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.chunks) == chunksKept {
		g.chunks = slices.Delete(g.chunks, 0, 1)
	}
	g.chunks = append(g.chunks, keptChunk{k.sum, k.before.Hash, records})
}
