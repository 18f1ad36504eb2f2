package facts

import (
	"crypto/sha256"
	"fmt"

	"quorate/nodeagent/wire"
)

// Recollect brings the record of a task's step up to date with the notes of an attempt,
// where a crash came before it was written, and reports whether it lacked any of them.
// unknown is true where the attempt has ended and nobody can tell what else it has done.
func (s *Store) Recollect(task string, attempt uint64, notes [][]byte, unknown bool) (lacked bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.step(task)
	if err != nil {
		return false, err
	}
	had := st.beside.noted(attempt)
	has := min(had, len(notes))
	if had == len(notes) && (!unknown || st.Attempt > attempt && len(notes) == 0) {
		return false, nil
	}
	for _, data := range notes[has:] {
		var n note
		if err := wire.Unmarshal(data, &n); err != nil {
			return false, fmt.Errorf("note of attempt %d: %w", attempt, err)
		}
		st.apply(attempt, &n)
	}
	st.beside.setNoted(attempt, len(notes)) // less than it had, where the last was never journalled
	if unknown {
		st.dirty(attempt)
	}
	st.changed()
	s.keep(task, st)
	return has < len(notes), nil
}

// Confuse makes all jobs of the task's step due, and those that require it: several
// attempts were noted to have been at it, and notes do not tell in which order they did
// what, where these belong to several runs.
func (s *Store) Confuse(task string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.step(task)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(st.Output[:])
	st.Jobs, st.Strict, st.Output = nil, true, digest(sum[:])
	st.changed()
	s.keep(task, st)
	return nil
}
