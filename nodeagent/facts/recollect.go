package facts

import (
	"crypto/sha256"
	"fmt"

	"quorate/nodeagent/wire"
)

// Recollect brings the record of a task's step up to date with the notes of an attempt,
// where a crash came before it was written. unknown is true where the attempt has ended
// and nobody can tell what else it has done.
func (s *Store) Recollect(task string, attempt uint64, notes [][]byte, unknown bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.step(task)
	if err != nil || len(notes) == 0 && (!unknown || st.Attempt > attempt) {
		return err
	}
	for _, data := range notes {
		var n note
		if err := wire.Unmarshal(data, &n); err != nil {
			return fmt.Errorf("note of attempt %d: %w", attempt, err)
		}
		st.apply(attempt, &n)
	}
	if unknown {
		st.dirty(attempt)
	}
	st.changed()
	s.keep(task, st)
	return nil
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
