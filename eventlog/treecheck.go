package eventlog

import (
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// A treeCheck compares what is stored of the Merkle tree with the records, read in
// order. Without that a record could be changed, and the chain behind it computed
// anew, while the root is still the one that was signed.
type treeCheck struct {
	grown edge
	// first is where the first block begins that is read whole; of blocks behind
	// others only the lowest hash can be compared.
	first uint64
	whole bool
	// strict counts damage to what is stored as damage to the log. Otherwise it is
	// computed from the records, as lacking is what is not there.
	strict  bool
	lacking []treeBlock
	// lowest is the hash of the last block that was read whole.
	lowest Hash
}

// newTreeCheck returns a check of the records behind an index.
func (s *Store) newTreeCheck(behind uint64) *treeCheck {
	block := (behind + blockRecords - 1) / blockRecords
	return &treeCheck{first: block*blockRecords + 1, whole: block == 0, strict: s.opt.ReadOnly && s.opt.VerifyAll}
}

// add takes the next record, and returns the first one of a block whose stored hashes
// are not those of its records, or 0.
func (c *treeCheck) add(tree *bolt.Bucket, r *Record) (wrong uint64) {
	if tree == nil || r.Index < c.first {
		return 0
	}
	want := c.grown.add(r.LeafHash())
	if want == nil {
		return 0
	}
	c.lowest = want[0]
	n := (r.Index - 1) / blockRecords
	v := tree.Get(indexKey(n))
	have, ok := decodeBlock(n, v)
	switch {
	case ok && (slices.Equal(have, want) || !c.whole && have[0] == want[0]):
		return 0
	case ok || v != nil && c.strict:
		return n*blockRecords + 1
	}
	if c.whole {
		c.lacking = append(c.lacking, treeBlock{n, want})
	}
	return 0
}

// mend stores what a check found to be lacking.
func (s *Store) mend(c *treeCheck) error {
	if len(c.lacking) == 0 || s.opt.ReadOnly {
		return nil
	}
	err := s.update(func(tx *bolt.Tx) error { return writeBlocks(tx, c.lacking) })
	if err != nil && !isFull(err) { // on a full disk it stays computed
		return fmt.Errorf("log %s: tree: %w", s.path, err)
	}
	return nil
}
