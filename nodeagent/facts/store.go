// Package facts is what an agent remembers of its host between jobs: the
// arguments that templates read, the environment that commands get, and which
// jobs have succeeded.
//
// Every value carries its provenance. Changes are atomic and synced before they
// return, so that concurrent jobs lose no update and a killed agent keeps what it
// has reported; only the memory of successes is written a moment later, because a
// sync per job would bound the agent's speed and forgetting one merely runs the
// job again.
package facts

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"quorate/internal/boltfile"
)

// flushDelay is how long a remembered success may wait to be written.
const flushDelay = 500 * time.Millisecond

// lockTimeout bounds the wait for another process that has the file open.
const lockTimeout = time.Second

var (
	bucketArgs    = []byte("args")
	bucketEnvs    = []byte("envs")
	bucketResults = []byte("results")
	bucketApplied = []byte("applied")
	bucketQuery   = []byte("query")
	bucketOmitted = []byte("omitted")
	bucketSecrets = []byte("secrets") // names of secret values, behind that of their bucket
)

// An Origin says which job brought something about.
type Origin struct {
	_msgpack struct{} `msgpack:",as_array"`

	Run     uint64
	Task    string
	Attempt uint64
	Job     uint32
	Time    int64 // nanoseconds since 1970
	// Secret: what the job stores is not to be shown to anybody, see [Store.Secrets].
	// It is kept beside the value.
	Secret bool `msgpack:"-"`
}

// A Store is the memory of one agent. Its methods may be called concurrently.
type Store struct {
	db *bolt.DB

	// since is the highest attempt of what an earlier program remembered, which kept no
	// records of steps.
	since uint64
	wrote chan struct{}

	mu      sync.Mutex // guards what follows
	pending map[Key]Result
	steps   map[string]*stepState
	// evictions are those under way that forget all records: what the file has of them
	// is not read any more.
	evictions int
	timer     *time.Timer
	closed    bool
	// secrets are of the state after so many changes, where they are known.
	secrets      []string
	secretsKnown bool
	changes      uint64
}

// Open opens the file, or creates it with mode 0600. Errors about a damaged one wrap
// boltfile.ErrDamaged.
func Open(path string) (*Store, error) {
	db, err := boltfile.Open(path, lockTimeout)
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("facts %s: another process has the file open", path)
	case errors.Is(err, boltfile.ErrDamaged):
		return nil, fmt.Errorf("facts %s: %w; move it away to start without what is remembered of this host: arguments, environment, and which jobs have succeeded", path, err)
	case err != nil:
		return nil, fmt.Errorf("facts %s: %w", path, err)
	}
	s := &Store{db: db, pending: map[Key]Result{}, steps: map[string]*stepState{}, wrote: make(chan struct{}, 1)}
	err = db.Update(func(tx *bolt.Tx) (err error) {
		for _, name := range [][]byte{bucketArgs, bucketEnvs, bucketResults, bucketApplied, bucketQuery, bucketOmitted, bucketSecrets, bucketBeside} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		s.since, err = openSteps(tx)
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("facts %s: %w", path, err), db.Close())
	}
	return s, nil
}

// Close writes what waits and closes the file.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	return errors.Join(s.Flush(), s.db.Close())
}

// waiting returns the results and records that are to be written.
func (s *Store) waiting() (map[Key]Result, stepBatch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	steps, err := s.unwritten()
	return maps.Clone(s.pending), steps, err
}

// update runs a transaction that also writes the results and records that wait. They
// stay visible in memory until it has committed. They are taken when it is their
// transaction's turn: an earlier state of a record would undo a later one.
func (s *Store) update(change func(tx *bolt.Tx) error) error {
	var batch map[Key]Result
	var steps stepBatch
	err := s.db.Update(func(tx *bolt.Tx) (err error) {
		if batch, steps, err = s.waiting(); err != nil {
			return err
		}
		bucket := tx.Bucket(bucketResults)
		for key, result := range batch {
			data, err := msgpack.Marshal(&result)
			if err != nil {
				return err
			}
			if err := bucket.Put(key[:], data); err != nil {
				return err
			}
		}
		if err := steps.write(tx); err != nil {
			return err
		}
		return change(tx)
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	s.secrets, s.secretsKnown = nil, false
	s.written(steps)
	for key, result := range batch {
		if s.pending[key] == result {
			delete(s.pending, key)
		}
	}
	return nil
}
