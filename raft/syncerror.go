package raft

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/vfs"
	"golang.org/x/sys/unix"
)

// logFileBytes is what the library allocates for each file of its log: 64 MiB, behind
// which it begins another, and a block of its index.
const logFileBytes = 64<<20 + 128<<10

// syncWatch are the library's files, of which its log tells who owns it that it cannot
// be synced. The library syncs it on a goroutine of its own, on which it panics: the
// process would end with a trace, and without a word on what is to be done.
type syncWatch struct {
	config.IFS
	// unsynced is told, and need not return.
	unsynced func(error)
}

// watchSyncs makes files ones whose log's sync is watched.
func watchSyncs(files config.IFS, unsynced func(error)) config.IFS {
	if files == nil {
		files = vfs.Default
	}
	return syncWatch{files, unsynced}
}

// Create implements config.IFS.
func (w syncWatch) Create(name string) (vfs.File, error) {
	f, err := w.IFS.Create(name)
	if err == nil && filepath.Ext(name) == ".log" {
		if err = allocate(f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return w.watched(name, f, err)
}

// allocate keeps room for a whole log, as the library does for files of the system's:
// a disk that others have filled must not end what has begun.
func allocate(f vfs.File) error {
	system, ok := f.(*os.File)
	if !ok {
		return nil
	}
	return unix.Fallocate(int(system.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, logFileBytes)
}

// OpenForAppend implements config.IFS.
func (w syncWatch) OpenForAppend(name string) (vfs.File, error) {
	f, err := w.IFS.OpenForAppend(name)
	return w.watched(name, f, err)
}

// ReuseForWrite implements config.IFS.
func (w syncWatch) ReuseForWrite(before, name string) (vfs.File, error) {
	f, err := w.IFS.ReuseForWrite(before, name)
	return w.watched(name, f, err)
}

func (w syncWatch) watched(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil || filepath.Ext(name) != ".log" {
		return f, err
	}
	return vfs.WithFd(f, watchedFile{f, w.unsynced}), nil
}

// A watchedFile tells when it cannot be synced.
type watchedFile struct {
	vfs.File
	unsynced func(error)
}

// Sync implements vfs.File.
func (f watchedFile) Sync() error {
	err := f.File.Sync()
	if err != nil {
		f.unsynced(err)
	}
	return err
}
