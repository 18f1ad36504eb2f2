package engine

// Retired returns the last record that is of no run under way: it and all before it
// are covered by the newest checkpoint, and belong to runs that have ended or to none.
// It is 0 where there is none. Run is the oldest one that keeps the records behind it,
// or 0 where it is the checkpoint that does.
func (s *State) Retired() (index, run uint64) {
	index = s.Checkpoint.Size
	if len(s.active) == 0 {
		return index, 0
	}
	oldest := s.Runs[s.active[0]-1]
	if before := oldest.Index - 1; before < index {
		return before, oldest.ID
	}
	return index, 0
}
