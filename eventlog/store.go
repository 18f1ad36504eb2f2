package eventlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// ErrFull is wrapped by errors for a disk, or a store's bound, that has no room.
// Nothing was stored, and what is stored is intact.
var ErrFull = errors.New("no space left for the log")

// ErrInUse is wrapped by errors for a store that another process has open.
var ErrInUse = errors.New("in use by another process")

// A CorruptError says that a stored log is not what was written.
type CorruptError struct {
	Path string
	// Index is of the first record that is wrong; 0 where it is the file itself.
	Index  uint64
	Reason string
}

// Error implements error.
func (e *CorruptError) Error() string {
	if e.Index == 0 {
		return fmt.Sprintf("log %s is damaged: %s", e.Path, e.Reason)
	}
	return fmt.Sprintf("log %s is damaged at index %d: %s", e.Path, e.Index, e.Reason)
}

// StoreOptions are how a store is opened. The zero value opens for writing and
// verifies what was added since the last time.
type StoreOptions struct {
	// ReadOnly opens an existing file and never writes to it.
	ReadOnly bool
	// BytesMax bounds the file; 0 is no bound.
	BytesMax int
	// VerifyAll verifies the chain from the first record.
	VerifyAll bool
	// SkipVerify leaves the chain unverified.
	SkipVerify bool
	// Unsynced leaves it to Sync and Close to make commits durable. A crash before
	// may leave a file that cannot be read: it is for one that is then made anew.
	Unsynced bool
}

const (
	// A file has format 1, and formatSegmented from its first segment on: who knows
	// nothing of segments is to refuse it, and not to miss what is in them.
	formatVersion   = 1
	formatSegmented = 2

	initialMmapSize = 64 << 30 // address space only: a remap would wait for readers
	lockTimeout     = time.Second
)

// The buckets, and the keys of the meta bucket.
var (
	bucketEvents = []byte("events")
	bucketMeta   = []byte("meta")
	bucketSide   = []byte("side")

	keyFormat   = []byte("format")
	keyHead     = []byte("head")
	keyApplied  = []byte("applied")
	keyVerified = []byte("verified")
	keyCluster  = []byte("cluster")
)

// A Store is a log in a bbolt file: records by index, and the head that was
// written in the same transaction. Every write is synced. It is safe for
// concurrent use by many readers and one writer.
type Store struct {
	path string
	opt  StoreOptions

	mu sync.RWMutex // guards db against Replace and Close
	db *bolt.DB

	unreleased atomic.Int64 // bytes read since pages were given back
	segments   *segments
	sealing    sync.Mutex // one [Store.Seal] or [Store.Replace] at a time
	// crashed is called at each step of sealing; a test fails there.
	crashed func(step string) error
	room    func(dir string) (free uint64, err error)

	metaMu  sync.Mutex
	head    Head
	applied uint64
	cluster string
	edge    edge // of the Merkle tree; none where the store only reads
	// failed is set when a commit failed in a way after which memory and disk may
	// differ; only opening the file again tells.
	failed error
}

// OpenStore opens the log in a file, which it creates unless told to only read,
// and verifies its chain from where it was verified last. Errors are a
// [*CorruptError], wrap [ErrInUse], or are of the file system.
func OpenStore(path string, opt StoreOptions) (*Store, error) {
	s := &Store{path: path, opt: opt, segments: newSegments(path), room: roomIn}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Store) open() error {
	db, err := openBolt(s.path, s.opt)
	if err != nil {
		return err
	}
	s.db = db
	if err := s.load(); err != nil {
		s.db = nil
		return errors.Join(err, db.Close())
	}
	return nil
}

// openBolt opens the file with the options that this module relies on; see B2,
// B4 and B8 of the design's list of traps.
func openBolt(path string, opt StoreOptions) (db *bolt.DB, err error) {
	existed := true
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		existed = false
	case err == nil && info.Size() == 0 && opt.ReadOnly: // bbolt would write to it
		return nil, &CorruptError{Path: path, Reason: "the file is empty"}
	}
	err = guarded(path, func() error {
		var err error
		db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout:         lockTimeout,
			ReadOnly:        opt.ReadOnly,
			FreelistType:    bolt.FreelistMapType,
			InitialMmapSize: initialMmapSize,
			MaxSize:         opt.BytesMax,
			NoSync:          opt.Unsynced,
		})
		return err
	})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("log %s is %w", path, ErrInUse)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return nil, &CorruptError{Path: path, Reason: err.Error()}
	case err != nil:
		var corrupt *CorruptError
		if errors.As(err, &corrupt) {
			return nil, err
		}
		if file := new(fs.PathError); errors.As(err, &file) && file.Path == path {
			return nil, fmt.Errorf("log: %w", err) // which names it
		}
		return nil, fmt.Errorf("log %s: %w", path, err)
	}
	if err := checkMetaPages(path); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if !existed && !opt.ReadOnly {
		if err := syncDir(filepath.Dir(path)); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return db, nil
}

