package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"

	"quorate/engine"
	"quorate/engine/api"
	"quorate/engine/replay"
	"quorate/engine/snapshot"
	"quorate/eventlog"
)

// A verification is what replay --verify prints.
type verification struct {
	Schema string `json:"schema"`
	OK     bool   `json:"ok"`
	// Seq and Head are of the last record.
	Seq       uint64 `json:"seq"`
	Head      string `json:"head,omitempty"`
	StateHash string `json:"state_hash,omitempty"`
	// FirstBad is the first index that is not what was written.
	FirstBad uint64 `json:"first_bad,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// verify proves that the log is what was written, and what it amounts to.
func (p *program) verify(ctx context.Context, dir string) error {
	v := verification{Schema: api.Schema}
	state, err := verified(ctx, dir)
	var corrupt *eventlog.CorruptError
	var other *stateError
	switch {
	case errors.As(err, &other):
		v.FirstBad, v.Reason = other.index, other.Error()
		err = hinted(err, "remove it, or copy the log without it: the records are sound, and replay folds them where there is no snapshot")
	case errors.As(err, &corrupt):
		v.FirstBad, v.Reason = corrupt.Index, corrupt.Reason
	case err != nil:
		return err
	default:
		hash := state.Hash()
		v.OK, v.Seq, v.Head, v.StateHash = true, state.Index, hex.EncodeToString(state.Head[:]), hex.EncodeToString(hash[:])
	}
	if p.format() != formatTable {
		if err := p.emit(v, nil); err != nil {
			return err
		}
	} else if v.OK {
		if _, err := fmt.Fprintf(p.con.out, "ok: %d records\nhead  %s\nstate %s\n", v.Seq, v.Head, v.StateHash); err != nil {
			return err
		}
	}
	if v.OK {
		return nil
	}
	return afterDamage(err)
}

// afterDamage says what can be done about a damaged log.
func afterDamage(err error) error {
	var damage *eventlog.CorruptError
	switch {
	case !errors.As(err, &damage):
		return err
	case damage.Index < 2:
		return hinted(err, "restore the directory from a backup or another replica")
	}
	return hinted(err, "the records before it are as they were written: look at them with --at %d, and restore the directory from a backup or another replica", damage.Index-1)
}

// verified checks the chain of the whole log, and folds it from its beginning: no
// snapshot vouches for itself, and each that would be trusted has to agree.
func verified(ctx context.Context, dir string) (*engine.State, error) {
	path := filepath.Join(dir, eventlog.StoreFile)
	head, err := chainOf(ctx, path)
	if err != nil {
		return nil, unread(err)
	}
	files, err := replay.OpenFiles(dir)
	if err != nil {
		return nil, unread(err)
	}
	defer files.Close()
	past, err := replay.New(ctx, files)
	if err != nil {
		return nil, err
	}
	states := snapshot.At(filepath.Join(dir, snapshot.DirName))
	kept, err := states.List()
	if err != nil {
		kept = nil // nobody can read them, and so nobody trusts them
	}
	s := engine.NewState()
	for _, at := range append(kept, head) {
		if at > head {
			continue
		}
		err := past.Fold(ctx, s, at, nil)
		if err != nil && ctx.Err() == nil && !errors.As(err, new(*eventlog.CorruptError)) {
			err = &eventlog.CorruptError{Path: path, Index: past.Folded() + 1, Reason: err.Error()}
		}
		if err == nil && at != head {
			err = sameAsKept(states, s)
		}
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// chainOf checks the chain of a log, and returns where that ends, or the context's error
// as soon as that ends: nothing is written that would have to be waited for.
func chainOf(ctx context.Context, path string) (uint64, error) {
	type found struct {
		head uint64
		err  error
	}
	done := make(chan found, 1)
	go func() {
		head, _, err := eventlog.Verify(path)
		done <- found{head, err}
	}()
	select {
	case f := <-done:
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		return f.head, f.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// A stateError is of a snapshot that says something else than the log.
type stateError struct {
	file  string
	index uint64
}

// Error implements error.
func (e *stateError) Error() string {
	return fmt.Sprintf("the snapshot %s is not the state that the log folds to at %d", e.file, e.index)
}

// sameAsKept compares a state with the snapshot of it, where that is one that would be
// trusted: one that is damaged, or does not fit the chain, is passed over.
func sameAsKept(states snapshot.Dir, s *engine.State) error {
	kept, ok, err := states.Sum(s.Index, func(p snapshot.Place) bool { return p.Head == s.Head })
	if err != nil || !ok {
		return nil
	}
	own := sha256.New()
	if err := s.Encode(own); err != nil {
		return err
	}
	if [sha256.Size]byte(own.Sum(nil)) != kept {
		return &stateError{states.File(s.Index), s.Index}
	}
	return nil
}
