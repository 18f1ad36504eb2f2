package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"

	"quorate/engine"
	"quorate/engine/api"
	"quorate/engine/replay"
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
func (p *program) verify(dir string) error {
	v := verification{Schema: api.Schema}
	state, err := verified(dir)
	var corrupt *eventlog.CorruptError
	switch {
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
// snapshot vouches for itself.
func verified(dir string) (*engine.State, error) {
	ctx := context.Background()
	path := filepath.Join(dir, eventlog.StoreFile)
	head, _, err := eventlog.Verify(path)
	if err != nil {
		return nil, unread(err)
	}
	files, err := replay.OpenFiles(dir)
	if err != nil {
		return nil, unread(err)
	}
	defer files.Close()
	past, err := replay.New(ctx, plain{files})
	if err != nil {
		return nil, err
	}
	s, err := past.StateAt(ctx, head)
	if err != nil && !errors.As(err, new(*eventlog.CorruptError)) {
		err = &eventlog.CorruptError{Path: path, Index: past.Folded() + 1, Reason: err.Error()}
	}
	return s, err
}

// plain is a log without snapshots.
type plain struct{ replay.Log }

// State implements replay.Log.
func (plain) State(context.Context, uint64) (*engine.State, error) { return nil, nil }
