package snapshot

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	// DirName is the directory of the snapshots, below an orchestrator's.
	DirName   = "states"
	extension = ".state"
	temporary = ".tmp"

	// KeptMax bounds how many snapshots there are, and newestKept how many of the
	// newest are never thinned: so many records back any state is a second away.
	KeptMax    = 24
	newestKept = 12
)

// A Dir is a directory of snapshots. Only one process may write to it.
type Dir struct{ path string }

// At returns the directory at a path, which need not be there.
func At(path string) Dir { return Dir{path} }

func (d Dir) file(index uint64) string {
	return filepath.Join(d.path, fmt.Sprintf("%020d%s", index, extension))
}

// List returns the indexes of the snapshots that are there, ascending.
func (d Dir) List() ([]uint64, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []uint64
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), extension)
		// Opening a pipe would wait for somebody to write to it.
		if n, err := strconv.ParseUint(name, 10, 64); ok && err == nil && e.Type().IsRegular() && d.file(n) == filepath.Join(d.path, e.Name()) {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all, nil
}

// Newest returns the newest snapshot at an index or before it that is sound and
// fits, or nil where there is none. unusable is called with those that were passed
// over, where it is not nil: the error is nil for one that does not fit.
func (d Dir) Newest(at uint64, fits func(Place) bool, unusable func(index uint64, err error)) (*Snapshot, error) {
	all, err := d.List()
	if err != nil {
		return nil, err
	}
	for _, index := range slices.Backward(all) {
		if index > at {
			continue
		}
		s, err := d.read(index, fits)
		if s != nil {
			return s, nil
		}
		if unusable != nil {
			unusable(index, err)
		}
	}
	return nil, nil
}

func (d Dir) read(index uint64, fits func(Place) bool) (*Snapshot, error) {
	file, err := os.Open(d.file(index))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return Read(file, func(p Place) bool { return p.Index == index && fits(p) })
}

// Sum is [Sum] of the snapshot at an index.
func (d Dir) Sum(index uint64, fits func(Place) bool) (sum [sha256.Size]byte, ok bool, err error) {
	file, err := os.Open(d.file(index))
	if err != nil {
		return sum, false, err
	}
	defer file.Close()
	return Sum(file, func(p Place) bool { return p.Index == index && fits(p) })
}

// File is the path of the snapshot at an index.
func (d Dir) File(index uint64) string { return d.file(index) }

// Open opens the newest snapshot at an index or before it that fits by its header,
// to be sent elsewhere, or returns nil where there is none.
func (d Dir) Open(at uint64, fits func(Place) bool) (*os.File, error) {
	all, err := d.List()
	if err != nil {
		return nil, err
	}
	for _, index := range slices.Backward(all) {
		if index > at {
			continue
		}
		file, err := os.Open(d.file(index))
		if err != nil {
			continue
		}
		place, _, err := readHeader(file)
		if err == nil && place.Index == index && fits(place) {
			if _, err = file.Seek(0, 0); err == nil {
				return file, nil
			}
		}
		file.Close()
	}
	return nil, nil
}

// Save writes a snapshot: under its name it is whole or not there. It makes the
// directory where that is missing.
func (d Dir) Save(s *Snapshot) error {
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		return err
	}
	path := d.file(s.State.Index)
	file, err := os.OpenFile(path+temporary, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = Write(file, s)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	dir, err := os.Open(d.path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Remove removes a snapshot.
func (d Dir) Remove(index uint64) error { return os.Remove(d.file(index)) }

// Clean removes what a crash left of a snapshot that was being written.
func (d Dir) Clean() error {
	entries, err := os.ReadDir(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), extension+temporary) {
			err = errors.Join(err, os.Remove(filepath.Join(d.path, e.Name())))
		}
	}
	return err
}

// Thin removes snapshots beyond [KeptMax]. Of the older ones those go that leave the
// smallest gap, so that what is left is spread over the log.
func (d Dir) Thin() error {
	all, err := d.List()
	for err == nil && len(all) > KeptMax {
		gone := 0
		for i := 1; i < len(all)-newestKept; i++ {
			if all[i+1]-all[i-1] < all[gone+1]-before(all, gone) {
				gone = i
			}
		}
		err = d.Remove(all[gone])
		all = slices.Delete(all, gone, gone+1)
	}
	return err
}

// before is the place of the snapshot before, or of the log's beginning.
func before(all []uint64, i int) uint64 {
	if i == 0 {
		return 0
	}
	return all[i-1]
}
