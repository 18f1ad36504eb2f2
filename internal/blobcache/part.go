package blobcache

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

var (
	// ErrWrong is wrapped where a content is not what its name says. The part is of no
	// use then: see [Part.Restart].
	ErrWrong = errors.New("the content is not what its name says")
	// ErrNoRoom is wrapped where the disk has no room for a blob.
	ErrNoRoom = errors.New("there is no room for it")
)

// A DiskError is one of this host's disk: no other source helps against it.
type DiskError struct{ Err error }

// Error implements error.
func (e *DiskError) Error() string { return e.Err.Error() }

// Unwrap gives errors.Is what the disk said.
func (e *DiskError) Unwrap() error { return e.Err }

func onDisk(err error) error {
	if err == nil {
		return nil
	}
	return &DiskError{err}
}

// Full reports whether the error says that the disk, or a quota, is used up.
func Full(err error) bool {
	return errors.Is(err, ErrNoRoom) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// A Part is the beginning of a blob on its way. One at a time may have it open.
type Part struct {
	file   *os.File
	sum    hash.Hash // over what the file holds
	have   int64     // bytes that it holds
	digest string
	whole  string // the path of the whole blob
}

// Part opens the part of the blob, which is empty where nothing has come yet. It reads
// all that has. Errors are *[DiskError].
func (d *Dir) Part(digest string) (*Part, error) {
	p := &Part{digest: digest, whole: d.Path(digest), sum: sha256.New()}
	if err := os.MkdirAll(filepath.Dir(p.whole), 0o700); err != nil {
		return nil, onDisk(err)
	}
	var err error
	if p.file, err = os.OpenFile(p.whole+suffixPart, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, onDisk(err)
	}
	if p.have, err = io.Copy(p.sum, p.file); err != nil {
		return nil, onDisk(errors.Join(err, p.file.Close()))
	}
	return p, nil
}

// Have is how many bytes there are.
func (p *Part) Have() int64 { return p.have }

// Write appends. What was written before it failed counts. Errors are *[DiskError].
func (p *Part) Write(b []byte) (n int, err error) {
	n, err = p.file.Write(b)
	p.sum.Write(b[:n])
	p.have += int64(n)
	return n, onDisk(err)
}

// Sync makes durable what there is. Errors are *[DiskError].
func (p *Part) Sync() error { return onDisk(p.file.Sync()) }

// Restart drops what there is. Errors are *[DiskError].
func (p *Part) Restart() error {
	p.sum.Reset()
	p.have = 0
	_, err := p.file.Seek(0, io.SeekStart)
	return onDisk(errors.Join(err, p.file.Truncate(0)))
}

// Right reports whether what there is is all of the blob.
func (p *Part) Right() bool { return hex.EncodeToString(p.sum.Sum(nil)) == p.digest }

// Settle makes the part the whole blob, durably; it has to be [Part.Right]. Errors are
// *[DiskError].
func (p *Part) Settle() error {
	err := p.file.Sync()
	if err == nil {
		err = os.Rename(p.file.Name(), p.whole)
	}
	return onDisk(err)
}

// Reserve makes sure of room for so many bytes in all. Where there is none it has room
// made once. Errors are *[DiskError]; they wrap [ErrNoRoom] where that did not help.
func (p *Part) Reserve(bytes int64, makeRoom func() error) error {
	ask := func() error { return unix.Fallocate(int(p.file.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, max(bytes, 1)) }
	err := ask()
	if Full(err) {
		if err := makeRoom(); err != nil {
			return onDisk(err)
		}
		err = ask()
	}
	if Full(err) || errors.Is(err, unix.EFBIG) {
		return onDisk(fmt.Errorf("%w: %d bytes in %s: %w", ErrNoRoom, bytes, filepath.Dir(filepath.Dir(p.whole)), err))
	}
	return nil // other errors are of file systems that cannot tell
}

// Discard removes the part: the host needs the room. Errors are *[DiskError].
func (p *Part) Discard() error { return onDisk(os.Remove(p.file.Name())) }

// Close closes the file. What it holds stays.
func (p *Part) Close() error { return p.file.Close() }
