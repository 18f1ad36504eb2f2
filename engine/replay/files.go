package replay

import (
	"context"
	"errors"
	"path/filepath"

	"quorate/engine"
	"quorate/engine/snapshot"
	"quorate/eventlog"
)

// Files are those of an orchestrator that does not run, or a copy of them.
type Files struct {
	store  *eventlog.Store
	states snapshot.Dir
}

// OpenFiles opens the log in a data directory, to read only. The chain of what is
// read is checked as it is read, and the whole of it by [eventlog.Verify] only.
// Errors are those of [eventlog.OpenStore].
func OpenFiles(dir string) (*Files, error) {
	store, err := eventlog.OpenStore(filepath.Join(dir, eventlog.StoreFile), eventlog.StoreOptions{ReadOnly: true, SkipVerify: true})
	if err != nil {
		return nil, err
	}
	return &Files{store: store, states: snapshot.At(filepath.Join(dir, snapshot.DirName))}, nil
}

// Close closes the log.
func (f *Files) Close() error { return f.store.Close() }

// Bounds implements [Log].
func (f *Files) Bounds(context.Context) (first, last uint64, err error) {
	return 1, f.store.Head().Index, nil
}

// Records implements [Log].
func (f *Files) Records(ctx context.Context, from uint64, limit int) ([]eventlog.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	records, err := f.store.Read(from, limit)
	var damage *eventlog.CorruptError
	if !errors.As(err, &damage) {
		return records, err
	}
	// What is before the first record that is wrong can be read.
	_, _, verdict := eventlog.Verify(f.store.Path())
	if !errors.As(verdict, &damage) {
		return nil, err
	}
	if damage.Index <= from {
		return nil, verdict
	}
	return f.store.Read(from, int(min(uint64(limit), damage.Index-from)))
}

// State implements [Log]: it is the newest snapshot that fits the log's chain. One
// that does not, or is damaged, is passed over.
func (f *Files) State(_ context.Context, at uint64) (*engine.State, error) {
	found, err := f.states.Newest(at, f.fits, nil)
	if err != nil || found == nil {
		return nil, nil // the log is folded instead
	}
	return found.State, nil
}

func (f *Files) fits(p snapshot.Place) bool {
	if p.Index == 0 {
		return false
	}
	records, err := f.store.Read(p.Index, 1)
	return err == nil && len(records) == 1 && records[0].Hash == p.Head
}

// IndexAt implements [Log].
func (f *Files) IndexAt(ctx context.Context, nanos int64) (uint64, error) {
	return IndexAt(ctx, 1, f.store.Head().Index, nanos, f.Records)
}
