package raft

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/lni/dragonboat/v4/raftpb"
)

// An entryHash is the first half of a SHA-256: it guards against accidents.
type entryHash [16]byte

// follow returns the hash of the chain at an entry behind a hash.
func (h entryHash) follow(e *raftpb.Entry) entryHash {
	var fixed [len(h) + 7*8]byte
	n := copy(fixed[:], h[:])
	for i, v := range []uint64{e.Index, e.Term, uint64(e.Type), e.Key, e.ClientID, e.SeriesID, e.RespondedTo} {
		binary.BigEndian.PutUint64(fixed[n+8*i:], v)
	}
	d := sha256.New()
	d.Write(fixed[:])
	d.Write(e.Cmd)
	var sum [sha256.Size]byte
	d.Sum(sum[:0])
	return entryHash(sum[:len(h)])
}

// seedHash begins a chain behind a snapshot.
func seedHash(index, term uint64) entryHash {
	var fixed [16]byte
	binary.BigEndian.PutUint64(fixed[:], index)
	binary.BigEndian.PutUint64(fixed[8:], term)
	sum := sha256.Sum256(fixed[:])
	return entryHash(sum[:len(entryHash{})])
}

// A chain holds the hashes of the entries of Raft's log, 16 bytes each: a
// conflicting end is overwritten, and the beginning goes with compaction.
type chain struct {
	base     uint64
	baseHash entryHash
	hashes   []entryHash // of the entries behind base
}

func (c *chain) last() uint64 { return c.base + uint64(len(c.hashes)) }

// at returns the hash at an index from base to last.
func (c *chain) at(index uint64) entryHash {
	if index == c.base {
		return c.baseHash
	}
	return c.hashes[index-c.base-1]
}

// holds reports whether an index is from base to last.
func (c *chain) holds(index uint64) bool { return index >= c.base && index <= c.last() }

// append adds entries that are next to each other, the first of them behind one
// that the chain holds; it replaces what was behind that.
func (c *chain) append(entries []raftpb.Entry) {
	if len(entries) == 0 {
		return
	}
	before := entries[0].Index - 1
	h := c.at(before)
	c.hashes = c.hashes[:before-c.base]
	for i := range entries {
		h = h.follow(&entries[i])
		c.hashes = append(c.hashes, h)
	}
}

// compact drops what is up to an index that the chain holds.
func (c *chain) compact(to uint64) {
	h := c.at(to)
	c.hashes = append([]entryHash(nil), c.hashes[to-c.base:]...)
	c.base, c.baseHash = to, h
}

// reset begins behind a snapshot.
func (c *chain) reset(index, term uint64) {
	*c = chain{base: index, baseHash: seedHash(index, term)}
}
