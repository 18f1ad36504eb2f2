package replay

import (
	"context"
	"fmt"
	"io"
	"iter"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/eventlog/bundle"
)

// Bundled are the records of a bundle, and the state in front of them.
type Bundled struct {
	bundle *bundle.Bundle
	// next and stop read on behind at-1.
	at   uint64
	next func() (eventlog.Record, error, bool)
	stop func()
}

// OpenBundle opens a bundle, which is read and not checked. Errors are those of
// [bundle.Open].
func OpenBundle(path string) (*Bundled, error) {
	b, err := bundle.Open(path)
	if err != nil {
		return nil, err
	}
	return &Bundled{bundle: b}, nil
}

// Close closes the file.
func (b *Bundled) Close() error {
	if b.stop != nil {
		b.stop()
	}
	return b.bundle.Close()
}

// Run is the run that the bundle is about, or 0.
func (b *Bundled) Run() uint64 { return b.bundle.Run }

// Blob returns the content of a blob. Errors are those of [bundle.Bundle.Blob].
func (b *Bundled) Blob(digest string) (io.Reader, error) { return b.bundle.Blob(digest) }

// Bounds implements [Log].
func (b *Bundled) Bounds(context.Context) (first, last uint64, err error) {
	return b.bundle.From, b.bundle.To, nil
}

// Records implements [Log]. The records are in a file from the first to the last, so
// that reading on is cheap and going back is not.
func (b *Bundled) Records(ctx context.Context, from uint64, limit int) (page []eventlog.Record, err error) {
	if b.stop == nil || b.at != from {
		if b.stop != nil {
			b.stop()
		}
		b.next, b.stop = iter.Pull2(b.bundle.Records(from))
		b.at = from
	}
	for len(page) < limit {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rec, err, ok := b.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		page = append(page, rec)
		b.at = rec.Index + 1
	}
	return page, nil
}

// State implements [Log].
func (b *Bundled) State(_ context.Context, at uint64) (*engine.State, error) {
	r, ok := b.bundle.State()
	if !ok {
		return nil, nil
	}
	s, err := engine.DecodeState(r)
	if err != nil {
		return nil, fmt.Errorf("state in front of record %d: %w", b.bundle.From, err)
	}
	if s.Index+1 != b.bundle.From {
		return nil, fmt.Errorf("the bundle's state is of record %d, and its records begin at %d", s.Index, b.bundle.From)
	}
	if s.Index > at {
		return nil, nil
	}
	return s, nil
}

// IndexAt implements [Log].
func (b *Bundled) IndexAt(ctx context.Context, nanos int64) (uint64, error) {
	index := b.bundle.From - 1
	for rec, err := range b.bundle.Records(0) {
		if err != nil {
			return 0, err
		}
		if rec.Time > nanos || ctx.Err() != nil {
			break
		}
		index = rec.Index
	}
	return index, ctx.Err()
}
