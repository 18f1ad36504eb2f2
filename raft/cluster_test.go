package raft

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/lni/dragonboat/v4/config"
	chantrans "github.com/lni/dragonboat/v4/plugin/chan"
	"github.com/lni/dragonboat/v4/raftio"

	"quorate/eventlog"
	"quorate/eventlog/logtest"
)

// testDeadline bounds what a test waits for.
const testDeadline = 2 * time.Minute

// channels is a transport between replicas of one process: a fast stand-in for
// the port, which the tests with processes use.
type channels struct{}

func (channels) Create(c config.NodeHostConfig, m raftio.MessageHandler, s raftio.ChunkHandler) raftio.ITransport {
	return waiting{chantrans.NewChanTransport(c, m, s)}
}

// waiting waits for who is not there yet: the library would send nothing for more
// than a second after one connection that failed.
type waiting struct{ raftio.ITransport }

// GetConnection implements raftio.ITransport.
func (p waiting) GetConnection(ctx context.Context, target string) (raftio.IConnection, error) {
	for {
		c, err := p.ITransport.GetConnection(ctx, target)
		if err == nil {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (channels) Validate(address string) bool { return address != "" }

// A group is a cluster within the test's process.
type group struct {
	t     *testing.T
	ctx   context.Context
	base  string
	dirs  map[uint64]string
	nodes map[uint64]*Node
}

func newGroup(t *testing.T) *group {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testDeadline)
	g := &group{t: t, ctx: ctx, base: t.TempDir(), dirs: map[uint64]string{}, nodes: map[uint64]*Node{}}
	t.Cleanup(func() {
		var wg sync.WaitGroup
		for id := range g.nodes {
			n := g.nodes[id]
			wg.Go(func() {
				if err := n.Close(); err != nil {
					t.Errorf("close of replica %d: %v", id, err)
				}
			})
		}
		wg.Wait()
		cancel()
	})
	return g
}

func (g *group) dir(id uint64) string {
	if g.dirs[id] == "" {
		g.dirs[id] = filepath.Join(g.base, fmt.Sprint(id))
	}
	return g.dirs[id]
}

func (g *group) start(id uint64, cfg Config) *Node {
	g.t.Helper()
	cfg.DataDir, cfg.Replica, cfg.transport = g.dir(id), id, channels{}
	n, err := Start(g.ctx, cfg)
	if err != nil {
		g.t.Fatalf("start of replica %d: %v", id, err)
	}
	g.nodes[id] = n
	return n
}

func (g *group) stop(id uint64) {
	g.t.Helper()
	if err := g.nodes[id].Close(); err != nil {
		g.t.Fatalf("close of replica %d: %v", id, err)
	}
	delete(g.nodes, id)
}

// join adds a replica through another and starts it, with a vote.
func (g *group) join(through, id uint64) *Node {
	g.t.Helper()
	g.must(g.nodes[through].AddLearner(g.ctx, id))
	n := g.start(id, Config{Join: true})
	g.must(n.Barrier(g.ctx))
	g.must(n.Promote(g.ctx, id))
	return n
}

func (g *group) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *group) append(through uint64, texts ...string) uint64 {
	g.t.Helper()
	var entries []eventlog.Entry
	for _, text := range texts {
		entries = append(entries, logtest.Entry(g.t, 1, text))
	}
	first, err := g.nodes[through].Append(g.ctx, entries)
	if err != nil {
		g.t.Fatalf("append through %d: %v", through, err)
	}
	return first
}

// agree waits until all replicas have all there is, and checks that it is the same.
func (g *group) agree() (uint64, eventlog.Hash) {
	g.t.Helper()
	var index uint64
	var hash eventlog.Hash
	for id, n := range g.nodes {
		g.must(n.Barrier(g.ctx))
		i, h := n.Head()
		if index == 0 {
			index, hash = i, h
		}
		if i != index || h != hash {
			g.t.Fatalf("replica %d ends at %d %s, another at %d %s", id, i, h, index, hash)
		}
		if got := logtest.ReadAll(g.t, g.ctx, n, 1000); uint64(len(got)) != i {
			g.t.Fatalf("replica %d has %d records of %d", id, len(got), i)
		}
	}
	return index, hash
}

func (g *group) leader() uint64 {
	g.t.Helper()
	for {
		for id, n := range g.nodes {
			if _, leading, _ := n.Leading(); leading {
				return id
			}
		}
		g.pause()
	}
}

func (g *group) pause() {
	g.t.Helper()
	select {
	case <-time.After(5 * time.Millisecond):
	case <-g.ctx.Done():
		g.t.Fatal(g.ctx.Err())
	}
}

func three(t *testing.T) *group {
	g := newGroup(t)
	g.start(1, Config{Bootstrap: true})
	for i := range 20 {
		g.append(1, fmt.Sprint("before ", i))
	}
	g.join(1, 2)
	g.join(2, 3)
	return g
}

func logtestEntries(tb testing.TB, texts ...string) []eventlog.Entry {
	tb.Helper()
	var entries []eventlog.Entry
	for _, text := range texts {
		entries = append(entries, logtest.Entry(tb, 1, text))
	}
	return entries
}
