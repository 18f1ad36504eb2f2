package relay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"quorate/internal/blobcache"
	"quorate/nodeagent/wire"
)

// patience is what a test waits for what has to come.
const patience = 60 * time.Second

// An origin is the cluster as a cache sees it: it answers requests over pipes.
type origin struct {
	t *testing.T

	mu      sync.Mutex
	blobs   map[string][]byte
	asked   []wire.BlobRequest
	sent    int64
	wrong   int           // answers that are to be of other bytes
	cutAt   int64         // bytes after which a stream is dropped, or 0
	cuts    int           // streams that are to be dropped
	gate    chan struct{} // holds answers back behind their size, where it is not nil
	offline bool
}

// pipeStream is a Stream within the process.
type pipeStream struct{ net.Conn }

func (s pipeStream) Close() error { return nil } // the request is all that a cache writes
func (s pipeStream) Cancel()      { _ = s.Conn.Close() }

func (o *origin) open(ctx context.Context) (Stream, error) {
	o.mu.Lock()
	offline := o.offline
	o.mu.Unlock()
	if offline {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	near, far := net.Pipe()
	go o.answer(far)
	return pipeStream{near}, nil
}

func (o *origin) answer(far net.Conn) {
	defer far.Close()
	m, err := wire.ReadFrom(far, wire.Agent)
	request, ok := m.(*wire.BlobRequest)
	if err != nil || !ok {
		return
	}
	o.mu.Lock()
	o.asked = append(o.asked, *request)
	blob, known := o.blobs[request.Digest]
	gate := o.gate
	blob = bytes.Clone(blob)
	if o.wrong > 0 && known {
		o.wrong--
		blob[len(blob)-1] ^= 1
	}
	cut := int64(-1)
	if o.cuts > 0 {
		o.cuts--
		cut = o.cutAt
	}
	o.mu.Unlock()
	if !known {
		_ = wire.WriteBlobSize(far, wire.BlobUnknown)
		return
	}
	if wire.WriteBlobSize(far, uint64(len(blob))) != nil {
		return
	}
	if gate != nil {
		<-gate
	}
	rest := blob[min(request.Offset, int64(len(blob))):]
	if cut >= 0 {
		rest = rest[:min(cut, int64(len(rest)))]
	}
	o.mu.Lock()
	o.sent += int64(len(rest)) // before anybody has it, and can ask how much was sent
	o.mu.Unlock()
	_, _ = far.Write(rest) // who asked may have left
}

func (o *origin) add(size int) (digest string, content []byte) {
	content = make([]byte, size)
	random := rand.NewChaCha8([32]byte{byte(size), byte(size >> 8), byte(size >> 16)})
	_, _ = random.Read(content)
	sum := sha256.Sum256(content)
	digest = hex.EncodeToString(sum[:])
	o.mu.Lock()
	o.blobs[digest] = content
	o.mu.Unlock()
	return digest, content
}

func newOrigin(t *testing.T) *origin { return &origin{t: t, blobs: map[string][]byte{}} }

func newTestCache(t *testing.T, dir string, o *origin, bytesMax int64) *Cache {
	t.Helper()
	c, err := NewCache(dir, bytesMax, 0, o.open, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Wait)
	return c
}

func readAll(ctx context.Context, c *Cache, digest string, offset int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, _, err := c.Open(ctx, digest, offset)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// TestOnce: however many ask for a blob, it is fetched once, and all of them get it.
func TestOnce(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.gate = make(chan struct{})
	digest, content := o.add(3 << 20)
	c := newTestCache(t, t.TempDir(), o, 0)
	var readers, opened sync.WaitGroup
	for i := range 20 {
		opened.Add(1)
		readers.Go(func() {
			r, size, err := c.Open(t.Context(), digest, int64(i))
			opened.Done()
			if err != nil || size != int64(len(content)) {
				t.Errorf("%d bytes, %v", size, err)
				return
			}
			defer r.Close()
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content[i:]) {
				t.Errorf("reader %d: %d bytes, %v", i, len(got), err)
			}
		})
	}
	opened.Wait() // all of them wait for the same
	close(o.gate)
	readers.Wait()
	if got, err := readAll(t.Context(), c, digest, 0); err != nil || !bytes.Equal(got, content) {
		t.Errorf("afterwards: %d bytes, %v", len(got), err)
	}
	if o.sent != int64(len(content)) || len(o.asked) != 1 {
		t.Errorf("%d bytes were fetched by %d requests, want %d by one", o.sent, len(o.asked), len(content))
	}
}

// TestResume: what is dropped on the way is gone on with where it was, also by a cache
// that begins anew.
func TestResume(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	digest, content := o.add(1 << 20)
	o.cuts, o.cutAt = 3, 100_000
	dir := t.TempDir()
	if got, err := readAll(t.Context(), newTestCache(t, dir, o, 0), digest, 0); err != nil || !bytes.Equal(got, content) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if o.sent != int64(len(content)) {
		t.Errorf("%d bytes were fetched, want %d", o.sent, len(content))
	}
	second, content := o.add(2 << 20)
	o.mu.Lock()
	o.gate, o.sent = make(chan struct{}), 0
	o.mu.Unlock()
	c := newTestCache(t, dir, o, 0)
	part, err := c.dir.Part(second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write(content[:1<<20]); err != nil {
		t.Fatal(err)
	}
	if err := part.Close(); err != nil {
		t.Fatal(err)
	}
	close(o.gate)
	if got, err := readAll(t.Context(), c, second, 0); err != nil || !bytes.Equal(got, content) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if o.sent != 1<<20 {
		t.Errorf("%d bytes were fetched behind the part, want %d", o.sent, 1<<20)
	}
}

// TestWrong: what is not what its name says is never given out whole, and fetched anew.
func TestWrong(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	digest, content := o.add(300_000)
	o.wrong = 1
	o.gate = make(chan struct{})
	c := newTestCache(t, t.TempDir(), o, 0)
	r, _, err := c.Open(t.Context(), digest, 0)
	if err != nil {
		t.Fatal(err)
	}
	kept, _, err := c.Open(t.Context(), digest, 0) // keeps the cache fetching
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	close(o.gate)
	got, err := io.ReadAll(r)
	_ = r.Close()
	if !errors.Is(err, errAnew) || len(got) >= len(content) {
		t.Errorf("a reader got %d of %d bytes of what was wrong: %v", len(got), len(content), err)
	}
	if got, err := readAll(t.Context(), c, digest, 0); err != nil || !bytes.Equal(got, content) {
		t.Errorf("fetched anew: %d bytes, %v", len(got), err)
	}
}

// TestUnknown: what no orchestrator gives is said to be unknown, after a while in which
// the agents that have to do with it may come.
func TestUnknown(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	c := newTestCache(t, t.TempDir(), o, 0)
	sum := sha256.Sum256([]byte("nobody's"))
	if _, err := readAll(t.Context(), c, hex.EncodeToString(sum[:]), 0); !errors.Is(err, blobcache.ErrUnknown) {
		t.Errorf("error %v", err)
	}
	for _, name := range []string{"", "../../etc/passwd", "ABC"} {
		if _, err := readAll(t.Context(), c, name, 0); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("digest %q: %v", name, err)
		}
	}
}

// TestRoom: the cache stays within its bytes, gives up what was used longest ago, and
// refuses what is larger than all of it.
func TestRoom(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	dir := t.TempDir()
	c := newTestCache(t, dir, o, 250_000)
	var digests []string
	for i := range 4 {
		digest, content := o.add(100_000 + i)
		digests = append(digests, digest)
		if got, err := readAll(t.Context(), c, digest, 0); err != nil || !bytes.Equal(got, content) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		old := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(c.dir.Path(digest), old, old); err != nil {
			t.Fatal(err)
		}
	}
	for i, digest := range digests {
		if _, err := os.Stat(c.dir.Path(digest)); (err == nil) != (i >= 2) {
			t.Errorf("blob %d: %v", i, err)
		}
	}
	large, _ := o.add(300_000)
	if _, err := readAll(t.Context(), c, large, 0); !errors.Is(err, blobcache.ErrNoRoom) {
		t.Errorf("a blob larger than the cache: %v", err)
	}
	if file, err := c.dir.Read(large); err == nil {
		_ = file.Close()
		t.Error("a part of what has no room is kept")
	}
}

// TestNobodyWaits: without readers nothing is fetched, and what is there is kept.
func TestNobodyWaits(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.offline = true
	digest, content := o.add(50_000)
	c := newTestCache(t, t.TempDir(), o, 0)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, _, err := c.Open(ctx, digest, 0)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	c.Wait() // the fetch ends by itself
	o.mu.Lock()
	o.offline = false
	o.mu.Unlock()
	if got, err := readAll(t.Context(), c, digest, 0); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestPace: what may come in a second is bounded by what is taken.
func TestPace(t *testing.T) {
	t.Parallel()
	p := newPace(1 << 20)
	began := time.Now()
	for range 40 {
		if !p.took(t.Context(), 16<<10) {
			t.Fatal("the test is over")
		}
	}
	// Never faster than it may be: a slow machine only makes it later.
	if least := 40*time.Second/64 - 2*burst; time.Since(began) < least {
		t.Errorf("40 times 16 KiB took %v, want at least %v", time.Since(began), least)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if p.took(ctx, 1<<30) {
		t.Error("goes on without anybody who wants it")
	}
}

// TestLastByte: all but the last byte is given out before the whole is known to be right.
func TestLastByte(t *testing.T) {
	t.Parallel()
	g := &growth{size: 100, have: 100, changed: make(chan struct{})}
	if limit, err := g.beyond(t.Context(), 0, 0); err != nil || limit != 99 {
		t.Errorf("a reader may go to %d, %v, want 99", limit, err)
	}
	g.whole = true
	if limit, err := g.beyond(t.Context(), 99, 0); err != nil || limit != 100 {
		t.Errorf("a reader may go to %d, %v, want 100", limit, err)
	}
	g.round = 1
	if _, err := g.beyond(t.Context(), 50, 0); !errors.Is(err, errAnew) {
		t.Errorf("a reader of what was wrong goes on: %v", err)
	}
}
