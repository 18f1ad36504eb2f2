package planner

import (
	"encoding/binary"
	"slices"
)

// hostSets stores each set of hosts once. Sets are ascending positions and are
// named by their own position.
type hostSets struct {
	list  [][]uint32
	index map[string]uint32
	key   []byte
}

func newHostSets() *hostSets { return &hostSets{index: map[string]uint32{}} }

// intern returns the name of a set. The caller does not change the slice afterwards.
func (s *hostSets) intern(set []uint32) uint32 {
	s.key = s.key[:0]
	for _, h := range set {
		s.key = binary.LittleEndian.AppendUint32(s.key, h)
	}
	if i, known := s.index[string(s.key)]; known {
		return i
	}
	i := uint32(len(s.list))
	s.index[string(s.key)] = i
	s.list = append(s.list, set)
	return i
}

// internList returns the name of the set of a list in any order.
func (s *hostSets) internList(list []uint32) uint32 {
	set := slices.Clone(list)
	slices.Sort(set)
	return s.intern(slices.Compact(set))
}

// union returns the name of the union of some sets.
func (s *hostSets) union(sets []uint32) uint32 {
	if same := slices.Compact(slices.Clone(sets)); len(same) == 1 {
		return same[0]
	}
	var all []uint32
	for _, i := range slices.Compact(slices.Sorted(slices.Values(sets))) {
		all = append(all, s.list[i]...)
	}
	return s.internList(all)
}

// filter returns for each set the name of what is left of it.
func (s *hostSets) filter(keep []bool) []uint32 {
	left := make([]uint32, len(s.list))
	for i, set := range s.list[:len(left)] {
		some := make([]uint32, 0, len(set))
		for _, h := range set {
			if keep[h] {
				some = append(some, h)
			}
		}
		left[i] = s.intern(some)
	}
	return left
}
