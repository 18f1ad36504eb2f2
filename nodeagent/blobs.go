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

// A want is content that is to be fetched.
type want struct {
	digest string
	// ahead is true where no job waits for it.
	ahead bool
	// size is what its dispatch says, or -1 where none is known that ships it. It holds for
	// what is fetched ahead, and for the word of a relay.
	size  int64
	relay bool // one is asked
}

// A blobCache keeps content by its SHA-256 and fetches what it lacks.
type blobCache struct {
	dir   *blobcache.Dir
	agent *agent
	// bytesMax is what the content may take that is kept; what open attempts ship stays.
	bytesMax int64
	// free is how many bytes of the disk may still be taken, of how many in all.
	free func() (free, all int64, err error)

	mu       sync.Mutex
	fetching map[string]chan struct{}
	// hurried counts the jobs that wait for content; changed is closed and replaced
	// when it changes.
	hurried map[string]int
	changed chan struct{}
	// online is closed and replaced when a connection begins.
	online chan struct{}
}

func newBlobCache(dir string, a *agent) (*blobCache, error) {
	blobs, err := blobcache.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("blob cache: %w", err)
	}
	c := &blobCache{
		dir: blobs, agent: a, bytesMax: blobCacheBytesMax, free: blobs.Free, fetching: map[string]chan struct{}{},
		hurried: map[string]int{}, changed: make(chan struct{}), online: make(chan struct{}),
	}
	if a.cfg.DiskFree != nil {
		c.free = a.cfg.DiskFree
	}
	if err := c.prune(c.bytesMax, time.Now()); err != nil {
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
	if !c.dir.Touch(digest) {
		defer c.hurry(digest)()
		if err := c.bring(ctx, want{digest: digest, size: c.agent.provisions.size(digest)}); err != nil {
			return "", fmt.Errorf("fetching blob %s: %w", digest, err)
		}
	}
	return c.dir.Path(digest), nil
}

// bring has the content fetched where it is not there, by one at a time.
func (c *blobCache) bring(ctx context.Context, w want) error {
	for !c.dir.Touch(w.digest) {
		c.mu.Lock()
		other, busy := c.fetching[w.digest]
		if !busy {
			c.fetching[w.digest] = make(chan struct{})
		}
		c.mu.Unlock()
		if busy {
			select {
			case <-other:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		err := c.fetch(ctx, w)
		c.mu.Lock()
		close(c.fetching[w.digest])
		delete(c.fetching, w.digest)
		c.mu.Unlock()
		if err != nil {
			return err
		}
		if err := c.prune(c.bytesMax, time.Now().Add(-blobKeptAtLeast)); err != nil {
			c.agent.log.Warn("content that nobody needs stays", "error", err)
		}
		return nil
	}
	return nil
}

// fetch goes on until the content is there, over as many connections as it takes.
func (c *blobCache) fetch(ctx context.Context, w want) error {
	source := blobSource{agent: c.agent}
	for asked := 0; ; {
		if err := c.letPass(ctx, w, nil); err != nil {
			return err
		}
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
		w.relay = source.relay
		got, err := c.fetchOver(ctx, l, w)
		var disk *blobcache.DiskError
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &disk):
			return err
		case errors.Is(err, errGaveWay):
			continue
		}
		patient := c.patient(w)
		source.judge(l, got, err, patient)
		if errors.Is(err, blobcache.ErrUnknown) || errors.Is(err, blobcache.ErrWrong) {
			if asked++; asked >= blobAskMax || patient && asked >= aheadAskMax {
				return err
			}
		}
		if !sleep(ctx, blobRetryPause) {
			return ctx.Err()
		}
	}
}

// fetchOver asks for what is missing of the content, and returns how much came.
func (c *blobCache) fetchOver(ctx context.Context, l *link, w want) (got int64, err error) {
	began := time.Now()
	part, err := c.dir.Part(w.digest)
	if err != nil {
		return 0, err
	}
	defer part.Close()
	have := part.Have()
	err = c.append(ctx, l, w, part, func(n int) error {
		got += int64(n)
		return c.letPass(ctx, w, time.After)
	})
	switch {
	case err == nil:
		err = part.Settle()
	case errors.Is(err, blobcache.ErrWrong):
		err = errors.Join(err, part.Restart())
	}
	log := c.agent.log.With("digest", w.digest, "from", have, "bytes", got, "took", time.Since(began))
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
func (c *blobCache) append(ctx context.Context, l *link, w want, part *blobcache.Part, took func(n int) error) error {
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
	if err := c.reserve(part, w, size); err != nil {
		return err
	}
	return part.Take(ctx, s, size, blobStallTimeout, took)
}

// prune removes the content that was used longest ago until the rest fits, but for what
// was used since, and for what open attempts ship.
func (c *blobCache) prune(bytesMax int64, since time.Time) error {
	needed, _ := c.agent.provisions.needed()
	return c.drop(bytesMax, func(digest string, used time.Time) bool { return used.After(since) || needed[digest] })
}

// drop removes content but for what is to stay, or is being fetched.
func (c *blobCache) drop(bytesMax int64, stays func(digest string, used time.Time) bool) error {
	all, err := c.dir.List()
	if err != nil {
		return err
	}
	return blobcache.Drop(all, bytesMax, func(e blobcache.Entry) bool {
		c.mu.Lock()
		_, busy := c.fetching[e.Digest]
		c.mu.Unlock()
		return busy || stays(e.Digest, e.Used)
	})
}
