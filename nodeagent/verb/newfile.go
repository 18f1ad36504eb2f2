package verb

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	// baseBytesMax is how much of a file's name the hidden one before it has; names
	// have 255 bytes at most.
	baseBytesMax = 200
	// reserveBytesMin is from which size on room is asked for before anything is written.
	reserveBytesMin = 1 << 20
)

// A newFile is to take the place of another. Where the file system can do that it has
// no name until then, so that nothing of it is left when the agent is killed.
type newFile struct {
	*os.File
	hidden string // the name that it may get
	named  bool
}

// createNew creates one in a directory, for a file of the base name.
func createNew(dir, base string) (*newFile, error) {
	base = base[:min(len(base), baseBytesMax)]
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails, see crypto/rand
	hidden := filepath.Join(dir, "."+base+".quorate-"+hex.EncodeToString(random[:]))
	f, err := os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o600)
	if err == nil {
		n := &newFile{File: f, hidden: hidden}
		if _, err = os.Stat(n.path()); err == nil {
			return n, nil
		}
		_ = f.Close() // without /proc it could get no name
	}
	if f, err = os.OpenFile(hidden, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return nil, err
	}
	return &newFile{File: f, hidden: hidden, named: true}, nil
}

// path leads to the file, whether it has a name or not.
func (n *newFile) path() string {
	if n.named {
		return n.hidden
	}
	return "/proc/self/fd/" + strconv.Itoa(int(n.Fd()))
}

// reserve makes sure of room, so that what does not fit fails before it fills the disk.
func (n *newFile) reserve(bytes int64) error {
	if bytes < reserveBytesMin {
		return nil
	}
	if err := unix.Fallocate(int(n.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, bytes); errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("there is no room for its %d bytes: %w", bytes, err)
	}
	return nil // other errors are of file systems that cannot tell
}

// name gives the file its hidden name, for others to look at it by.
func (n *newFile) name() (string, error) {
	if n.named {
		return n.hidden, nil
	}
	if err := unix.Linkat(unix.AT_FDCWD, n.path(), unix.AT_FDCWD, n.hidden, unix.AT_SYMLINK_FOLLOW); err != nil {
		return "", &os.LinkError{Op: "link", Old: n.path(), New: n.hidden, Err: err}
	}
	n.named = true
	return n.hidden, nil
}

// replace puts the file in the place of another.
func (n *newFile) replace(path string) error {
	hidden, err := n.name()
	if err == nil {
		err = os.Rename(hidden, path)
	}
	if err == nil {
		_ = n.Close() // it is synced
		err = syncDir(filepath.Dir(path))
	}
	return err
}

// discard closes the file, and leaves nothing of it.
func (n *newFile) discard() error {
	_ = n.Close() // it may be closed already
	if !n.named {
		return nil
	}
	if err := os.Remove(n.hidden); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
