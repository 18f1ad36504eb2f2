package eventlog

import (
	"errors"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	// blockLevel is the level of the lowest subtrees that are stored; what is below
	// is computed from the records.
	blockLevel   = 8
	blockRecords = 1 << blockLevel
	// blocksKeptMax bounds the blocks whose hashes a [Tree] keeps.
	blocksKeptMax = 16
)

// ErrTooShort is wrapped by errors for a tree of more records than the log has.
var ErrTooShort = errors.New("the log is shorter")

// A Tree is the Merkle tree of RFC 6962 over the first records of a log, as
// golang.org/x/mod/sumdb/tlog has it: leaf n is record n+1, see [Record.Leaf]. Errors
// of its methods are of the log. It is not safe for concurrent use.
type Tree struct {
	size   uint64
	read   func(from uint64, limit int) ([]Record, error)
	stored func(block uint64) ([]Hash, bool)

	blocks map[uint64]*blockHashes
	order  []uint64                // of blocks, the oldest first
	upper  map[[2]uint64]tlog.Hash // of level and number, where none is stored
}

// blockHashes are the hashes in a block by level, the leaves first.
type blockHashes [blockLevel + 1][]Hash

// newTree returns the tree over the first records that read returns. Stored are the
// hashes of the subtrees of level 8 and above that end with a block, the lowest
// first, where they are at hand.
func newTree(size, end uint64, read func(uint64, int) ([]Record, error), stored func(uint64) ([]Hash, bool)) (*Tree, error) {
	if size > end {
		return nil, fmt.Errorf("tree over %d records: %w: it ends at %d", size, ErrTooShort, end)
	}
	return &Tree{size: size, read: read, stored: stored, blocks: map[uint64]*blockHashes{}, upper: map[[2]uint64]tlog.Hash{}}, nil
}

// Root returns the tree's hash; that of no records is the SHA-256 of nothing.
func (t *Tree) Root() (Hash, error) {
	h, err := tlog.TreeHash(int64(t.size), t)
	return Hash(h), err
}

// ProveTree returns the hashes that show that this tree only added to an older one,
// for tlog.CheckTree.
func (t *Tree) ProveTree(older uint64) ([]Hash, error) {
	if older > t.size {
		return nil, fmt.Errorf("proof of %d records in %d: %w", older, t.size, ErrTooShort)
	}
	if older == 0 {
		return nil, nil
	}
	p, err := tlog.ProveTree(int64(t.size), int64(older), t)
	return ownHashes(p), err
}

// Subtree returns the hash over the leaves lo to hi-1, counted from 0, which make up
// one node of a tree: lo is a multiple of the least power of two that is not less
// than hi-lo.
func (t *Tree) Subtree(lo, hi uint64) (Hash, error) {
	if lo >= hi || hi > t.size {
		return Hash{}, fmt.Errorf("subtree %d to %d of %d: %w", lo, hi, t.size, ErrTooShort)
	}
	n := hi - lo
	level := bits.Len64(n - 1)
	if lo&(1<<level-1) != 0 {
		return Hash{}, fmt.Errorf("subtree %d to %d: no node of a tree", lo, hi)
	}
	if n == 1<<level {
		h, err := t.node(level, lo>>level)
		return Hash(h), err
	}
	mid := lo + 1<<(level-1)
	left, err := t.Subtree(lo, mid)
	if err != nil {
		return Hash{}, err
	}
	right, err := t.Subtree(mid, hi)
	return NodeHash(left, right), err
}

// ReadHashes implements tlog.HashReader.
func (t *Tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	all := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		level, n := tlog.SplitStoredHashIndex(at)
		if n < 0 || level >= 63 || (uint64(n)+1)<<level > t.size {
			return nil, fmt.Errorf("hash %d of level %d: %w", n, level, ErrTooShort)
		}
		var err error
		if all[i], err = t.node(level, uint64(n)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// node returns the hash of the complete subtree n of a level.
func (t *Tree) node(level int, n uint64) (tlog.Hash, error) {
	if level < blockLevel {
		b, err := t.block(n >> (blockLevel - level))
		if err != nil {
			return tlog.Hash{}, err
		}
		return tlog.Hash(b[level][n&(1<<(blockLevel-level)-1)]), nil
	}
	key := [2]uint64{uint64(level), n}
	if h, ok := t.upper[key]; ok {
		return h, nil
	}
	last := (n+1)<<(level-blockLevel) - 1
	if own, ok := t.stored(last); ok && level-blockLevel < len(own) {
		return tlog.Hash(own[level-blockLevel]), nil
	}
	h, err := t.compute(level, n)
	if err == nil {
		t.upper[key] = h
	}
	return h, err
}

func (t *Tree) compute(level int, n uint64) (tlog.Hash, error) {
	if level == blockLevel {
		b, err := t.block(n)
		if err != nil {
			return tlog.Hash{}, err
		}
		return tlog.Hash(b[blockLevel][0]), nil
	}
	left, err := t.node(level-1, 2*n)
	if err != nil {
		return tlog.Hash{}, err
	}
	right, err := t.node(level-1, 2*n+1)
	return tlog.NodeHash(left, right), err
}

// block reads the records of a block, as far as the tree goes.
func (t *Tree) block(n uint64) (*blockHashes, error) {
	if b := t.blocks[n]; b != nil {
		return b, nil
	}
	from := n*blockRecords + 1
	leaves, err := readLeaves(t.read, from, min(t.size, from+blockRecords-1))
	if err != nil {
		return nil, err
	}
	b := newBlockHashes(leaves)
	if len(t.order) == blocksKeptMax {
		delete(t.blocks, t.order[0])
		t.order = t.order[1:]
	}
	t.blocks[n] = b
	t.order = append(t.order, n)
	return b, nil
}

// newBlockHashes returns the complete subtrees over leaves, which it keeps.
func newBlockHashes(leaves []Hash) *blockHashes {
	b := new(blockHashes)
	b[0] = leaves
	all := make([]Hash, 0, len(leaves)) // below the leaves' number
	for level := 1; level <= blockLevel; level++ {
		below := b[level-1]
		from := len(all)
		for i := 0; i+1 < len(below); i += 2 {
			all = append(all, NodeHash(below[i], below[i+1]))
		}
		b[level] = all[from:]
	}
	return b
}

// readLeaves returns the leaf hashes of the records from one index to another.
func readLeaves(read func(uint64, int) ([]Record, error), from, to uint64) ([]Hash, error) {
	leaves := make([]Hash, 0, to+1-from)
	for next := from; next <= to; {
		page, err := read(next, int(to+1-next))
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			return nil, fmt.Errorf("record %d: %w", next, ErrTooShort)
		}
		for i := range page {
			leaves = append(leaves, page[i].LeafHash())
		}
		next += uint64(len(page))
	}
	return leaves, nil
}

func ownHashes(p []tlog.Hash) []Hash {
	own := make([]Hash, len(p))
	for i, h := range p {
		own[i] = Hash(h)
	}
	return own
}
