package relay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"quorate/nodeagent/wire"
)

const (
	suffixPart = ".part"
	// fetchesMax bounds the blobs that are fetched at a time.
	fetchesMax = 4
)

var (
	// ErrUnknown says that no orchestrator has the blob, or that no agent of the site
	// has anything to do with it.
	ErrUnknown = errors.New("the cluster does not give it to this relay")
	// ErrNoRoom says that a blob has no room in the cache.
	ErrNoRoom = errors.New("there is no room for it in the relay's cache")
)

// A Cache keeps blobs by their SHA-256 in a directory: whole ones, and parts of those
// that are on their way, which it goes on with after a restart.
type Cache struct {
	dir      string
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
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("relay's cache: %w", err)
	}
	c := &Cache{
		dir: dir, bytesMax: bytesMax, pace: newPace(bytesPerSecond), open: open, log: log,
		slots: make(chan struct{}, fetchesMax), growing: map[string]*growth{}, inUse: map[string]int{},
	}
	if err := c.prune(); err != nil {
		return nil, fmt.Errorf("relay's cache: %w", err)
	}
	return c, nil
}

// Wait returns when nothing is being fetched any more: after the contexts of all
// readers have ended.
func (c *Cache) Wait() { c.tasks.Wait() }

func (c *Cache) path(digest string) string { return filepath.Join(c.dir, digest[:2], digest) }

// Open returns a reader of a blob from the offset on, which has to be closed, and the
// size of the whole blob. The reader waits for what is on its way; it comes to the
// blob's end only when all of it was found to be what its name says. It waits for a
// connection as long as ctx lets it. Errors wrap [ErrUnknown] and [ErrNoRoom].
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
		r.file, err = os.Open(g.path + suffixPart)
		if errors.Is(err, fs.ErrNotExist) { // it has become whole meanwhile
			r.file, err = os.Open(g.path)
		}
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
		if file, err := os.Open(c.path(digest)); err == nil {
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
			g = &growth{cache: c, digest: digest, path: c.path(digest), size: -1, changed: make(chan struct{}), ended: make(chan struct{})}
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
	now := time.Now()
	_ = os.Chtimes(file.Name(), now, now) // or it goes a little early
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
func (c *Cache) reserve(g *growth, part *os.File, bytes int64) error {
	if c.bytesMax > 0 && bytes > c.bytesMax {
		return fmt.Errorf("%w: it has %d bytes, and the cache %d", ErrNoRoom, bytes, c.bytesMax)
	}
	c.mu.Lock()
	g.reserved = bytes
	c.mu.Unlock()
	if err := c.prune(); err != nil {
		return err
	}
	ask := func() error { return unix.Fallocate(int(part.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, max(bytes, 1)) }
	err := ask()
	if full(err) {
		if pruned := c.drop(func(int64) bool { return true }); pruned != nil {
			return pruned
		}
		err = ask()
	}
	if full(err) || errors.Is(err, unix.EFBIG) {
		return fmt.Errorf("%w: %d bytes in %s: %w", ErrNoRoom, bytes, c.dir, err)
	}
	return nil // other errors are of file systems that cannot tell
}

func full(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// prune drops what was used longest ago until the rest fits, and what is promised.
func (c *Cache) prune() error {
	return c.drop(func(total int64) bool { return c.bytesMax > 0 && total > c.bytesMax })
}

// drop removes the blobs and the parts that nobody uses, those first that were used
// longest ago, while the rest is too much.
func (c *Cache) drop(tooMuch func(total int64) bool) error {
	type entry struct {
		path string
		info fs.FileInfo
	}
	var all []entry
	var total int64
	err := filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it has become whole
		}
		if err == nil {
			all = append(all, entry{path, info})
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b entry) int { return a.info.ModTime().Compare(b.info.ModTime()) })
	c.mu.Lock()
	defer c.mu.Unlock()
	used := func(e entry) (digest string, yes bool) {
		name := filepath.Base(e.path)
		digest = name[:min(len(name), digestHexBytes)]
		return digest, c.inUse[digest] > 0 || c.growing[digest] != nil
	}
	for _, e := range all {
		if digest, _ := used(e); c.growing[digest] == nil {
			total += e.info.Size()
		}
	}
	for _, g := range c.growing {
		total += g.reserved
	}
	for _, e := range all {
		if !tooMuch(total) {
			break
		}
		if _, yes := used(e); yes {
			continue
		}
		if err := os.Remove(e.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		total -= e.info.Size()
	}
	return nil
}

const digestHexBytes = 64
