package eventlog

import (
	"bytes"
	"errors"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Rebase makes the store that of a log of raft which is yet to begin: nothing of
// it is applied, no values are kept beside the records, and there are no marks.
// The records, and the chain's head, stay.
func (s *Store) Rebase() error {
	err := s.update(func(tx *bolt.Tx) error {
		if err := tx.DeleteBucket(bucketSide); err != nil && !errors.Is(err, berrors.ErrBucketNotFound) {
			return err
		}
		if _, err := tx.CreateBucket(bucketSide); err != nil {
			return err
		}
		meta := tx.Bucket(bucketMeta)
		c := meta.Cursor()
		for k, _ := c.Seek([]byte(markPrefix)); bytes.HasPrefix(k, []byte(markPrefix)); k, _ = c.Seek([]byte(markPrefix)) {
			if err := meta.Delete(k); err != nil {
				return err
			}
		}
		return meta.Put(keyApplied, indexKey(0))
	})
	if err != nil {
		return err
	}
	s.metaMu.Lock()
	defer s.metaMu.Unlock()
	s.applied = 0
	return nil
}
