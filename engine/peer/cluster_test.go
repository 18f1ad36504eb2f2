package peer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"quorate/eventlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errDown = errors.New("connection refused")

// A net of orchestrators that reach each other over TCP on loopback.
type network struct {
	t       *testing.T
	ctx     context.Context
	mu      sync.Mutex
	members []uint64
	nodes   map[uint64]*node
	down    map[uint64]bool
	hangs   map[uint64]bool // takes connections and says nothing
	serving sync.WaitGroup
}

type node struct {
	*Blobs
	dir    string
	store  *eventlog.Blobs
	dialed int
}

func newNetwork(t *testing.T, members ...uint64) *network {
	ctx, cancel := context.WithCancel(context.Background())
	n := &network{t: t, ctx: ctx, members: members, nodes: map[uint64]*node{}, down: map[uint64]bool{}, hangs: map[uint64]bool{}}
	t.TempDir() // directories asked for from now on outlive the cleanup below, which ends their writers
	t.Cleanup(func() {
		cancel()
		n.serving.Wait()
	})
	for _, id := range members {
		n.add(id)
	}
	return n
}

func (n *network) add(id uint64) *node {
	dir := filepath.Join(n.t.TempDir(), "blobs")
	store, err := eventlog.OpenBlobs(dir)
	if err != nil {
		n.t.Fatal(err)
	}
	node := &node{dir: dir, store: store}
	node.Blobs = NewBlobs(BlobsConfig{
		Blobs: store, Self: id, Head: func() uint64 { return 40 + id },
		Members: func() []uint64 { return n.members },
		Dial:    func(ctx context.Context, to uint64) (net.Conn, error) { return n.dial(ctx, id, to) },
	})
	n.nodes[id] = node
	return node
}

// pair returns both ends of a TCP connection.
func pair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if a, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func (n *network) dial(ctx context.Context, from, to uint64) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes[from].dialed++
	if n.down[to] {
		return nil, errDown
	}
	ours, theirs := pair(n.t)
	if !n.hangs[to] {
		n.serving.Go(func() { n.nodes[to].Serve(n.ctx, theirs, from) })
	}
	return ours, ctx.Err()
}

// content returns so many bytes that depend on the seed, and their digest.
func content(seed string, size int) ([]byte, string) {
	b := make([]byte, 0, size+sha256.Size)
	for sum := sha256.Sum256([]byte(seed)); len(b) < size; sum = sha256.Sum256(sum[:]) {
		b = append(b, sum[:]...)
	}
	b = b[:size]
	sum := sha256.Sum256(b)
	return b, hex.EncodeToString(sum[:])
}

func (n *node) put(t *testing.T, seed string, size int) string {
	t.Helper()
	b, digest := content(seed, size)
	if got, err := n.store.PutBytes(b); err != nil || got != digest {
		t.Fatal(got, err)
	}
	return digest
}

// damage flips a byte of a blob, as a disk would.
func (n *node) damage(t *testing.T, digest string) {
	t.Helper()
	path := filepath.Join(n.dir, digest[:2], digest)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
}

func (n *node) sound(digest string) bool {
	_, err := n.store.Get(digest)
	return err == nil
}
