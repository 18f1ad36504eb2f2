package engine

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"

	"quorate/eventlog"
)

// Hash returns the SHA-256 of the whole state in a canonical order. Replicas
// that folded the same log have the same hash; it covers what is kept for speed
// too, because a replica decides with it when it comes to lead.
func (s *State) Hash() eventlog.Hash {
	d := digest{h: sha256.New()}
	d.u64(s.Index, uint64(s.Time), s.Epoch, s.Leader)
	d.str(string(s.Head[:]), string(s.voided[:]), s.ClusterID)
	if s.Generation != 0 || s.RecoveredAt != 0 { // others hash as before there were any
		d.u64(s.Generation, s.RecoveredAt)
	}
	if s.Checkpoint.Size != 0 { // the same
		d.u64(s.Checkpoint.Size, s.Checkpoint.Index, uint64(len(s.Recoveries)))
		d.str(string(s.Checkpoint.Note))
		for _, r := range s.Recoveries {
			d.u64(r.Index, r.Generation)
		}
	}
	for _, k := range sortedKeys(d, s.Tokens) {
		d.token(s.Tokens[k])
	}
	for _, k := range sortedKeys(d, s.Operators) {
		d.operator(s.Operators[k])
	}
	for _, k := range sortedKeys(d, s.Agents) {
		d.agent(s.Agents[k])
	}
	for _, k := range sortedKeys(d, s.Plans) {
		// The plan's id is the hash of its bytes; the graph on record need not fit it.
		d.graph(s.Plans[k])
	}
	d.u64(uint64(len(s.Runs)))
	for _, r := range s.Runs {
		d.run(r)
	}
	for _, k := range sortedKeys(d, s.Attempts) {
		d.attempt(s.Attempts[k])
	}
	d.index(s.names)
	d.index(s.keys)
	d.index(s.requests)
	d.ids(s.controllers)
	d.ids(s.active)
	for _, k := range sortedKeys(d, s.members) {
		d.member(s.members[k])
	}
	if len(s.changes) > 0 || s.trimAt > 0 { // states from before there were values hash as they did
		d.u64(uint64(len(s.changes)), uint64(s.trimAt))
	}
	for _, c := range s.changes {
		d.u64(c.index, c.agent)
		d.str(c.key)
	}
	d.damping(&s.damping)
	return d.sum()
}

// A digest writes values so that no two sequences of them look alike: numbers at
// fixed width, everything else behind its length.
type digest struct {
	h hash.Hash
}

func (d digest) u64(vs ...uint64) {
	var b [8]byte
	for _, v := range vs {
		binary.BigEndian.PutUint64(b[:], v)
		d.h.Write(b[:])
	}
}

func (d digest) str(vs ...string) {
	for _, v := range vs {
		d.u64(uint64(len(v)))
		d.h.Write([]byte(v))
	}
}

func (d digest) strs(vs []string) {
	d.u64(uint64(len(vs)))
	d.str(vs...)
}

func (d digest) flags(vs ...bool) {
	var n uint64
	for _, v := range vs {
		n <<= 1
		if v {
			n |= 1
		}
	}
	d.u64(n)
}

func (d digest) ids(vs []uint64) {
	d.u64(uint64(len(vs)))
	d.u64(vs...)
}

func (d digest) u32s(vs []uint32) {
	d.u64(uint64(len(vs)))
	for _, v := range vs {
		d.u64(uint64(v))
	}
}

func (d digest) index(m map[string]uint64) {
	for _, k := range sortedKeys(d, m) {
		d.str(k)
		d.u64(m[k])
	}
}

func (d digest) sum() (h eventlog.Hash) {
	d.h.Sum(h[:0])
	return h
}

// sortedKeys writes how many there are and returns them in order.
func sortedKeys[K cmp.Ordered, V any](d digest, m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	d.u64(uint64(len(keys)))
	return keys
}
