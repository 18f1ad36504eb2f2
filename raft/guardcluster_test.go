package raft

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	chantrans "github.com/lni/dragonboat/v4/plugin/chan"

	"quorate/eventlog"
	"quorate/eventlog/logtest"
)

// inProcess joins the nodes of this process.
type inProcess struct{ chantrans.ChanTransportFactory }

// Validate implements config.TransportFactory; addresses are symbols.
func (*inProcess) Validate(address string) bool { return address != "" }

// trio is a cluster of three replicas in this process, by number, from 1. A
// replica that is not running is nil.
type trio struct {
	dir   string
	dirs  map[uint64]string // of replicas that have theirs elsewhere
	nodes map[uint64]*Node
	// change is asked how each replica is started; nil is as in production.
	change func(*Config)
}

func (c *trio) config(replica uint64) Config {
	cfg := Config{
		DataDir: c.data(replica), Replica: replica,
		Bootstrap: replica == 1, Join: replica != 1, transport: &inProcess{},
	}
	if c.change != nil {
		c.change(&cfg)
	}
	return cfg
}

func (c *trio) data(replica uint64) string {
	if dir := c.dirs[replica]; dir != "" {
		return dir
	}
	return filepath.Join(c.dir, fmt.Sprint(replica))
}

// start starts a replica that stopped before.
func (c *trio) start(tb testing.TB, replica uint64) {
	tb.Helper()
	if err := c.tryStart(replica); err != nil {
		tb.Fatalf("replica %d: %v", replica, err)
	}
}

func (c *trio) tryStart(replica uint64) error {
	ctx, cancel := context.WithTimeout(context.Background(), testDeadline)
	defer cancel()
	n, err := Start(ctx, c.config(replica))
	if err == nil {
		c.nodes[replica] = n
	}
	return err
}

func (c *trio) stop(tb testing.TB, replica uint64) {
	tb.Helper()
	if n := c.nodes[replica]; n != nil {
		c.nodes[replica] = nil
		if err := n.Close(); err != nil {
			tb.Errorf("close of replica %d: %v", replica, err)
		}
	}
}

// formTrio makes a cluster of three voters.
func formTrio(tb testing.TB, change func(*Config)) *trio {
	tb.Helper()
	return formTrioIn(tb, nil, change)
}

func formTrioIn(tb testing.TB, dirs map[uint64]string, change func(*Config)) *trio {
	tb.Helper()
	c := &trio{dir: tb.TempDir(), dirs: dirs, nodes: map[uint64]*Node{}, change: change}
	tb.Cleanup(func() {
		for replica := range c.nodes {
			c.stop(tb, replica)
		}
	})
	c.start(tb, 1)
	for replica := uint64(2); replica <= 3; replica++ {
		c.add(tb, replica)
	}
	return c
}

// add makes a replica a voter by way of replica 1.
func (c *trio) add(tb testing.TB, replica uint64) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testDeadline)
	defer cancel()
	if err := c.nodes[1].AddLearner(ctx, replica); err != nil {
		tb.Fatal(err)
	}
	c.start(tb, replica)
	if err := c.nodes[replica].Barrier(ctx); err != nil {
		tb.Fatal(err)
	}
	if err := c.nodes[1].Promote(ctx, replica); err != nil {
		tb.Fatal(err)
	}
}

// append appends records by way of a replica and returns the index of the last.
func (c *trio) append(tb testing.TB, replica uint64, count int, text string) uint64 {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testDeadline)
	defer cancel()
	var last uint64
	for i := range count {
		index, err := c.nodes[replica].Append(ctx, []eventlog.Entry{logtest.Entry(tb, int64(i), fmt.Sprint(text, i))})
		if err != nil {
			tb.Fatalf("append %d of %q: %v", i, text, err)
		}
		last = index
	}
	return last
}

// settle waits until a replica has a record.
func (c *trio) settle(tb testing.TB, replica, index uint64) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testDeadline)
	defer cancel()
	if err := c.nodes[replica].Wait(ctx, index); err != nil {
		tb.Fatalf("replica %d: %v", replica, err)
	}
}

func BenchmarkTrioAppend(b *testing.B) {
	for _, guarded := range []bool{false, true} {
		for _, writers := range []int{1, 16, 128} {
			b.Run(fmt.Sprintf("guarded=%v/writers=%d", guarded, writers), func(b *testing.B) {
				c := formTrio(b, func(cfg *Config) {
					if !guarded {
						cfg.wrapLog = unguarded
					}
				})
				entries := []eventlog.Entry{logtest.Entry(b, 1, string(make([]byte, 280)))}
				logtest.AppendFrom(b, c.nodes[1], writers, entries)
			})
		}
	}
}
