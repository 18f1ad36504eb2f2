package relay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"quorate/nodeagent/wire"
)

const (
	// stallTimeout is how long nothing may come of a blob until it is asked for anew.
	stallTimeout = 30 * time.Second
	retryPause   = 500 * time.Millisecond
	// unknownMax is how often in a row an orchestrator says that there is no such blob
	// until that is believed: the agents that have to do with it may be on their way.
	unknownMax  = 10
	bufferBytes = 64 << 10
	// syncEveryBytes is what a power cut may take along of a part.
	syncEveryBytes = 8 << 20
)

var errWrong = errors.New("the content is not what its name says")

// A growth is a blob on its way: one fetches, and any number reads along.
type growth struct {
	cache  *Cache
	digest string
	path   string
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

func (g *growth) fetch(ctx context.Context) error {
	select { // parts, too, are written by so many at a time
	case g.cache.slots <- struct{}{}:
		defer func() { <-g.cache.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := os.MkdirAll(filepath.Dir(g.path), 0o700); err != nil {
		return fmt.Errorf("blob %s: %w", g.digest, err)
	}
	part, err := os.OpenFile(g.path+suffixPart, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("blob %s: %w", g.digest, err)
	}
	defer part.Close()
	sum := sha256.New()
	have, err := io.Copy(sum, part)
	if err != nil {
		return fmt.Errorf("blob %s: %w", g.digest, err)
	}
	g.update(func() { g.have = have })
	for unknown := 0; ; {
		err := g.more(ctx, part, sum)
		switch {
		case err == nil:
			return g.settle(part)
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrNoRoom) || full(err):
			return errors.Join(err, os.Remove(part.Name())) // the host needs the room
		case errors.Is(err, ErrUnknown), errors.Is(err, errWrong):
			if unknown++; unknown >= unknownMax {
				return err
			}
		default:
			unknown = 0
		}
		g.cache.log.Info("a blob goes on as soon as it can", "digest", g.digest, "at", g.have, "error", err)
		if !sleep(ctx, retryPause/2+rand.N(retryPause)) {
			return ctx.Err()
		}
	}
}

// more fetches what is missing, over one stream.
func (g *growth) more(ctx context.Context, part *os.File, sum hash.Hash) error {
	s, err := g.cache.open(ctx)
	if err != nil {
		return err
	}
	defer s.Cancel()
	stop := context.AfterFunc(ctx, s.Cancel)
	defer stop()
	_ = s.SetDeadline(time.Now().Add(stallTimeout))
	if err := wire.WriteMessage(s, &wire.BlobRequest{Digest: g.digest, Offset: g.have}); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	size, err := wire.ReadBlobSize(s)
	switch {
	case err != nil:
		return err
	case size == wire.BlobUnknown:
		return ErrUnknown
	case size > math.MaxInt64 || g.size >= 0 && int64(size) != g.size:
		return errWrong
	case uint64(g.have) > size:
		return g.restart(part, sum)
	}
	if err := g.cache.reserve(g, part, int64(size)); err != nil {
		return err
	}
	g.update(func() { g.size = int64(size) })
	if err := g.copy(ctx, s, part, sum); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != g.digest {
		return g.restart(part, sum)
	}
	return nil
}

// restart begins anew: what is here is not what the name says.
func (g *growth) restart(part *os.File, sum hash.Hash) error {
	sum.Reset()
	_, err := part.Seek(0, io.SeekStart)
	g.update(func() {
		g.have = 0
		g.round++
		err = errors.Join(errWrong, err, part.Truncate(0))
	})
	return err
}

// copy takes what comes, no faster than the cache is allowed to.
func (g *growth) copy(ctx context.Context, s Stream, part *os.File, sum hash.Hash) error {
	buf := make([]byte, bufferBytes)
	unsynced := 0
	for g.have < g.size {
		_ = s.SetReadDeadline(time.Now().Add(stallTimeout))
		n, err := s.Read(buf[:min(int64(len(buf)), g.size-g.have)])
		if n > 0 {
			sum.Write(buf[:n])
			if _, err := part.Write(buf[:n]); err != nil {
				return g.shorten(part, sum, err)
			}
			g.update(func() { g.have += int64(n) })
			if unsynced += n; unsynced >= syncEveryBytes {
				unsynced = 0
				if err := part.Sync(); err != nil {
					return err
				}
			}
			if !g.cache.pace.took(ctx, n) {
				return ctx.Err()
			}
		}
		if err != nil && g.have < g.size {
			return fmt.Errorf("after %d of %d bytes: %w", g.have, g.size, err)
		}
	}
	return nil
}

// shorten is for a write that failed: what there is of it is not counted.
func (g *growth) shorten(part *os.File, sum hash.Hash, why error) error {
	if full(why) {
		return why // the part goes
	}
	return errors.Join(why, g.restart(part, sum))
}

// settle makes the part the whole blob, durably.
func (g *growth) settle(part *os.File) error {
	err := part.Sync()
	if err == nil {
		err = os.Rename(part.Name(), g.path)
	}
	if err != nil {
		return fmt.Errorf("blob %s: %w", g.digest, err)
	}
	return nil
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
