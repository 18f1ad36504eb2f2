package bundle

import (
	"errors"
	"iter"
	"math/bits"
	"slices"

	"quorate/eventlog"
)

// treeNodesMax bounds the hashes of a bundle's tree.
const treeNodesMax = 1 << 20

// A node is a complete subtree of the Merkle tree over the log: number N of the
// level, over the leaves N<<Level to (N+1)<<Level - 1, where leaf n is of record n+1.
type node struct {
	Level int    `json:"level"`
	N     uint64 `json:"n"`
	Hash  string `json:"hash"` // lower-case hex
}

// pieces yields the largest complete subtrees that make up the leaves lo to hi-1,
// from left to right.
func pieces(lo, hi uint64) iter.Seq2[int, uint64] {
	return func(yield func(int, uint64) bool) {
		for lo < hi {
			level := bits.Len64(hi-lo) - 1
			if lo > 0 {
				level = min(level, bits.TrailingZeros64(lo))
			}
			if !yield(level, lo>>level) {
				return
			}
			lo += 1 << level
		}
	}
}

// holes yields what of a log a bundle holds no records of, as ranges of leaves lo to
// hi-1, up to the largest checkpoint. A hole ends at each checkpoint's size, so that
// the tree of that size can be computed.
func holes(a *About) iter.Seq2[uint64, uint64] {
	return func(yield func(uint64, uint64) bool) {
		at := uint64(0) // leaves below are done
		to := func(end uint64) bool {
			for at < end {
				cut := end
				if i, _ := slices.BinarySearch(a.Checkpoints, at+1); i < len(a.Checkpoints) {
					cut = min(cut, a.Checkpoints[i])
				} else {
					return true // behind the last of them
				}
				if !yield(at, cut) {
					return false
				}
				at = cut
			}
			return true
		}
		for _, index := range a.Also {
			if !to(index - 1) {
				return
			}
			at = index
		}
		if !to(a.From - 1) {
			return
		}
		at = a.To
		if n := len(a.Checkpoints); n > 0 {
			to(a.Checkpoints[n-1])
		}
	}
}

// A frontier is the Merkle tree over the leaves so far: its largest complete
// subtrees, from left to right.
type frontier struct {
	size  uint64
	nodes []eventlog.Hash // one for each bit of size, the highest first
}

var errTree = errors.New("its hashes do not fit together")

// add appends a complete subtree of a level.
func (f *frontier) add(level int, h eventlog.Hash) error {
	if level > 62 || f.size&(1<<level-1) != 0 || f.size+1<<level < f.size {
		return errTree
	}
	for n := f.size >> level; n&1 == 1; n >>= 1 {
		last := len(f.nodes) - 1
		h = eventlog.NodeHash(f.nodes[last], h)
		f.nodes = f.nodes[:last]
	}
	f.nodes = append(f.nodes, h)
	f.size += 1 << level
	return nil
}

// root returns the hash of the tree.
func (f *frontier) root() eventlog.Hash {
	if len(f.nodes) == 0 {
		return emptyRoot()
	}
	h := f.nodes[len(f.nodes)-1]
	for _, left := range slices.Backward(f.nodes[:len(f.nodes)-1]) {
		h = eventlog.NodeHash(left, h)
	}
	return h
}
