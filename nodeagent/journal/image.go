package journal

// NewState returns the state of a journal that was just made under the id.
func NewState(journalID string) *State {
	s := newState()
	s.JournalID = journalID
	return s
}

// Records returns the fewest records that fold to the state, in the order in which
// a rewritten file holds them.
func (s *State) Records() []Record {
	records := []Record{s.summary()}
	for _, id := range s.Attempts() {
		if r := s.awaits(id); r != nil {
			records = append(records, r)
		}
		records = append(records, &Kept{Attempt: *s.attempts[id]})
		if s.yielded[id] {
			records = append(records, &Yielded{Attempt: id})
		}
	}
	for _, r := range s.reports {
		records = append(records, &KeptReport{Report: r})
	}
	return records
}

// AppendFrame appends the record as a file holds it. synced is the size of the
// file, in bytes, that is known to be on disk.
func AppendFrame(dst []byte, r Record, synced int64) ([]byte, error) {
	return appendFrame(dst, r, synced)
}

// Replay folds the bytes of a file, and returns how many of them are valid: the
// rest is a tail that a crash has torn. Where what had been synced is damaged the
// error wraps [ErrCorrupt].
func Replay(data []byte) (*State, int64, error) { return replay(data) }
