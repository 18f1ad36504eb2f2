package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quorate/internal/blobcache"
	"quorate/internal/job"
	"quorate/nodeagent/wire"
)

const (
	// aheadAskMax is blobAskMax of what no job waits for.
	aheadAskMax = 3
	// gaveWayAfter is how long a stream stands still of what no job waits for while one
	// waits for other content: less than those who send it put up with.
	gaveWayAfter = 3 * time.Second
	// freeShare is the part of the disk that stays free of what no job waits for.
	freeShare = 20
)

// errGaveWay ends a stream that would have stood still for too long.
var errGaveWay = errors.New("jobs wait for other content")

// patient reports whether content is fetched ahead, and no job has come to wait for it.
func (c *blobCache) patient(w want) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return w.ahead && c.hurried[w.digest] == 0
}

// getAhead fetches content that no job waits for yet. It fails where there is no room
// for it, and for what its job will make of it.
func (c *blobCache) getAhead(ctx context.Context, f job.File) error {
	if err := (&wire.BlobRequest{Digest: f.Digest}).Check(); err != nil {
		return err
	}
	free, all, err := c.free()
	if err != nil {
		return err
	}
	if free-all/freeShare < 2*f.Size {
		return fmt.Errorf("%w: %d bytes, where %d of %d are free", blobcache.ErrNoRoom, f.Size, free, all)
	}
	return c.bring(ctx, want{digest: f.Digest, ahead: true, size: f.Size})
}

// hurry says that a job waits for content, until the function that it returns is called.
func (c *blobCache) hurry(digest string) (over func()) {
	change := func(by int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.hurried[digest] += by; c.hurried[digest] == 0 {
			delete(c.hurried, digest)
		}
		close(c.changed)
		c.changed = make(chan struct{})
	}
	change(1)
	return func() { change(-1) }
}

// letPass waits while jobs wait for other content, and none for this. after bounds that,
// where it is not nil, by an error that wraps [errGaveWay].
func (c *blobCache) letPass(ctx context.Context, w want, after func(time.Duration) <-chan time.Time) error {
	if !w.ahead {
		return nil
	}
	var limit <-chan time.Time
	for {
		c.mu.Lock()
		idle, changed := len(c.hurried) == 0 || c.hurried[w.digest] > 0, c.changed
		c.mu.Unlock()
		if idle {
			return nil
		}
		if limit == nil && after != nil {
			limit = after(gaveWayAfter)
		}
		select {
		case <-changed:
		case <-limit:
			return errGaveWay
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reserve makes sure of room for content. What a job waits for takes the place of what
// is only needed later, if it has to; a relay that says another size than the dispatch
// would have that, or the disk, for nothing.
func (c *blobCache) reserve(part *blobcache.Part, w want, size int64) error {
	since := time.Now().Add(-blobKeptAtLeast)
	if size != w.size && (w.ahead || w.relay && w.size >= 0) {
		return fmt.Errorf("%w: it has %d bytes, and not %d", blobcache.ErrWrong, size, w.size)
	}
	if w.ahead {
		return part.Reserve(size, func() error { return nil })
	}
	err := part.Reserve(size, func() error { return c.prune(0, since) })
	if !blobcache.Full(err) {
		return err
	}
	return part.Reserve(size, func() error { return c.makeRoom(since) })
}

// makeRoom drops all but what was used since, and what attempts ship that do not wait.
func (c *blobCache) makeRoom(since time.Time) error {
	needed, begun := c.agent.provisions.needed()
	return c.drop(0, func(digest string, used time.Time) bool {
		if needed[digest] {
			return begun[digest]
		}
		return used.After(since)
	})
}
