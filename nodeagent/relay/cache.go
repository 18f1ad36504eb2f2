package relay

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"slices"
	"sync"

	"quorate/internal/blobcache"
	"quorate/nodeagent/wire"
)

// fetchesMax bounds the blobs that are fetched at a time.
const fetchesMax = 8

// A Cache keeps blobs by their SHA-256 in a directory: whole ones, and parts of those
// that are on their way, which it goes on with after a restart.
type Cache struct {
	dir      *blobcache.Dir
	bytesMax int64
	pace     *pace
	open     func(context.Context) (Stream, error)
	log      *slog.Logger
	slots    chan struct{}
	tasks    sync.WaitGroup

	mu      sync.Mutex
	growing map[string]*growth
	inUse   map[string]int // whole ones that are being read
}

// NewCache opens the cache in the directory, of as many bytes, 0 for no bound, which
// fetches what it lacks over streams that open opens, at as many bytes per second, 0
// for no bound.
func NewCache(dir string, bytesMax, bytesPerSecond int64, open func(context.Context) (Stream, error), log *slog.Logger) (*Cache, error) {
	blobs, err := blobcache.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("relay's cache: %w", err)
	}
	if bytesMax <= 0 {
		bytesMax = math.MaxInt64
	}
	c := &Cache{
		dir: blobs, bytesMax: bytesMax, pace: newPace(bytesPerSecond), open: open, log: log,
		slots: make(chan struct{}, fetchesMax), growing: map[string]*growth{}, inUse: map[string]int{},
	}
	if err := c.prune(c.bytesMax); err != nil {
		return nil, fmt.Errorf("relay's cache: %w", err)
	}
	return c, nil
}

// Wait returns when nothing is being fetched any more: after the contexts of all
// readers have ended.
func (c *Cache) Wait() { c.tasks.Wait() }

// Open returns a reader of a blob from the offset on, which has to be closed, and the
// size of the whole blob. The reader waits for what is on its way; it comes to the
// blob's end only when all of it was found to be what its name says. It waits for a
// connection as long as ctx lets it. Errors wrap [blobcache.ErrUnknown] and
// [blobcache.ErrNoRoom].
func (c *Cache) Open(ctx context.Context, digest string, offset int64) (*Reader, int64, error) {
	if err := (&wire.BlobRequest{Digest: digest, Offset: offset}).Check(); err != nil {
		return nil, 0, err
	}
	file, g, err := c.find(ctx, digest)
	if err != nil {
		return nil, 0, err
	}
	if file != nil {
		return c.whole(file, digest, offset)
	}
	r := &Reader{ctx: ctx, growth: g}
	size, round, err := g.sized(ctx)
	if err == nil {
		r.size, r.round = size, round
		r.offset = min(offset, size)
		r.file, err = c.dir.Read(digest)
	}
	if err != nil {
		_ = r.Close() // there is nothing to be lost
		return nil, 0, err
	}
	return r, size, nil
}

// find returns the file of a whole blob, which is then in use, or else its growth, of
// which the caller is a reader then, and which begins where there is none.
func (c *Cache) find(ctx context.Context, digest string) (*os.File, *growth, error) {
	for {
		c.mu.Lock()
		if file, err := os.Open(c.dir.Path(digest)); err == nil {
			c.inUse[digest]++
			c.mu.Unlock()
			return file, nil, nil
		}
		g := c.growing[digest]
		if g != nil && g.readers == 0 { // it ends: two may not write one part
			c.mu.Unlock()
			select {
			case <-g.ended:
				continue
			case <-ctx.Done():
				return nil, nil, ctx.Err()
			}
		}
		if g == nil {
			g = &growth{cache: c, digest: digest, size: -1, changed: make(chan struct{}), ended: make(chan struct{})}
			var fetching context.Context
			fetching, g.cancel = context.WithCancel(context.Background())
			c.growing[digest] = g
			c.tasks.Go(func() { g.run(fetching) })
		}
		g.readers++
		c.mu.Unlock()
		return nil, g, nil
	}
}

// whole reads a blob that is all there.
func (c *Cache) whole(file *os.File, digest string, offset int64) (*Reader, int64, error) {
	r := &Reader{file: file, release: func() { c.released(digest) }}
	_ = c.dir.Touch(digest) // or it goes a little early
	info, err := file.Stat()
	if err != nil {
		_ = r.Close()
		return nil, 0, fmt.Errorf("blob %s: %w", digest, err)
	}
	r.size = info.Size()
	r.offset = min(offset, r.size)
	return r, r.size, nil
}

func (c *Cache) released(digest string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inUse[digest]--; c.inUse[digest] == 0 {
		delete(c.inUse, digest)
	}
}

// leave is called by each reader of what grows. Without readers the rest can wait.
func (c *Cache) leave(g *growth) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g.readers--; g.readers == 0 {
		g.cancel()
	}
}

// reserve makes sure of room for a blob, for which those that were used longest ago
// have to go where there is none.
func (c *Cache) reserve(g *growth, part *blobcache.Part, bytes int64) error {
	if bytes > c.bytesMax {
		return fmt.Errorf("%w: it has %d bytes, and the relay's cache %d", blobcache.ErrNoRoom, bytes, c.bytesMax)
	}
	c.mu.Lock()
	g.reserved = bytes
	c.mu.Unlock()
	if err := c.prune(c.bytesMax); err != nil {
		return err
	}
	return part.Reserve(bytes, func() error { return c.prune(0) })
}

// prune drops what nobody uses, that first which was used longest ago, until the rest
// fits, and what is promised to those on their way.
func (c *Cache) prune(bytesMax int64) error {
	all, err := c.dir.List()
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.growing {
		bytesMax -= g.reserved
	}
	all = slices.DeleteFunc(all, func(e blobcache.Entry) bool { return c.growing[e.Digest] != nil })
	return blobcache.Drop(all, bytesMax, func(e blobcache.Entry) bool { return c.inUse[e.Digest] > 0 })
}
