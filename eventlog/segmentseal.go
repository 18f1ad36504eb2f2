package eventlog

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
	bolt "go.etcd.io/bbolt"
)

// unfinishedSuffix is of a segment that is being written.
const unfinishedSuffix = ".tmp"

// Seal moves records up to an index from the database to segment files, oldest first,
// as many as make up whole ones, and returns the last index that is in one then. It may
// be called while the store is read and written. A crash at any moment leaves the log
// whole, and so does an error: it wraps [ErrFull], ctx's or a [*CorruptError], or is of
// the file system, and what was moved before it stays moved.
func (s *Store) Seal(ctx context.Context, to uint64) (last uint64, err error) {
	if s.opt.ReadOnly {
		return s.Sealed(), fmt.Errorf("log %s: opened to read only", s.path)
	}
	s.sealing.Lock()
	defer s.sealing.Unlock()
	to = min(to, s.Head().Index) / blockRecords * blockRecords
	moved := false
	for err == nil {
		var more bool
		if more, err = s.sealNext(ctx, to); !more {
			break
		}
		moved = true
	}
	if err == nil && moved {
		err = s.compact()
	}
	if err != nil && isFull(err) && !errors.Is(err, ErrFull) {
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	if err != nil {
		err = fmt.Errorf("segments of log %s: %w", s.path, err)
	}
	return s.Sealed(), err
}

// sealNext makes the next segment, or reports that there is none to be made.
func (s *Store) sealNext(ctx context.Context, to uint64) (more bool, err error) {
	before := sealed(s.segments.all())
	if to < before.Index+blockRecords {
		return false, nil
	}
	if err := s.failure(); err != nil {
		return false, err
	}
	if err := s.sweep(); err != nil {
		return false, err
	}
	if err := s.makeSegmentsDir(); err != nil {
		return false, err
	}
	tmp := filepath.Join(s.segments.dir, "next"+segmentSuffix+unfinishedSuffix)
	g, err := s.writeSegment(ctx, tmp, before, to)
	if err != nil || g == nil {
		_ = os.Remove(tmp) // or else before the next one
		return false, err
	}
	for _, next := range []func() error{
		func() error { return s.step("written") },
		func() error { return os.Rename(tmp, s.segments.path(g)) },
		func() error { return s.step("renamed") },
		func() error { return syncDir(s.segments.dir) },
		func() error { return s.step("durable") },
		func() error { return s.checkSegment(g) },
		func() error { return s.adopt(*g) },
	} {
		if err := next(); err != nil {
			return false, err
		}
	}
	return true, nil
}

// step is a moment at which a test lets everything end.
func (s *Store) step(name string) error {
	if s.crashed == nil {
		return nil
	}
	return s.crashed(name)
}

func (s *Store) makeSegmentsDir() error {
	if err := os.Mkdir(s.segments.dir, dirMode); errors.Is(err, os.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.segments.dir))
}

