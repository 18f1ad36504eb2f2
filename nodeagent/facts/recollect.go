package facts

import (
	"crypto/sha256"
	"fmt"

	"quorate/nodeagent/wire"
)

// Recollect brings the record of a task's step up to date with the notes of an attempt,
// where a crash came before it was written, and reports whether it lacked anything.
// unknown is true where the attempt has ended and nobody can tell what else it has done.
func (s *Store) Recollect(task string, attempt uint64, notes [][]byte, unknown bool) (lacked bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.step(task)
	if err != nil {
		return false, err
	}
	had := st.beside.noted(attempt)
	has := min(had.Notes, len(notes))
	if had.Unknown || had.Notes == len(notes) && !unknown {
		return false, nil
	}
	lacked = has < len(notes) || unknown
	for _, data := range notes[has:] {
		var n note
		if err := wire.Unmarshal(data, &n); err != nil {
			return false, fmt.Errorf("note of attempt %d: %w", attempt, err)
		}
		st.apply(attempt, &n)
	}
	if now := (noted{Attempt: attempt, Notes: len(notes), Unknown: unknown}); len(notes) < had.Notes {
		st.beside.takeBack(now)
	} else {
		st.beside.setNoted(now)
	}
	if unknown {
		st.dirty(attempt)
	}
	st.changed()
	s.keep(task, st)
	return lacked, nil
}

// Overlapped says that others may have been at the task's step since an attempt began that
// goes on. Where the record has the attempt it also has whether they were.
func (s *Store) Overlapped(task string, attempt uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.step(task)
	if err != nil || st.beside.has(attempt) {
		return err
	}
	st.beside.setFirst(noted{Attempt: attempt})
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
	st.beside.setNoted(noted{}) // nobody knows who came last
	st.changed()
	s.keep(task, st)
	return nil
}
