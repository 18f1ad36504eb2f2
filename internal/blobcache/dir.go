// Package blobcache keeps blobs by their SHA-256 in a directory: whole ones, and parts
// of those that are on their way, which are gone on with after a restart. Who uses it
// says what is fetched from where, what stays, and how much.
package blobcache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	suffixPart     = ".part"
	digestHexBytes = 64
)

// A Dir is a directory of blobs.
type Dir struct{ path string }

// Open returns the directory, which it makes where there is none.
func Open(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("directory of blobs: %w", err)
	}
	return &Dir{path}, nil
}

// Path is where the blob lies once it is whole. The digest is a SHA-256 in lower-case
// hex, see [quorate/nodeagent/wire.BlobRequest.Check].
func (d *Dir) Path(digest string) string { return filepath.Join(d.path, digest[:2], digest) }

// Touch notes that the blob is used, and reports whether it is whole.
func (d *Dir) Touch(digest string) bool {
	now := time.Now()
	return os.Chtimes(d.Path(digest), now, now) == nil
}

// Has reports whether the blob is whole.
func (d *Dir) Has(digest string) bool {
	_, err := os.Lstat(d.Path(digest))
	return err == nil
}

// Free is how many bytes of the disk may still be taken, of how many in all. Errors are
// *[DiskError].
func (d *Dir) Free() (free, all int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(d.path, &s); err != nil {
		return 0, 0, &DiskError{fmt.Errorf("room in %s: %w", d.path, err)}
	}
	return int64(s.Bavail) * s.Bsize, int64(s.Blocks) * s.Bsize, nil
}

// Read opens what there is of a blob: its part, or the whole of it.
func (d *Dir) Read(digest string) (*os.File, error) {
	file, err := os.Open(d.Path(digest) + suffixPart)
	if errors.Is(err, fs.ErrNotExist) { // it may have become whole meanwhile
		file, err = os.Open(d.Path(digest))
	}
	return file, err
}

// An Entry is a file of a [Dir]: a blob, or a part of one.
type Entry struct {
	Digest string
	Bytes  int64
	Used   time.Time

	path string
}

// List returns what there is, that first which was used longest ago. Errors are *[DiskError].
func (d *Dir) List() ([]Entry, error) {
	var all []Entry
	err := filepath.WalkDir(d.path, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it has become whole, or was removed by another
		}
		if err == nil {
			name := entry.Name()
			all = append(all, Entry{name[:min(len(name), digestHexBytes)], info.Size(), info.ModTime(), path})
		}
		return err
	})
	if err != nil {
		return nil, onDisk(err)
	}
	slices.SortStableFunc(all, func(a, b Entry) int { return a.Used.Compare(b.Used) })
	return all, nil
}

// Drop removes the first of the entries, but for those that are to stay, until the rest
// has no more than so many bytes. Errors are *[DiskError].
func Drop(all []Entry, bytesMax int64, stays func(Entry) bool) error {
	var total int64
	for _, e := range all {
		total += e.Bytes
	}
	for _, e := range all {
		if total <= bytesMax {
			break
		}
		if stays(e) {
			continue
		}
		if err := os.Remove(e.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return onDisk(err)
		}
		total -= e.Bytes
	}
	return nil
}
