package raft

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lni/dragonboat/v4"
)

// startAt starts a replica that speaks through its port.
func (g *group) startAt(p *ports, id uint64, cfg Config) *Node {
	g.t.Helper()
	cfg.DataDir, cfg.Replica, cfg.Port = g.dir(id), id, p.open(id)
	n, err := Start(g.ctx, cfg)
	if err != nil {
		g.t.Fatalf("start of replica %d: %v", id, err)
	}
	g.nodes[id] = n
	return n
}

func (g *group) joinAt(p *ports, through, id uint64) {
	g.t.Helper()
	g.must(g.nodes[through].AddLearner(g.ctx, id))
	n := g.startAt(p, id, Config{Join: true})
	g.must(n.Barrier(g.ctx))
	g.must(n.Promote(g.ctx, id))
}

// TestReplicasOverPorts: three replicas over TLS, of which one joins by a stream
// of a snapshot, catches up on more than a frame holds after it was away, and
// finds the others again at their new addresses.
func TestReplicasOverPorts(t *testing.T) {
	t.Parallel()
	g := newGroup(t)
	p := newPorts(t)
	g.startAt(p, 1, Config{Bootstrap: true})
	for i := range 20 {
		g.append(1, fmt.Sprint(i, strings.Repeat(" early", 20000)))
	}
	// What a joiner needs is not in Raft's log any more.
	if _, err := g.nodes[1].host.SyncRequestSnapshot(g.ctx, controlShard, dragonboat.SnapshotOption{OverrideCompactionOverhead: true, CompactionOverhead: 1}); err != nil {
		t.Fatal(err)
	}
	g.joinAt(p, 1, 2)
	g.joinAt(p, 2, 3)
	g.agree()

	g.stop(3)
	g.must(p.ports[3].Close())
	large := logtestEntries(t, strings.Repeat("x", 6<<20), strings.Repeat("y", 5<<20))
	for range 3 {
		if _, err := g.nodes[2].Append(g.ctx, large); err != nil {
			t.Fatal(err)
		}
	}
	g.startAt(p, 3, Config{})
	g.agree()
	for i := range 30 {
		g.append(uint64(1+i%3), fmt.Sprint("late ", i))
	}

	// All at once, each at another address.
	for id := range uint64(3) {
		g.stop(id + 1)
		g.must(p.ports[id+1].Close())
	}
	type started struct {
		id  uint64
		n   *Node
		err error
	}
	again := make(chan started, 3)
	for id := range uint64(3) {
		cfg := Config{DataDir: g.dir(id + 1), Replica: id + 1, Port: p.open(id + 1)}
		go func() {
			n, err := Start(g.ctx, cfg)
			again <- started{id + 1, n, err}
		}()
	}
	for range 3 {
		s := <-again
		if s.err != nil {
			t.Errorf("replica %d: %v", s.id, s.err)
			continue
		}
		g.nodes[s.id] = s.n
	}
	if t.Failed() {
		return
	}
	if index, _ := g.agree(); index != 20+6+30 {
		t.Errorf("the log ends at %d", index)
	}
	for id := range uint64(3) {
		g.stop(id + 1)
	}
}
