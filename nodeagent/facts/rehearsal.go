package facts

import (
	"errors"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"
)

var errRehearsal = errors.New("a rehearsal keeps nothing")

// Rehearsal returns a store over the same file that answers like this one and
// keeps nothing: each of its changes is taken back once its outcome is known. It
// needs no closing and must not be used after the store itself is closed.
func (s *Store) Rehearsal() (*Store, error) {
	// Results that wait are this store's alone; in the file both see them.
	if err := s.Flush(); err != nil {
		return nil, err
	}
	return &Store{db: s.db, rehearsal: true, since: s.since, wrote: make(chan struct{}, 1), pending: map[Key]Result{}, steps: map[string]*stepState{}}, nil
}

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
