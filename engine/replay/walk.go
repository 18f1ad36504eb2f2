package replay

import (
	"context"
	"slices"

	"quorate/engine"
	"quorate/engine/api"
	"quorate/eventlog"
)

// A Frame is one record of a walk: the event, whether it took effect, and what it
// changed.
type Frame struct {
	api.LogEvent
	Changes []Change `json:"changes"`
}

const (
	// windowRecords are looked at together: going back one record costs as much as
	// going back so many.
	windowRecords = 64
	windowsMax    = 8
)

// A Walker goes over a log's records, forward and back. It is not safe for
// concurrent use.
type Walker struct {
	*Replay
	windows [][]Frame // of windowRecords or fewer, the newest used last
	// ahead is the state behind the last record of the newest window made.
	ahead *engine.State
}

// NewWalker walks over a replay's log.
func NewWalker(r *Replay) *Walker { return &Walker{Replay: r} }

// Frame returns the record at an index with what it changed. The error wraps
// [ErrOutside] where there is none.
func (w *Walker) Frame(ctx context.Context, index uint64) (*Frame, error) {
	for i, frames := range w.windows {
		if first := frames[0].Seq; index >= first && index < first+uint64(len(frames)) {
			w.windows = append(slices.Delete(w.windows, i, i+1), frames)
			return &frames[index-first], nil
		}
	}
	if index < w.first || index > w.last {
		return nil, ErrOutside
	}
	start := max(w.first, (index-1)/windowRecords*windowRecords+1)
	frames, err := w.window(ctx, start, min(w.last, (index-1)/windowRecords*windowRecords+windowRecords))
	if err != nil {
		return nil, err
	}
	if len(w.windows) == windowsMax {
		w.windows = slices.Delete(w.windows, 0, 1)
	}
	w.windows = append(w.windows, frames)
	return &frames[index-start], nil
}

func (w *Walker) window(ctx context.Context, from, to uint64) ([]Frame, error) {
	s := w.ahead
	if s == nil || s.Index != from-1 {
		var err error
		if s, err = w.approach(ctx, from-1); err != nil {
			return nil, err
		}
	}
	w.ahead = nil
	frames := make([]Frame, 0, to-from+1)
	err := w.Fold(ctx, s, to, func(s *engine.State, rec *eventlog.Record, e eventlog.Event) func(string) {
		shot := TakeFor(s, e)
		return func(void string) {
			f := Frame{LogEvent: api.LogView(s, rec, e, void), Changes: []Change{}}
			if changes := shot.Compare(s); changes != nil {
				f.Changes = changes
			}
			frames = append(frames, f)
		}
	})
	if err != nil {
		return nil, err
	}
	w.ahead = s
	return frames, nil
}

// approach is [Replay.StateAt] that remembers states on the way.
func (w *Walker) approach(ctx context.Context, index uint64) (*engine.State, error) {
	s, err := w.base(ctx, index)
	if err != nil {
		return nil, err
	}
	for {
		if err := w.keep(s); err != nil {
			return nil, err
		}
		if s.Index >= index {
			return s, nil
		}
		if err := w.Fold(ctx, s, min(index, s.Index+marksEvery), nil); err != nil {
			return nil, err
		}
	}
}

// A Wanted says what a walk looks for; what is empty does not matter.
type Wanted struct {
	Kind eventlog.Kind
	Host string
}

func (w Wanted) is(s *engine.State, rec *eventlog.Record, e eventlog.Event) bool {
	return (w.Kind == 0 || rec.Kind == w.Kind) && (w.Host == "" || slices.Contains(Hosts(s, e), w.Host))
}

// Next returns the first record behind an index that is wanted, or 0.
func (w *Walker) Next(ctx context.Context, index uint64, want Wanted) (uint64, error) {
	if index >= w.last {
		return 0, nil
	}
	s, err := w.approach(ctx, max(index, w.first-1))
	if err != nil {
		return 0, err
	}
	found := uint64(0)
	for s.Index < w.last && found == 0 {
		if err := w.look(ctx, s, min(w.last, s.Index+marksEvery), want, func(at uint64) bool { found = at; return true }); err != nil {
			return 0, err
		}
		if err := w.keep(s); err != nil {
			return 0, err
		}
	}
	return found, nil
}

// Previous returns the last record in front of an index that is wanted, or 0.
func (w *Walker) Previous(ctx context.Context, index uint64, want Wanted) (uint64, error) {
	for index > w.first {
		from := w.first - 1
		if index > from+marksEvery {
			from = index - 1 - marksEvery
		}
		s, err := w.approach(ctx, from)
		if err != nil {
			return 0, err
		}
		found := uint64(0)
		if err := w.look(ctx, s, index-1, want, func(at uint64) bool { found = at; return false }); err != nil {
			return 0, err
		}
		if found != 0 {
			return found, nil
		}
		index = from + 1
	}
	return 0, nil
}

// look folds up to an index and calls found with each record that is wanted, until it
// says that this is enough.
func (w *Walker) look(ctx context.Context, s *engine.State, to uint64, want Wanted, found func(uint64) bool) error {
	enough := false
	for s.Index < to && !enough {
		records, err := w.log.Records(ctx, s.Index+1, int(min(recordsMax, to-s.Index)))
		if err != nil {
			return err
		}
		if len(records) == 0 {
			return ErrOutside
		}
		for i := range records {
			err := fold(s, &records[i], func(s *engine.State, rec *eventlog.Record, e eventlog.Event) func(string) {
				return func(string) { enough = enough || want.is(s, rec, e) && found(rec.Index) }
			})
			if err != nil {
				return err
			}
			if enough {
				return nil
			}
		}
	}
	return nil
}
