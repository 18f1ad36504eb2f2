package eventlog

import bolt "go.etcd.io/bbolt"

// markPrefix is in front of a mark's name, among the keys of the meta bucket.
const markPrefix = "mark/"

// Mark notes a name with the log, durably. Marks belong to this file: a snapshot
// does not carry them.
func (s *Store) Mark(name string) error {
	if s.Marked(name) {
		return nil
	}
	return s.update(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketMeta).Put([]byte(markPrefix+name), []byte{1})
	})
}

// Marked reports whether a name was noted.
func (s *Store) Marked(name string) bool {
	marked := false
	err := s.view(func(tx *bolt.Tx) error {
		marked = tx.Bucket(bucketMeta).Get([]byte(markPrefix+name)) != nil
		return nil
	})
	return err == nil && marked
}