// sweep removes files that are no segments of this log: what a crash left, or a log
// that was replaced. The database holds what was in them.
func (s *Store) sweep() error {
	names, err := s.segmentFiles()
	if err != nil {
		return err
	}
	known := map[string]bool{}
	list := s.segments.all()
	for i := range list {
		known[list[i].name()] = true
	}
	for _, name := range names {
		if !known[name] {
			if err := os.Remove(filepath.Join(s.segments.dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// A segmentWriter writes a segment to a file.
type segmentWriter struct {
	out    *bufio.Writer
	pack   *zstd.Encoder
	index  segmentIndex
	raw    []byte // of the chunk that is open
	open   chunk
	at     int64
	size   int // of all records
	leaves []Hash
}

// writeSegment writes a segment of the records behind a head, up to an index at the
// most, and makes it durable. It returns nil where there is not enough for one.
func (s *Store) writeSegment(ctx context.Context, path string, before Head, to uint64) (g *segment, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	pack, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20))
	if err != nil {
		return nil, err
	}
	w := &segmentWriter{out: bufio.NewWriterSize(f, 64<<10), pack: pack, at: int64(len(segmentStart)),
		index: segmentIndex{before: before, end: before, cluster: s.ClusterID()}, open: chunk{before: before, end: before}}
	if _, err := w.out.WriteString(segmentStart); err != nil {
		return nil, err
	}
	for w.index.end.Index < to && w.index.end.Index-before.Index < segmentRecordsMax && w.size < segmentBytesWanted {
		if err := errors.Join(ctx.Err(), s.step("writing")); err != nil {
			return nil, err
		}
		for end := w.index.end.Index + blockRecords; w.index.end.Index < end; {
			page, err := s.Read(w.index.end.Index+1, int(end-w.index.end.Index))
			if err == nil && len(page) == 0 {
				err = s.corrupt(w.index.end.Index+1, "the record is missing")
			}
			if err != nil {
				return nil, err
			}
			for i := range page {
				if err := w.add(&page[i]); err != nil {
					return nil, err
				}
			}
		}
	}
	if w.index.end.Index-before.Index < segmentRecordsMin && w.size < segmentBytesMin {
		return nil, nil
	}
	if g, err = w.finish(); err != nil {
		return nil, err
	}
	if err := s.step("unsynced"); err != nil {
		return nil, err
	}
	return g, f.Sync()
}

func (w *segmentWriter) add(r *Record) error {
	if n := len(w.raw) + chunkHeaderBytes + len(r.Data); w.open.records > 0 && n > chunkRawWanted {
		if err := w.closeChunk(); err != nil {
			return err
		}
	}
	w.raw = appendChunked(w.raw, r)
	if len(w.raw) > chunkRawMax {
		return fmt.Errorf("record %d of %d bytes does not fit into a segment", r.Index, len(r.Data))
	}
	w.open.records++
	w.open.end = Head{Index: r.Index, Time: r.Time, Hash: r.Hash}
	w.index.end = w.open.end
	w.size += recordHeaderBytes + len(r.Data)
	w.leaves = append(w.leaves, r.LeafHash())
	if len(w.leaves) < blockRecords {
		return nil
	}
	w.index.subtrees = append(w.index.subtrees, newBlockHashes(w.leaves)[blockLevel][0])
	w.leaves = w.leaves[:0]
	return w.closeChunk()
}

func (w *segmentWriter) closeChunk() error {
	packed := w.pack.EncodeAll(w.raw, nil)
	w.open.raw, w.open.packed, w.open.sum = uint32(len(w.raw)), uint32(len(packed)), sha256.Sum256(packed)
	w.index.chunks = append(w.index.chunks, w.open)
	w.at += int64(len(packed))
	w.raw, w.open = w.raw[:0], chunk{before: w.open.end, end: w.open.end}
	_, err := w.out.Write(packed)
	return err
}

func (w *segmentWriter) finish() (*segment, error) {
	index := w.index.encode()
	sum := sumSegment(index)
	g := &segment{first: w.index.before.Index + 1, end: w.index.end, raw: int64(w.size), index: uint32(len(index) + len(sum)), sum: sum}
	b := append(index, sum[:]...)
	b = binary.BigEndian.AppendUint32(b, g.index)
	b = append(b, segmentEnd...)
	g.size = w.at + int64(len(b))
	if _, err := w.out.Write(b); err != nil {
		return nil, err
	}
	return g, w.out.Flush()
}

// checkSegment reads a segment as everybody will, before the records are nowhere else.
// What is wrong with it is no damage to the log.
func (s *Store) checkSegment(g *segment) error {
	f, x, err := s.segments.open(g, true)
	if err != nil {
		return fmt.Errorf("it cannot be read back: %v", err)
	}
	defer f.Close()
	for i := range x.chunks {
		if _, err := s.segments.chunk(f, g, &x.chunks[i], true); err != nil {
			return fmt.Errorf("it cannot be read back: %v", err)
		}
	}
	return nil
}

// adopt makes a segment the place of its records. Where it is not known whether that is
// stored, the segment stays in the list: it holds them in either case.
func (s *Store) adopt(g segment) error {
	before := s.segments.all()
	s.segments.set(append(before[:len(before):len(before)], g))
	err := s.update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucketSegments)
		if err != nil {
			return err
		}
		if movedBy(tx) != g.first-1 {
			return errors.New("another log is in its place")
		}
		if err := b.Put(indexKey(g.first), g.encode()); err != nil {
			return err
		}
		if err := tx.Bucket(bucketMeta).Put(keyFormat, binary.BigEndian.AppendUint16(nil, formatSegmented)); err != nil {
			return err
		}
		events := tx.Bucket(bucketEvents)
		for i := g.first; i <= g.end.Index; i++ {
			if err := events.Delete(indexKey(i)); err != nil {
				return err
			}
		}
		return s.step("uncommitted")
	})
	switch {
	case err == nil:
		return s.step("committed")
	case isFull(err):
		s.segments.set(before)
	default:
		s.metaMu.Lock()
		defer s.metaMu.Unlock()
		s.failed = fmt.Errorf("log %s: an earlier commit failed: %w", s.path, err)
	}
	return err
}
