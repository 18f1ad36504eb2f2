// Package boltfile opens files of bbolt that may be damaged. bbolt trusts their pages, and
// panics or faults where one is not what was written.
package boltfile

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// ErrDamaged is wrapped by errors about a file that is none of bbolt's, or not what was
// written.
var ErrDamaged = errors.New("the file is damaged")

// Guard runs f, which uses such a file, and returns an error that wraps [ErrDamaged] where
// it panics or faults. What was open then is not to be closed, which might wait for ever.
func Guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	return f()
}

// Open opens the file, or creates it with mode 0600, and reads all of it; one that is sound
// is not written to. It waits for another process that has the file open up to lockMax, and
// returns bbolt's ErrTimeout then. Errors wrap [ErrDamaged] where the file is at fault;
// others are of the disk or of this process.
func Open(path string, lockMax time.Duration) (db *bolt.DB, err error) {
	err = Guard(func() (err error) {
		db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: lockMax, FreelistType: bolt.FreelistMapType})
		return err
	})
	switch {
	case err == nil:
	case errors.Is(err, ErrDamaged), errors.Is(err, berrors.ErrTimeout), errors.As(err, new(*os.PathError)), errors.As(err, new(syscall.Errno)):
		return nil, err
	default:
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	err = Guard(func() error {
		return db.View(func(tx *bolt.Tx) error { return check(tx, path) })
	})
	switch {
	case errors.Is(err, ErrDamaged):
		return nil, err
	case err != nil:
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// check reads all of the file. bbolt's own check runs where nothing catches a fault, and so
// comes last.
func check(tx *bolt.Tx, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() < tx.Size() {
		return fmt.Errorf("%w: it has %d of %d bytes", ErrDamaged, info.Size(), tx.Size())
	}
	if err := tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return read(b) }); err != nil {
		return err
	}
	for problem := range tx.Check() {
		err = errors.Join(err, fmt.Errorf("%w: %w", ErrDamaged, problem))
	}
	return err
}

// read touches all that is in the bucket.
func read(b *bolt.Bucket) error {
	return b.ForEach(func(k, _ []byte) error {
		if inner := b.Bucket(k); inner != nil {
			return read(inner)
		}
		return nil
	})
}
