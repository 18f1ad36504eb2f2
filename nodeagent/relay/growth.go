package relay

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"quorate/internal/blobcache"
)

const (
	// stallTimeout is how long nothing may come of a blob until it is asked for anew.
	stallTimeout = 30 * time.Second
	retryPause   = 500 * time.Millisecond
	// unknownMax is how often in a row an orchestrator says that there is no such blob
	// until that is believed: the agents that have to do with it may be on their way.
	unknownMax = 10
	// syncEveryBytes is what a power cut may take along of a part.
	syncEveryBytes = 8 << 20
)

// A growth is a blob on its way: one fetches, and any number reads along.
type growth struct {
	cache  *Cache
	digest string
	cancel context.CancelFunc
	ended  chan struct{} // closed when nothing of it runs any more
	// readers and reserved, the bytes that it is promised, are the cache's.
	readers  int
	reserved int64

	mu      sync.Mutex
	size    int64 // of the whole blob; -1 before it is known
	have    int64 // bytes that the part holds
	whole   bool  // it is all there, and what its name says
	round   int   // counts how often it was begun anew
	err     error
	changed chan struct{} // closed and replaced when any of it changes
}

// update changes what readers see.
func (g *growth) update(change func()) {
	g.mu.Lock()
	change()
	close(g.changed)
	g.changed = make(chan struct{})
	g.mu.Unlock()
}

// sized waits until the size is known, and tells how often it was begun anew.
func (g *growth) sized(ctx context.Context) (size int64, round int, err error) {
	for {
		g.mu.Lock()
		size, round, err, changed := g.size, g.round, g.err, g.changed
		g.mu.Unlock()
		switch {
		case err != nil:
			return 0, 0, err
		case size >= 0:
			return size, round, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		}
	}
}

// run fetches until all is there, or nobody wants it any more.
func (g *growth) run(ctx context.Context) {
	defer g.cancel()
	err := g.fetch(ctx)
	if err != nil {
		g.cache.log.Info("a blob was not fetched", "digest", g.digest, "error", err)
	}
	g.cache.mu.Lock()
	if g.cache.growing[g.digest] == g {
		delete(g.cache.growing, g.digest)
	}
	g.cache.mu.Unlock()
	g.update(func() {
		if g.err = err; err == nil {
			g.whole = true
		}
	})
	close(g.ended)
}

func (g *growth) fetch(ctx context.Context) (err error) {
	turn := g.cache.turn()
	defer turn.leave()
	if err := turn.take(ctx); err != nil {
		return err
	}
	part, err := g.cache.dir.Part(g.digest)
	if err != nil {
		return err
	}
	defer part.Close()
	defer func() {
		if err != nil && (part.Have() == 0 || blobcache.Full(err)) {
			// Files would be left of names that somebody makes up, or the host needs the room.
			err = errors.Join(err, part.Discard())
		}
	}()
	g.update(func() { g.have = part.Have() })
	for unknown := 0; ; {
		err := g.more(ctx, part)
		var disk *blobcache.DiskError
		switch {
		case err == nil:
			return part.Settle()
		case ctx.Err() != nil:
			return ctx.Err()
		case blobcache.Full(err), errors.As(err, &disk):
			return err
		case errors.Is(err, blobcache.ErrUnknown), errors.Is(err, blobcache.ErrWrong):
			if unknown++; unknown >= unknownMax {
				return err
			}
		default:
			unknown = 0
		}
		g.cache.log.Info("a blob goes on as soon as it can", "digest", g.digest, "at", part.Have(), "error", err)
		if g.size < 0 { // perhaps there is no such blob: nobody is to wait for who asks for it
			turn.leave()
		}
		if !sleep(ctx, retryPause/2+rand.N(retryPause)) {
			return ctx.Err()
		}
		if err := turn.take(ctx); err != nil {
			return err
		}
	}
}

// A turn is one of those that fetch at a time; parts, too, are written by so many.
type turn struct {
	slots chan struct{}
	held  bool
}

func (c *Cache) turn() *turn { return &turn{slots: c.slots} }

// take waits for the turn, unless it is held.
func (t *turn) take(ctx context.Context) error {
	if t.held {
		return nil
	}
	select {
	case t.slots <- struct{}{}:
		t.held = true
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// leave gives the turn to the next one.
func (t *turn) leave() {
	if t.held {
		<-t.slots
		t.held = false
	}
}

// more fetches what is missing, over one stream.
func (g *growth) more(ctx context.Context, part *blobcache.Part) error {
	s, err := g.cache.open(ctx)
	if err != nil {
		return err
	}
	defer s.Cancel()
	defer context.AfterFunc(ctx, s.Cancel)()
	_ = s.SetDeadline(time.Now().Add(stallTimeout))
	size, err := part.Ask(ctx, s, stallTimeout)
	if err == nil && g.size >= 0 && size != g.size {
		err = blobcache.ErrUnknown // readers were told another size
	}
	if err == nil {
		err = g.cache.reserve(g, part, size)
	}
	if err == nil {
		g.update(func() { g.size = size })
		err = g.take(ctx, part, s)
	}
	if errors.Is(err, blobcache.ErrWrong) {
		g.update(func() { // at once, or a reader would look for what is not there any more
			err = errors.Join(err, part.Restart())
			g.have = 0
			g.round++
		})
	}
	return err
}

// take fetches no faster than the cache is allowed to.
func (g *growth) take(ctx context.Context, part *blobcache.Part, s Stream) error {
	unsynced := 0
	return part.Take(ctx, s, g.size, stallTimeout, func(n int) error {
		g.update(func() { g.have = part.Have() })
		if unsynced += n; unsynced >= syncEveryBytes {
			unsynced = 0
			if err := part.Sync(); err != nil {
				return err
			}
		}
		if !g.cache.pace.took(ctx, n) {
			return ctx.Err()
		}
		return nil
	})
}

// sleep waits and reports whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