// guarded runs f on the mapped file. bbolt trusts its pages, so that a damaged
// one panics or faults: both become a [*CorruptError].
func guarded(path string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &CorruptError{Path: path, Reason: fmt.Sprintf("damaged page: %v", p)}
		}
	}()
	return f()
}

// load reads the meta bucket, creating it in a new file, and verifies the chain.
func (s *Store) load() error {
	fresh := false
	err := s.view(func(tx *bolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if fresh = meta == nil; fresh {
			return nil
		}
		format := meta.Get(keyFormat)
		if len(format) != 2 {
			return s.corrupt(0, "no format version")
		}
		if v := binary.BigEndian.Uint16(format); v < formatVersion || v > formatSegmented {
			return fmt.Errorf("log %s has format %d, and this version reads %d to %d: use the version that wrote it", s.path, v, formatVersion, formatSegmented)
		}
		var err error
		if s.head, err = s.decodeHead(meta.Get(keyHead)); err != nil {
			return err
		}
		if b := meta.Get(keyApplied); len(b) == 8 {
			s.applied = binary.BigEndian.Uint64(b)
		}
		s.cluster = string(meta.Get(keyCluster))
		return nil
	})
	if err != nil {
		return err
	}
	if fresh {
		if err := s.refuseStray(); err != nil {
			return err
		}
		if s.opt.ReadOnly {
			return s.corrupt(0, "not a log of this program")
		}
		return s.create()
	}
	if err := s.loadSegments(); err != nil {
		return err
	}
	if !s.opt.SkipVerify {
		if err := s.verifyTail(); err != nil {
			return err
		}
	}
	if s.opt.ReadOnly {
		return nil
	}
	return s.loadEdge()
}

func (s *Store) create() error {
	return s.update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketEvents, bucketMeta, bucketSide} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		meta := tx.Bucket(bucketMeta)
		if err := meta.Put(keyFormat, binary.BigEndian.AppendUint16(nil, formatVersion)); err != nil {
			return err
		}
		return meta.Put(keyHead, encodeHead(Head{}))
	})
}

// Path returns the file.
func (s *Store) Path() string { return s.path }

// Head returns the end of what is stored.
func (s *Store) Head() Head {
	s.metaMu.Lock()
	defer s.metaMu.Unlock()
	return s.head
}

// Applied returns what Commit last said to be the index in the log of raft.
func (s *Store) Applied() uint64 {
	s.metaMu.Lock()
	defer s.metaMu.Unlock()
	return s.applied
}

// ClusterID returns the id in the log's ClusterCreated, or nothing before it.
func (s *Store) ClusterID() string {
	s.metaMu.Lock()
	defer s.metaMu.Unlock()
	return s.cluster
}

// A Commit is what one synced transaction stores.
type Commit struct {
	// Records follow the head.
	Records []Record
	// Applied is the index in the log of raft that they were in; 0 leaves it.
	Applied uint64
	// Side holds values of whoever writes the log, by key; a nil value deletes.
	Side []SideValue
}

// A SideValue is kept beside the records, in the same transaction.
type SideValue struct{ Key, Value []byte }

