package facts

import (
	"bytes"
	"fmt"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	bolt "go.etcd.io/bbolt"
)

// A Key names what a job does: a SHA-256 over its verb, rendered text, options
// and files.
type Key [32]byte

// A Result is a remembered success.
type Result struct {
	_msgpack struct{} `msgpack:",as_array"`

	// Fingerprint is Directord's, by which CACHEEVICT names a result.
	Fingerprint string
	Origin      Origin
	// Stdout and Stderr are what the job stored as arguments, where it did.
	Stdout, Stderr string
}

// Recall returns the remembered success of a key.
func (s *Store) Recall(key Key) (Result, bool, error) {
	s.mu.Lock()
	result, ok := s.pending[key]
	s.mu.Unlock()
	if ok {
		return result, true, nil
	}
	err := s.db.View(func(tx *bolt.Tx) error {
		data := tx.Bucket(bucketResults).Get(key[:])
		if data == nil {
			return nil
		}
		ok = true
		return msgpack.Unmarshal(data, &result)
	})
	if err != nil {
		return Result{}, false, fmt.Errorf("remembered result: %w", err)
	}
	return result, ok, nil
}

// Remember notes a success. It is written within flushDelay, or with the next change
// of anything else.
func (s *Store) Remember(key Key, result Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending[key] = result
	s.arm()
}

// arm has what waits written within flushDelay. The lock is held.
func (s *Store) arm() {
	if s.timer == nil && !s.closed {
		s.timer = time.AfterFunc(flushDelay, s.flushLater)
	}
}

// flushLater writes what waits; where it cannot, the results stay pending and go
// with the next change.
func (s *Store) flushLater() {
	s.mu.Lock()
	s.timer = nil
	closed := s.closed
	s.mu.Unlock()
	if !closed {
		_ = s.Flush()
	}
}

// Flush writes the successes and the records of steps that wait.
func (s *Store) Flush() error {
	s.mu.Lock()
	waits := len(s.pending) > 0
	for _, st := range s.steps {
		waits = waits || st.unwritten
	}
	s.mu.Unlock()
	if !waits {
		return nil
	}
	if err := s.update(func(*bolt.Tx) error { return nil }); err != nil {
		return fmt.Errorf("remembered results: %w", err)
	}
	return nil
}

// Forget drops a remembered success, because the job has failed since.
func (s *Store) Forget(key Key) error {
	_, known, err := s.Recall(key)
	if err != nil || !known {
		return err
	}
	return s.evict(func(tx *bolt.Tx) (int, error) {
		return 1, tx.Bucket(bucketResults).Delete(key[:])
	}, func(k Key, _ Result) bool { return k == key })
}

// evict runs a deletion and drops the pending results that match too.
func (s *Store) evict(change func(tx *bolt.Tx) (int, error), match func(Key, Result) bool) error {
	s.mu.Lock()
	for key, result := range s.pending {
		if match(key, result) {
			delete(s.pending, key)
		}
	}
	s.mu.Unlock()
	return s.update(func(tx *bolt.Tx) error {
		_, err := change(tx)
		return err
	})
}

// Evict forgets what a tag of CACHEEVICT names, and returns how many entries
// that were. With all results the records of steps go. The tags are all, jobs, parents, query, configs, args, envs and any
// job's fingerprint; a tag that names nothing is no error.
func (s *Store) Evict(tag string) (int, error) {
	count := 0
	results := tag == "all" || tag == "jobs"
	if err := s.Flush(); err != nil {
		return 0, err
	}
	if results {
		s.mu.Lock()
		s.forgetSteps()
		s.evictions++
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			s.evictions--
			s.mu.Unlock()
		}()
	}
	match := func(_ Key, r Result) bool { return results || r.Fingerprint == tag }
	err := s.evict(func(tx *bolt.Tx) (int, error) {
		count = 0
		if results {
			if _, err := deleteWhere(tx.Bucket(bucketSteps), func([]byte) bool { return true }); err != nil {
				return 0, err
			}
		}
		for name, bucket := range map[string][]byte{"args": bucketArgs, "envs": bucketEnvs, "query": bucketQuery} {
			if tag == "all" || tag == name {
				n, err := deleteWhere(tx.Bucket(bucket), func([]byte) bool { return true })
				count += n
				if err != nil {
					return count, err
				}
			}
		}
		if tag == "query" || tag == "configs" {
			n, err := deleteKey(tx.Bucket(bucketArgs), tag)
			count += n
			return count, err
		}
		n, err := deleteWhere(tx.Bucket(bucketResults), func(data []byte) bool {
			var r Result
			return results || msgpack.Unmarshal(data, &r) != nil || r.Fingerprint == tag
		})
		count += n
		return count, err
	}, match)
	if err != nil {
		return 0, fmt.Errorf("eviction of %s: %w", tag, err)
	}
	return count, nil
}

func deleteKey(b *bolt.Bucket, key string) (int, error) {
	if b.Get([]byte(key)) == nil {
		return 0, nil
	}
	return 1, b.Delete([]byte(key))
}

// deleteWhere deletes the entries whose value matches. The keys are collected
// first, because a bucket must not change under its cursor.
func deleteWhere(b *bolt.Bucket, match func(value []byte) bool) (int, error) {
	var keys [][]byte
	err := b.ForEach(func(k, v []byte) error {
		if match(v) {
			keys = append(keys, bytes.Clone(k))
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for _, k := range keys {
		if err := b.Delete(k); err != nil {
			return 0, err
		}
	}
	return len(keys), nil
}
