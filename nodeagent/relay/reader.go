package relay

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
)

// errAnew ends a reader of what turned out to be wrong and is fetched anew.
var errAnew = errors.New("the relay has to fetch it anew")

// A Reader reads a blob of a [Cache], also one that is still on its way.
type Reader struct {
	ctx     context.Context // of a growing one
	file    *os.File
	offset  int64
	size    int64
	growth  *growth // nil where the blob was whole from the start
	round   int
	release func()
	once    sync.Once
}

// Read implements [io.Reader]. It returns the last byte only when the blob is known to
// be what its name says.
func (r *Reader) Read(p []byte) (int, error) {
	if r.offset >= r.size {
		return 0, io.EOF
	}
	limit := r.size
	if r.growth != nil {
		var err error
		if limit, err = r.growth.beyond(r.ctx, r.offset, r.round); err != nil {
			return 0, err
		}
	}
	n, err := r.file.ReadAt(p[:min(int64(len(p)), limit-r.offset)], r.offset)
	r.offset += int64(n)
	switch {
	case n > 0:
		return n, nil
	case errors.Is(err, io.EOF): // what was there a moment ago was wrong
		return 0, errAnew
	}
	return 0, err
}

// Close gives the blob free.
func (r *Reader) Close() (err error) {
	r.once.Do(func() {
		if r.file != nil {
			err = r.file.Close()
		}
		if r.growth != nil {
			r.growth.cache.leave(r.growth)
		}
		if r.release != nil {
			r.release()
		}
	})
	return err
}

// beyond waits until there is something behind the offset, and returns how far a
// reader may go that began in the round.
func (g *growth) beyond(ctx context.Context, offset int64, round int) (limit int64, err error) {
	for {
		g.mu.Lock()
		limit, err := g.have, g.err
		if limit == g.size && !g.whole {
			limit-- // the last byte says that the rest is right
		}
		again, changed := g.round != round, g.changed
		g.mu.Unlock()
		switch {
		case err != nil:
			return 0, err
		case again:
			return 0, errAnew // it may have read what was wrong
		case limit > offset:
			return limit, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
