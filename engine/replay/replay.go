// Package replay finds the state of a cluster at any point of its log, and what
// changed between two points: on the files of an orchestrator, on a bundle, or
// through a running cluster's API. It reads, and writes nowhere.
package replay

import (
	"context"
	"errors"
	"fmt"

	"quorate/engine"
	"quorate/eventlog"
)

// A Log is where the records come from.
type Log interface {
	// Bounds are the first and the last record that are there; last is 0 where there
	// is none.
	Bounds(ctx context.Context) (first, last uint64, err error)
	// Records returns up to limit records from an index on, and at least one where
	// there is one.
	Records(ctx context.Context, from uint64, limit int) ([]eventlog.Record, error)
	// State returns a state at an index or before it that needs no folding, or nil
	// where there is none: the caller begins with the empty state then.
	State(ctx context.Context, at uint64) (*engine.State, error)
	// IndexAt returns the last record that is not later than a time, unix nanoseconds,
	// or the one in front of the first.
	IndexAt(ctx context.Context, nanos int64) (uint64, error)
}

// ErrOutside is wrapped by errors for a point that the log does not reach.
var ErrOutside = errors.New("the log does not reach there")

const (
	recordsMax = 1024
	// marksEvery is how many records apart states are kept in memory while they are
	// folded, so that going back folds no more, and marksMax how many are.
	marksEvery = 2048
	marksMax   = 64
)

// A Replay answers questions about a log's past. It is not safe for concurrent use.
type Replay struct {
	log         Log
	first, last uint64
	marks       []mark // by index
	folded      uint64
}

// A mark is an encoded state.
type mark struct {
	index uint64
	data  []byte
}

// New looks at a log.
func New(ctx context.Context, log Log) (*Replay, error) {
	first, last, err := log.Bounds(ctx)
	if err != nil {
		return nil, err
	}
	return &Replay{log: log, first: first, last: last}, nil
}

// First is the first record that is there.
func (r *Replay) First() uint64 { return r.first }

// Last is the last record that was there when New looked.
func (r *Replay) Last() uint64 { return r.last }

// StateAt returns the state behind the record at an index, which the caller may
// fold on. The error wraps [ErrOutside] for a point in front of the first record or
// behind the last.
func (r *Replay) StateAt(ctx context.Context, index uint64) (*engine.State, error) {
	if index > r.last || index+1 < r.first {
		return nil, fmt.Errorf("%w: it has records %d to %d, and not %d", ErrOutside, r.first, r.last, index)
	}
	s, err := r.base(ctx, index)
	if err != nil {
		return nil, err
	}
	return s, r.Fold(ctx, s, index, nil)
}

// Folded is the last record of the newest page that was folded: what comes behind an
// error lies behind it.
func (r *Replay) Folded() uint64 { return r.folded }

// Diff returns what changed behind the record at an index, up to another one that is
// not in front of it. Errors are those of [Replay.StateAt].
func (r *Replay) Diff(ctx context.Context, from, to uint64) ([]Change, error) {
	s, err := r.StateAt(ctx, from)
	if err != nil {
		return nil, err
	}
	shot := Take(s)
	s = nil // it may take as much memory as the next one
	if s, err = r.StateAt(ctx, to); err != nil {
		return nil, err
	}
	return shot.Compare(s), nil
}

// base is a state from which it is not far to the index.
func (r *Replay) base(ctx context.Context, index uint64) (*engine.State, error) {
	s, err := r.log.State(ctx, index)
	if err != nil {
		return nil, err
	}
	if m := r.markAt(index); m != nil && (s == nil || s.Index < m.index) {
		return m.decode()
	}
	if s == nil {
		s = engine.NewState()
	}
	if s.Index+1 < r.first {
		return nil, fmt.Errorf("%w: its records begin at %d, and the state in front of them is not there", ErrOutside, r.first)
	}
	return s, nil
}

// Fold folds the records behind a state up to an index, and calls seen, where there
// is one, with each: before it is folded, and after that with void as why it changed
// nothing.
func (r *Replay) Fold(ctx context.Context, s *engine.State, to uint64, seen Seen) error {
	for s.Index < to {
		records, err := r.log.Records(ctx, s.Index+1, int(min(recordsMax, to-s.Index)))
		if err != nil {
			return err
		}
		if len(records) == 0 {
			return fmt.Errorf("%w: record %d is not there", ErrOutside, s.Index+1)
		}
		for i := range records {
			if err := fold(s, &records[i], seen); err != nil {
				return err
			}
		}
		r.folded = s.Index
	}
	return nil
}

// Seen is told of a record with its event. It returns what is called once the record
// is folded, or nil.
type Seen func(s *engine.State, rec *eventlog.Record, e eventlog.Event) (folded func(void string))

func fold(s *engine.State, rec *eventlog.Record, seen Seen) error {
	e, err := eventlog.Decode(rec.Kind, rec.Data)
	if err != nil {
		return fmt.Errorf("record %d: %w", rec.Index, err)
	}
	var folded func(string)
	if seen != nil {
		folded = seen(s, rec, e)
	}
	void, err := s.Apply(*rec, e)
	if err != nil {
		return err
	}
	if folded != nil {
		folded(void)
	}
	return nil
}

// IndexAt returns the last record that is not later than a time, unix nanoseconds,
// or the one in front of the first.
func (r *Replay) IndexAt(ctx context.Context, nanos int64) (uint64, error) {
	index, err := r.log.IndexAt(ctx, nanos)
	return min(index, r.last), err
}

// IndexAt searches records for the last one that is not later than a time, unix
// nanoseconds: the times of a log never run backwards.
func IndexAt(ctx context.Context, first, last uint64, nanos int64, read func(ctx context.Context, from uint64, limit int) ([]eventlog.Record, error)) (uint64, error) {
	low, high := first, last+1 // the first record that is later is in low..high
	for low < high {
		mid := low + (high-low)/2
		records, err := read(ctx, mid, 1)
		if err != nil {
			return 0, err
		}
		if len(records) == 0 || records[0].Time > nanos {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low - 1, nil
}
