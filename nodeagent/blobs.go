package nodeagent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

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
	blobBufferBytes  = 64 << 10
	suffixPart       = ".part"
)

var (
	errBlobUnknown = errors.New("the orchestrator does not have it")
	errBlobWrong   = errors.New("the content is not what its name says")
)

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
	if err := c.prune(blobCacheBytesMax, time.Now()); err != nil {
		return nil, fmt.Errorf("blob cache: %w", err)
	}
	return c, nil
}

func (c *blobCache) path(digest string) string { return filepath.Join(c.dir, digest[:2], digest) }

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
		if err := c.prune(blobCacheBytesMax, time.Now().Add(-blobKeptAtLeast)); err != nil {
			c.agent.log.Warn("content that nobody needs stays", "error", err)
		}
		return path, nil
	}
}

// fetch goes on until the content is there, over as many connections as it takes.
func (c *blobCache) fetch(ctx context.Context, digest string) error {
	if err := os.MkdirAll(filepath.Dir(c.path(digest)), 0o700); err != nil {
		return err
	}
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
		var local *localError
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &local):
			return local.err
		}
		if errors.Is(err, errBlobUnknown) || errors.Is(err, errBlobWrong) {
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
func (e *localError) Unwrap() error { return e.err }

// fetchOver asks for what is missing of the content, and returns how much came.
func (c *blobCache) fetchOver(ctx context.Context, l *link, digest string) (int64, error) {
	part, err := os.OpenFile(c.path(digest)+suffixPart, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return 0, &localError{err}
	}
	defer part.Close()
	began := time.Now()
	hash := sha256.New()
	have, err := io.Copy(hash, part)
	if err != nil {
		return 0, &localError{err}
	}
	got, err := c.append(ctx, l, part, hash, wire.BlobRequest{Digest: digest, Offset: have})
	if err == nil && hex.EncodeToString(hash.Sum(nil)) != digest {
		err = errors.Join(errBlobWrong, part.Truncate(0))
	}
	if err == nil {
		if err = errors.Join(part.Sync(), os.Rename(part.Name(), c.path(digest))); err != nil {
			err = &localError{err}
		}
	}
	log := c.agent.log.With("digest", digest, "from", have, "bytes", got, "took", time.Since(began))
	switch {
	case err != nil:
		log.Info("content not received", "error", err)
	case have > 0:
		log.Info("content received behind what was here")
	default:
		log.Debug("content received")
	}
	return got, withoutRoom(err, part)
}

// append fetches the content behind what the part holds, and returns how much came.
func (c *blobCache) append(ctx context.Context, l *link, part *os.File, hash io.Writer, request wire.BlobRequest) (got int64, err error) {
	s, err := l.open(ctx)
	if err != nil {
		return 0, err
	}
	defer abandon(s)
	stop := context.AfterFunc(ctx, func() { _ = s.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := wire.WriteMessage(s, &request); err != nil {
		return 0, err
	}
	if err := s.Close(); err != nil {
		return 0, err
	}
	_ = s.SetReadDeadline(time.Now().Add(blobStallTimeout))
	size, err := wire.ReadBlobSize(s)
	switch {
	case err != nil:
		return 0, err
	case size == wire.BlobUnknown:
		return 0, errBlobUnknown
	case uint64(request.Offset) > size:
		return 0, errors.Join(errors.New("the part that is here is longer"), part.Truncate(0))
	case size > math.MaxInt64:
		return 0, errBlobWrong
	}
	if err := c.reserve(part, int64(size)); err != nil {
		return 0, &localError{err}
	}
	return copyBlob(ctx, io.MultiWriter(part, hash), s, int64(size)-request.Offset)
}

// reserve makes sure of room for a content, for which others have to go where there
// is none.
func (c *blobCache) reserve(part *os.File, bytes int64) error {
	ask := func() error { return unix.Fallocate(int(part.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, max(bytes, 1)) }
	err := ask()
	if isFull(err) {
		if pruned := c.prune(0, time.Now().Add(-blobKeptAtLeast)); pruned != nil {
			return pruned
		}
		err = ask()
	}
	if isFull(err) || errors.Is(err, unix.EFBIG) {
		return fmt.Errorf("there is no room for its %d bytes in %s: %w", bytes, c.dir, err)
	}
	return nil // other errors are of file systems that cannot tell
}

func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// withoutRoom drops a part that cannot become whole: the host needs the room.
func withoutRoom(err error, part *os.File) error {
	if !isFull(err) {
		return err
	}
	if removed := os.Remove(part.Name()); removed != nil {
		return &localError{errors.Join(err, removed)}
	}
	return err
}

// copyBlob copies n bytes, as long as some arrive once in a while, and returns how
// many it has copied.
func copyBlob(ctx context.Context, to io.Writer, s stream, n int64) (copied int64, err error) {
	buf := make([]byte, blobBufferBytes)
	for copied < n {
		_ = s.SetReadDeadline(time.Now().Add(blobStallTimeout))
		if ctx.Err() != nil {
			return copied, ctx.Err()
		}
		got, err := s.Read(buf[:min(n-copied, int64(len(buf)))])
		if _, werr := to.Write(buf[:got]); werr != nil {
			return copied, &localError{werr}
		}
		if copied += int64(got); copied < n && err != nil {
			return copied, err
		}
	}
	return copied, nil
}

// prune removes the content that was used longest ago until the rest fits, or was used
// since.
func (c *blobCache) prune(bytesMax int64, since time.Time) error {
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
			return nil // it has become whole, or was removed by another
		}
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
		if total <= bytesMax || e.info.ModTime().After(since) {
			break
		}
		if err := os.Remove(e.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		total -= e.info.Size()
	}
	return nil
}