// Commit stores records behind the head, in one synced transaction. On an error
// that wraps [ErrFull] nothing was stored and the store goes on; after any
// other, it refuses until it is opened again.
func (s *Store) Commit(c Commit) error {
	s.metaMu.Lock()
	head, applied, cluster, failed, grown := s.head, s.applied, s.cluster, s.failed, s.edge
	s.metaMu.Unlock()
	if failed != nil {
		return failed
	}
	for i := range c.Records {
		r := &c.Records[i]
		if r.Index != head.Index+1 {
			return fmt.Errorf("commit of record %d behind %d", r.Index, head.Index)
		}
		head = Head{Index: r.Index, Time: r.Time, Hash: r.Hash}
		if r.Kind == KindClusterCreated && cluster == "" {
			if e, err := Decode(r.Kind, r.Data); err == nil {
				cluster = e.(*ClusterCreated).ClusterID
			}
		}
	}
	applied = max(applied, c.Applied)
	edge, blocks := grown.grow(c.Records)
	err := s.update(func(tx *bolt.Tx) error {
		s.read(tx, commitTouches)
		if err := writeBlocks(tx, blocks); err != nil {
			return err
		}
		return writeCommit(tx, c, head, applied, cluster)
	})
	s.metaMu.Lock()
	defer s.metaMu.Unlock()
	if err == nil {
		s.head, s.applied, s.cluster, s.edge = head, applied, cluster, edge
		return nil
	}
	if !isFull(err) {
		s.failed = fmt.Errorf("log %s: an earlier commit failed: %w", s.path, err)
		return fmt.Errorf("log %s: commit: %w", s.path, err)
	}
	return fmt.Errorf("log %s: %w: %w", s.path, ErrFull, err)
}

// failure returns why only opening the file again tells what is in it, or nil.
func (s *Store) failure() error {
	s.metaMu.Lock()
	defer s.metaMu.Unlock()
	return s.failed
}

func writeCommit(tx *bolt.Tx, c Commit, head Head, applied uint64, cluster string) error {
	events, meta, side := tx.Bucket(bucketEvents), tx.Bucket(bucketMeta), tx.Bucket(bucketSide)
	events.FillPercent = 0.95 // keys only grow
	for i := range c.Records {
		r := &c.Records[i]
		if err := events.Put(indexKey(r.Index), encodeRecord(r)); err != nil {
			return err
		}
	}
	for _, v := range c.Side {
		var err error
		if v.Value == nil {
			err = side.Delete(v.Key)
		} else {
			err = side.Put(v.Key, v.Value)
		}
		if err != nil {
			return err
		}
	}
	if err := meta.Put(keyHead, encodeHead(head)); err != nil {
		return err
	}
	if cluster != "" {
		if err := meta.Put(keyCluster, []byte(cluster)); err != nil {
			return err
		}
	}
	return meta.Put(keyApplied, indexKey(applied))
}

// isFull reports an error after which bbolt has rolled back to intact data.
func isFull(err error) bool {
	return errors.Is(err, berrors.ErrMaxSizeReached) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// Close releases the file.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return nil
	}
	var err error
	if s.opt.Unsynced {
		err = s.db.Sync()
	}
	err = errors.Join(err, s.db.Close())
	s.db = nil
	return err
}

// Sync makes durable what was committed.
func (s *Store) Sync() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return ErrClosed
	}
	return s.db.Sync()
}

// Replace puts the log in another file, which must be on the same file system and
// closed and have no segments, in the place of this one and its segments.
func (s *Store) Replace(path string) error {
	s.sealing.Lock()
	defer s.sealing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.swap(path); err != nil {
		return err
	}
	return s.sweep()
}

// swap puts a file in the place of this one. The caller holds the lock.
func (s *Store) swap(path string) error {
	if s.db == nil {
		return ErrClosed
	}
	db, err := openBolt(path, s.opt)
	if err != nil {
		return err
	}
	next := &Store{path: s.path, opt: s.opt, db: db, segments: newSegments(s.path)}
	if err := next.load(); err != nil {
		return errors.Join(err, db.Close())
	}
	if err := os.Rename(path, s.path); err != nil {
		return errors.Join(err, db.Close())
	}
	err = s.db.Close()
	s.segments.set(next.segments.all())
	s.metaMu.Lock()
	defer s.metaMu.Unlock()
	s.db, s.head, s.applied, s.cluster, s.edge, s.failed = next.db, next.head, next.applied, next.cluster, next.edge, nil
	return errors.Join(err, syncDir(filepath.Dir(s.path)))
}

func (s *Store) view(f func(*bolt.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return ErrClosed
	}
	return guarded(s.path, func() error { return s.db.View(f) })
}

func (s *Store) update(f func(*bolt.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return ErrClosed
	}
	return guarded(s.path, func() error { return s.db.Update(f) })
}

func (s *Store) corrupt(index uint64, reason string) error {
	return &CorruptError{Path: s.path, Index: index, Reason: reason}
}

// syncDir makes a creation or rename in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
