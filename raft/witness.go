package raft

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/dragonboat/v4/raftpb"
)

// A witness compares what a leader says that this replica acknowledged with what its
// log holds. A heartbeat tells a follower how much of what it acknowledged is
// committed: where the log ends before that, the directory is an older copy. The
// library answers that with a panic (D4), so it is not shown such a heartbeat.
type witness struct {
	// last is where Raft's log ends here.
	last atomic.Uint64
	// armed is set when the replica runs: before, nobody could be told.
	armed atomic.Bool
	lost  func(acknowledged, last uint64) // called once, and need not wait
	once  sync.Once
}

// holds is told where the log ends. What is saved is told before it is acknowledged.
func (w *witness) holds(last uint64) {
	if w != nil {
		w.last.Store(last)
	}
}

// sound reports whether a message fits what is held, or else tells of it.
func (w *witness) sound(m *raftpb.Message) bool {
	if m.Type != raftpb.Heartbeat || m.ShardID != controlShard {
		return true
	}
	last := w.last.Load()
	if m.Commit <= last {
		return true
	}
	if w.armed.Load() {
		w.once.Do(func() { w.lost(m.Commit, last) })
	}
	return false
}

// witnessed are transports of which a witness sees what comes in.
type witnessed struct {
	config.TransportFactory
	witness *witness
}

// Create implements config.TransportFactory.
func (f witnessed) Create(host config.NodeHostConfig, messages raftio.MessageHandler, chunks raftio.ChunkHandler) raftio.ITransport {
	return f.TransportFactory.Create(host, func(batch raftpb.MessageBatch) {
		for i := range batch.Requests {
			if !f.witness.sound(&batch.Requests[i]) {
				return // the others are as little use to a replica that ends
			}
		}
		messages(batch)
	}, chunks)
}

// rolledBack halts a replica whose files are older than what it acknowledged. It may
// have voted since, too: it must not go on even where others have all that it lacks.
func (n *Node) rolledBack(acknowledged, last uint64) {
	_ = n.Halt(fmt.Sprintf("this replica acknowledged the entries of Raft's log up to %d, and its files end at %d: an older copy of the data directory was put in its place",
		acknowledged, last)) // it is stopped in any case, and says so
}
