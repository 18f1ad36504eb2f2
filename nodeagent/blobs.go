package nodeagent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"quorate/nodeagent/wire"
)

const (
	// blobCacheBytesMax is what the cache is cut down to when the agent starts.
	blobCacheBytesMax = 1 << 30
	blobStallTimeout  = 60 * time.Second
	blobRetryPause    = 500 * time.Millisecond
	blobAskMax        = 20 // times an orchestrator says that it has no such blob
	suffixPart        = ".part"
)

var errBlobUnknown = errors.New("the orchestrator does not have it")

// A blobCache keeps content by its SHA-256 and fetches what it lacks.
type blobCache struct {
	dir   string
	agent *agent

	mu       sync.Mutex
	fetching map[string]chan struct{}
	// online is closed and replaced when a connection begins.
	online chan struct{}
}

func newBlobCache(dir string, a *agent) (*blobCache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("blob cache: %w", err)
	}
	c := &blobCache{dir: dir, agent: a, fetching: map[string]chan struct{}{}, online: make(chan struct{})}
	if err := c.prune(blobCacheBytesMax); err != nil {
		return nil, fmt.Errorf("blob cache: %w", err)
	}
	return c, nil
}

func (c *blobCache) path(digest string) string { return filepath.Join(c.dir, digest[:2], digest) }

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
	path := c.path(digest)
	for {
		now := time.Now()
		if err := os.Chtimes(path, now, now); err == nil {
			return path, nil
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
		return path, nil
	}
}

// fetch goes on until the content is there, over as many connections as it takes.
func (c *blobCache) fetch(ctx context.Context, digest string) error {
	if err := os.MkdirAll(filepath.Dir(c.path(digest)), 0o700); err != nil {
		return err
	}
	for asked := 0; ; {
		c.mu.Lock()
		online := c.online
		c.mu.Unlock()
		s := c.agent.current()
		if s == nil {
			select {
			case <-online:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		err := c.fetchOver(ctx, s.link, digest)
		var local *localError
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &local):
			return local.err
		}
		if errors.Is(err, errBlobUnknown) {
			if asked++; asked >= blobAskMax {
				return err
			}
		}
		if !sleep(ctx, blobRetryPause) {
			return ctx.Err()
		}
	}
}

// localError is one that another try does not help against.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }

// fetchOver asks for what is missing of the content.
func (c *blobCache) fetchOver(ctx context.Context, l *link, digest string) (err error) {
	part, err := os.OpenFile(c.path(digest)+suffixPart, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return &localError{err}
	}
	defer part.Close()
	hash := sha256.New()
	have, err := io.Copy(hash, part)
	if err != nil {
		return &localError{err}
	}
	s, err := l.open(ctx)
	if err != nil {
		return err
	}
	defer abandon(s)
	stop := context.AfterFunc(ctx, func() { _ = s.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := wire.WriteMessage(s, &wire.BlobRequest{Digest: digest, Offset: have}); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	_ = s.SetReadDeadline(time.Now().Add(blobStallTimeout))
	size, err := wire.ReadBlobSize(s)
	if err != nil {
		return err
	}
	if size == wire.BlobUnknown {
		return errBlobUnknown
	}
	if uint64(have) > size {
		return errors.Join(errors.New("the part that is here is longer"), part.Truncate(0))
	}
	if err := copyBlob(ctx, io.MultiWriter(part, hash), s, int64(size)-have); err != nil {
		return err
	}
	if hex.EncodeToString(hash.Sum(nil)) != digest {
		return errors.Join(errors.New("the content is not what its name says"), part.Truncate(0))
	}
	if err := part.Sync(); err != nil {
		return &localError{err}
	}
	if err := os.Rename(part.Name(), c.path(digest)); err != nil {
		return &localError{err}
	}
	return nil
}

// copyBlob copies n bytes, as long as some arrive once in a while.
func copyBlob(ctx context.Context, to io.Writer, s stream, n int64) error {
	buf := make([]byte, 64<<10)
	for n > 0 {
		_ = s.SetReadDeadline(time.Now().Add(blobStallTimeout))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		got, err := s.Read(buf[:min(n, int64(len(buf)))])
		if _, werr := to.Write(buf[:got]); werr != nil {
			return &localError{werr}
		}
		if n -= int64(got); n > 0 && err != nil {
			return err
		}
	}
	return nil
}

// prune removes the content that was used longest ago until the rest fits.
func (c *blobCache) prune(bytesMax int64) error {
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
		if err != nil {
			return err
		}
		all = append(all, entry{path, info})
		total += info.Size()
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b entry) int { return a.info.ModTime().Compare(b.info.ModTime()) })
	for _, e := range all {
		if total <= bytesMax {
			break
		}
		if err := os.Remove(e.path); err != nil {
			return err
		}
		total -= e.info.Size()
	}
	return nil
}
