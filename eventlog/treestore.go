package eventlog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// bucketTree holds, by the number of a block of 256 records, the hashes of the
// complete subtrees that end with it, the lowest (level 8) first, and their CRC-32C.
// It is derived from the records: what is missing or damaged there is computed.
var bucketTree = []byte("tree")

var treeSums = crc32.MakeTable(crc32.Castagnoli)

// rebuildBlocks is how many blocks of a file that lacks them one transaction stores.
const rebuildBlocks = 256

// An edge is where a tree grows: what is needed of it to add a record.
type edge struct {
	blocks   uint64
	frontier []Hash // of the largest complete subtrees at level 8 and above, from the left
	leaves   []Hash // behind the last complete block
}

// clone returns an edge that grows by itself.
func (e *edge) clone() edge {
	return edge{blocks: e.blocks, frontier: slices.Clone(e.frontier), leaves: slices.Clone(e.leaves)}
}

// add takes a leaf, and returns the hashes of the subtrees that end with it where
// it completes a block.
func (e *edge) add(leaf Hash) (complete []Hash) {
	e.leaves = append(e.leaves, leaf)
	if len(e.leaves) < blockRecords {
		return nil
	}
	h := newBlockHashes(e.leaves)[blockLevel][0]
	e.leaves = e.leaves[:0]
	complete = []Hash{h}
	for n := e.blocks; n&1 == 1; n >>= 1 {
		last := len(e.frontier) - 1
		h = NodeHash(e.frontier[last], h)
		e.frontier = e.frontier[:last]
		complete = append(complete, h)
	}
	e.frontier = append(e.frontier, h)
	e.blocks++
	return complete
}

func encodeBlock(hashes []Hash) []byte {
	b := make([]byte, 0, len(hashes)*len(Hash{})+4)
	for _, h := range hashes {
		b = append(b, h[:]...)
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, treeSums))
}

// decodeBlock returns nothing for what is not as it was written.
func decodeBlock(n uint64, b []byte) ([]Hash, bool) {
	count := 1 + bits.TrailingZeros64(n+1)
	if len(b) != count*len(Hash{})+4 {
		return nil, false
	}
	sum := binary.BigEndian.Uint32(b[len(b)-4:])
	if b = b[:len(b)-4]; crc32.Checksum(b, treeSums) != sum {
		return nil, false
	}
	hashes := make([]Hash, count)
	for i := range hashes {
		copy(hashes[i][:], b[i*len(Hash{}):])
	}
	return hashes, true
}

// A treeBlock is what a commit adds to the tree.
type treeBlock struct {
	number uint64
	hashes []Hash
}

func writeBlocks(tx *bolt.Tx, blocks []treeBlock) error {
	if len(blocks) == 0 {
		return nil
	}
	tree, err := tx.CreateBucketIfNotExists(bucketTree)
	if err != nil {
		return err
	}
	tree.FillPercent = 0.95 // keys only grow
	for i := range blocks {
		if err := tree.Put(indexKey(blocks[i].number), encodeBlock(blocks[i].hashes)); err != nil {
			return err
		}
	}
	return nil
}

// grow adds records to a copy of the edge.
func (e *edge) grow(records []Record) (grown edge, blocks []treeBlock) {
	grown = e.clone()
	for i := range records {
		n := grown.blocks
		if hashes := grown.add(records[i].LeafHash()); hashes != nil {
			blocks = append(blocks, treeBlock{n, hashes})
		}
	}
	return grown, blocks
}

// Tree returns the Merkle tree over the first records. Where there are fewer the
// error wraps [ErrTooShort].
func (s *Store) Tree(size uint64) (*Tree, error) {
	return newTree(size, s.Head().Index, s.Read, s.block)
}

// MergedTree is [Store.Tree] over what the store and the tail hold together.
func MergedTree(store *Store, tail *Tail, size uint64) (*Tree, error) {
	read := func(from uint64, limit int) ([]Record, error) { return ReadMerged(store, tail, from, limit) }
	return newTree(size, tail.Head().Index, read, store.block)
}

// block returns what is stored of a block.
func (s *Store) block(n uint64) (hashes []Hash, ok bool) {
	err := s.view(func(tx *bolt.Tx) error {
		if tree := tx.Bucket(bucketTree); tree != nil {
			hashes, ok = decodeBlock(n, tree.Get(indexKey(n)))
		}
		return nil
	})
	return hashes, ok && err == nil
}

// loadEdge finds the edge of the stored tree, and builds what a file of before there
// was one lacks.
func (s *Store) loadEdge() error {
	want := s.head.Index / blockRecords
	have, err := s.trimBlocks(want)
	if err != nil {
		return err
	}
	tree, err := s.Tree(have * blockRecords)
	if err != nil {
		return err
	}
	e := edge{blocks: have}
	for bit := 63; bit >= 0; bit-- {
		if have>>bit&1 == 0 {
			continue
		}
		h, err := tree.node(blockLevel+bit, have>>(bit+1)<<1)
		if err != nil {
			return fmt.Errorf("log %s: tree: %w", s.path, err)
		}
		e.frontier = append(e.frontier, Hash(h))
	}
	for {
		next := e.blocks*blockRecords + uint64(len(e.leaves)) + 1
		if next > s.head.Index {
			break
		}
		var blocks []treeBlock
		for len(blocks) < rebuildBlocks && next <= s.head.Index {
			page, err := s.Read(next, blockRecords)
			if err != nil {
				return err
			}
			var more []treeBlock
			e, more = e.grow(page)
			blocks = append(blocks, more...)
			next += uint64(len(page))
		}
		if err := s.update(func(tx *bolt.Tx) error { return writeBlocks(tx, blocks) }); err != nil && !isFull(err) {
			return fmt.Errorf("log %s: tree: %w", s.path, err)
		}
	}
	s.edge = e
	return nil
}

// trimBlocks returns up to where blocks are stored, of those that there may be.
func (s *Store) trimBlocks(want uint64) (have uint64, err error) {
	beyond := false
	err = s.view(func(tx *bolt.Tx) error {
		tree := tx.Bucket(bucketTree)
		if tree == nil {
			return nil
		}
		if k, _ := tree.Cursor().Last(); len(k) == 8 {
			have = binary.BigEndian.Uint64(k) + 1
		}
		beyond = have > want
		return nil
	})
	if err != nil || !beyond {
		return have, err
	}
	// The records are the log. A tree that claims more of them is not theirs.
	return 0, s.update(func(tx *bolt.Tx) error { return tx.DeleteBucket(bucketTree) })
}
