package eventlog

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

const (
	// A file of which more is free than this, and three quarters, is written anew
	// without: it never shrinks, and each commit stores the list of what is free.
	compactFreeBytes = 16 << 20
	compactShare     = 4
	// compactTxBytes bounds what is copied in one transaction.
	compactTxBytes  = 8 << 20
	compactedSuffix = ".compacted"
	// compactSpareBytes are left to others while there are two files.
	compactSpareBytes = 256 << 20
)

// compact writes the database anew where most of it is free, which is after the first
// segments of an old log were made, or after it came from another orchestrator, and
// there is room for both. The store waits: what is left is small.
func (s *Store) compact() (err error) {
	z, err := s.Sizes()
	if err != nil || z.FreeBytes < compactFreeBytes || z.FreeBytes < z.LiveBytes/compactShare*(compactShare-1) {
		return err
	}
	if free, err := s.room(filepath.Dir(s.path)); err != nil || free < uint64(z.LiveBytes-z.FreeBytes)+compactSpareBytes {
		return err
	}
	path := s.path + compactedSuffix
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return ErrClosed
	}
	if err := s.failure(); err != nil {
		return err
	}
	if err := s.copyTo(path); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	if err := s.step("copied"); err != nil {
		return err
	}
	return errors.Join(s.swap(path), s.step("compacted"))
}

// copyTo writes what is in the database to another file, durably.
func (s *Store) copyTo(path string) error {
	opt := s.opt
	opt.Unsynced = true
	to, err := openBolt(path, opt)
	if err != nil {
		return err
	}
	err = guarded(s.path, func() error { return bolt.Compact(to, s.db, compactTxBytes) })
	return errors.Join(err, to.Sync(), to.Close())
}

// roomIn returns how many bytes are free on the file system of a directory.
func roomIn(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return uint64(st.Bavail) * uint64(st.Bsize), nil
}
