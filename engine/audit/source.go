package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/eventlog/bundle"
)

// Files is the source of a stopped orchestrator's files.
type Files struct {
	Store *eventlog.Store
	// Open opens a blob, as eventlog.Blobs does; nil where there are none.
	Open func(digest string) (*os.File, error)
}

var _ bundle.Source = (*Files)(nil)

// Records implements bundle.Source.
func (f *Files) Records(ctx context.Context, from uint64, limit int) ([]eventlog.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return f.Store.Read(from, limit)
}

// Tree implements bundle.Source.
func (f *Files) Tree(size uint64) (*eventlog.Tree, error) { return f.Store.Tree(size) }

// Blob implements bundle.Source.
func (f *Files) Blob(_ context.Context, digest string) (io.ReadCloser, int64, error) {
	if f.Open == nil {
		return nil, 0, fmt.Errorf("blob %.12s: %w", digest, os.ErrNotExist)
	}
	return sized(f.Open(digest))
}

// sized is an open file with its length.
func sized(file *os.File, err error) (io.ReadCloser, int64, error) {
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

// Fold makes the state behind the record of an index out of all records up to it.
func Fold(ctx context.Context, src bundle.Source, index uint64) (*engine.State, error) {
	return foldOn(ctx, src, engine.NewState(), index)
}

// foldOn folds the records behind a state into it.
func foldOn(ctx context.Context, src bundle.Source, s *engine.State, index uint64) (*engine.State, error) {
	for s.Index < index {
		page, err := src.Records(ctx, s.Index+1, int(min(readRecordsMax, index-s.Index)))
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			return nil, fmt.Errorf("there is no record %d", s.Index+1)
		}
		for i := range page {
			if _, err := s.Fold(page[i]); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

func readBlob(ctx context.Context, src bundle.Source, digest string) ([]byte, error) {
	r, _, err := src.Blob(ctx, digest)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(r, planBytesMax))
	return text, errors.Join(err, r.Close())
}
