package facts

import (
	"errors"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"
)

// Branch returns a store of its own that begins as a copy of this one in the file
// at path, which is replaced. What either keeps from then on, the other does not
// know. It is for what need not outlive the process: its changes are not synced.
// The caller closes it, and removes the file.
func (s *Store) Branch(path string) (*Store, error) {
	if err := s.Flush(); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("facts %s: %w", path, err)
	}
	if err := s.db.View(func(tx *bolt.Tx) error { return tx.CopyFile(path, 0o600) }); err != nil {
		return nil, fmt.Errorf("facts %s: %w", path, err)
	}
	branch, err := Open(path)
	if err != nil {
		return nil, err
	}
	branch.db.NoSync = true
	return branch, nil
}
