package raft

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const ballastFile = "ballast"

// A ballast is a file that only takes room, to be given up for what must still be
// written when there is none.
type ballast struct {
	path string
	size uint64
}

func newBallast(raftDir string, size uint64) ballast {
	return ballast{path: filepath.Join(raftDir, ballastFile), size: size}
}

// there reports whether the file exists.
func (b ballast) there() bool {
	_, err := os.Lstat(b.path)
	return err == nil
}

// take makes the file where it is not there. One that cannot be had whole is not
// kept: the room is worth more elsewhere.
func (b ballast) take() (err error) {
	if b.there() {
		return nil
	}
	f, err := os.OpenFile(b.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("ballast: %w", err)
	}
	err = errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, int64(b.size)), f.Close())
	if err != nil {
		return errors.Join(fmt.Errorf("ballast: %w", err), os.Remove(b.path))
	}
	return nil
}

// release gives the room back.
func (b ballast) release() error {
	if err := os.Remove(b.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("ballast: %w", err)
	}
	return nil
}
