package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"quorate/internal/blobcache"
	"quorate/nodeagent/wire"
)

const (
	// blobCacheBytesMax is what the cache is cut down to when the agent starts, and
	// after each fetch.
	blobCacheBytesMax = 1 << 30
	// blobKeptAtLeast is how long content stays that was used: a job may be about to.
	blobKeptAtLeast  = 10 * time.Minute
	blobStallTimeout = 60 * time.Second
	blobRetryPause   = 500 * time.Millisecond
	blobAskMax       = 20 // times an orchestrator has no such blob, or another one of the name
)

// A blobCache keeps content by its SHA-256 and fetches what it lacks.
type blobCache struct {
	dir   *blobcache.Dir
	agent *agent

	mu       sync.Mutex
	fetching map[string]chan struct{}
	// online is closed and replaced when a connection begins.
	online chan struct{}
}

func newBlobCache(dir string, a *agent) (*blobCache, error) {
	blobs, err := blobcache.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("blob cache: %w", err)
	}
	c := &blobCache{dir: blobs, agent: a, fetching: map[string]chan struct{}{}, online: make(chan struct{})}
	if err := c.prune(blobCacheBytesMax, time.Now()); err != nil {
		return nil, fmt.Errorf("blob cache: %w", err)
	}
	return c, nil
}

// whenOnline returns what is closed when the next connection begins.
func (c *blobCache) whenOnline() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.online
}

// connected wakes those that wait for a connection.
func (c *blobCache) connected() {
	c.mu.Lock()
	close(c.online)
	c.online = make(chan struct{})
	c.mu.Unlock()
}

// get returns the path of the content, which it fetches first where it is not
// there. It waits for a connection as long as ctx lets it.
func (c *blobCache) get(ctx context.Context, digest string) (string, error) {
	if err := (&wire.BlobRequest{Digest: digest}).Check(); err != nil {
		return "", err
	}
	for {
		if c.dir.Touch(digest) {
			return c.dir.Path(digest), nil
		}
		c.mu.Lock()
		other, busy := c.fetching[digest]
		if !busy {
			c.fetching[digest] = make(chan struct{})
		}
		c.mu.Unlock()
		if busy {
			select {
			case <-other:
				continue
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
		err := c.fetch(ctx, digest)
		c.mu.Lock()
		close(c.fetching[digest])
		delete(c.fetching, digest)
		c.mu.Unlock()
		if err != nil {
			return "", fmt.Errorf("fetching blob %s: %w", digest, err)
		}
		if err := c.prune(blobCacheBytesMax, time.Now().Add(-blobKeptAtLeast)); err != nil {
			c.agent.log.Warn("content that nobody needs stays", "error", err)
		}
		return c.dir.Path(digest), nil
	}
}

// fetch goes on until the content is there, over as many connections as it takes.
func (c *blobCache) fetch(ctx context.Context, digest string) error {
	source := blobSource{agent: c.agent}
	for asked := 0; ; {
		online := c.whenOnline()
		l := source.choose(ctx)
		if l == nil {
			select {
			case <-online:
				continue
			case <-ctx.Done():
				return ctx.Err()
			case <-source.again():
				continue
			}
		}
		got, err := c.fetchOver(ctx, l, digest)
		source.judge(l, got, err)
		var disk *blobcache.DiskError
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &disk):
			return err
		}
		if errors.Is(err, blobcache.ErrUnknown) || errors.Is(err, blobcache.ErrWrong) {
			if asked++; asked >= blobAskMax {
				return err
			}
		}
		if !sleep(ctx, blobRetryPause) {
			return ctx.Err()
		}
	}
}

// fetchOver asks for what is missing of the content, and returns how much came.
func (c *blobCache) fetchOver(ctx context.Context, l *link, digest string) (got int64, err error) {
	began := time.Now()
	part, err := c.dir.Part(digest)
	if err != nil {
		return 0, err
	}
	defer part.Close()
	have := part.Have()
	err = c.append(ctx, l, part, func(n int) error {
		got += int64(n)
		return nil
	})
	switch {
	case err == nil:
		err = part.Settle()
	case errors.Is(err, blobcache.ErrWrong):
		err = errors.Join(err, part.Restart())
	}
	log := c.agent.log.With("digest", digest, "from", have, "bytes", got, "took", time.Since(began))
	switch {
	case blobcache.Full(err): // the host needs the room
		err = errors.Join(err, part.Discard())
		fallthrough
	case err != nil:
		log.Info("content not received", "error", err)
	case have > 0:
		log.Info("content received behind what was here")
	default:
		log.Debug("content received")
	}
	return got, err
}

// append fetches the content behind what the part holds, and tells took how much came.
func (c *blobCache) append(ctx context.Context, l *link, part *blobcache.Part, took func(n int) error) error {
	s, err := l.open(ctx)
	if err != nil {
		return err
	}
	defer abandon(s)
	defer context.AfterFunc(ctx, func() { _ = s.SetDeadline(time.Unix(1, 0)) })()
	size, err := part.Ask(ctx, s, blobStallTimeout)
	if err != nil {
		return err
	}
	if err := part.Reserve(size, func() error { return c.prune(0, time.Now().Add(-blobKeptAtLeast)) }); err != nil {
		return err
	}
	return part.Take(ctx, s, size, blobStallTimeout, took)
}

// prune removes the content that was used longest ago until the rest fits, or was used
// since.
func (c *blobCache) prune(bytesMax int64, since time.Time) error {
	all, err := c.dir.List()
	if err != nil {
		return err
	}
	return blobcache.Drop(all, bytesMax, func(e blobcache.Entry) bool { return e.Used.After(since) })
}
