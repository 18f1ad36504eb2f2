package raft

import (
	"sync"
	"sync/atomic"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/dragonboat/v4/raftpb"
)

// leadership follows who leads, by the library's events.
type leadership struct {
	replica uint64
	// handed is the newest term that this replica was asked to begin by who led before.
	handed atomic.Uint64

	mu      sync.Mutex
	term    uint64
	leader  uint64
	ended   bool
	changed chan struct{}
}

func newLeadership(replica uint64) *leadership {
	return &leadership{replica: replica, changed: make(chan struct{})}
}

// LeaderUpdated implements raftio.IRaftEventListener.
func (l *leadership) LeaderUpdated(info raftio.LeaderInfo) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if info.ShardID != controlShard || l.ended || info.Term == l.term && info.LeaderID == l.leader {
		return
	}
	l.set(info.Term, info.LeaderID)
}

// lost says that this replica takes no part any more: nobody leads it.
func (l *leadership) lost() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.ended = true
		l.set(l.term, raftio.NoLeader)
	}
}

func (l *leadership) set(term, leader uint64) {
	l.term, l.leader = term, leader
	close(l.changed)
	l.changed = make(chan struct{})
}

// get returns who leads in which term; leader is 0 where that is not known.
func (l *leadership) get() (leader, term uint64, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leader, l.term, l.changed
}

// current returns who leads, or [raftio.NoLeader].
func (l *leadership) current() uint64 {
	leader, _, _ := l.get()
	return leader
}

func (l *leadership) leading() (term uint64, leading bool, changed <-chan struct{}) {
	leader, term, changed := l.get()
	return term, leader == l.replica, changed
}

// known reports whether somebody leads.
func (l *leadership) known() (bool, <-chan struct{}) {
	leader, _, changed := l.get()
	return leader != raftio.NoLeader, changed
}

// Leader returns which replica leads in which term, as far as this one knows; it
// may be behind the truth.
func (n *Node) Leader() (replica, term uint64, known bool) {
	leader, term, _ := n.leader.get()
	return leader, term, leader != raftio.NoLeader
}

// Handed reports whether this replica leads in the term, or did, since the leader before
// has handed over: that one was not lost.
func (n *Node) Handed(term uint64) bool { return n.leader.handed.Load() == term }

// handedOver are transports of which a leadership hears that it is to begin.
type handedOver struct {
	config.TransportFactory
	leader *leadership
}

// Create implements config.TransportFactory.
func (f handedOver) Create(host config.NodeHostConfig, messages raftio.MessageHandler, chunks raftio.ChunkHandler) raftio.ITransport {
	return f.TransportFactory.Create(host, func(batch raftpb.MessageBatch) {
		for i := range batch.Requests {
			if m := &batch.Requests[i]; m.Type == raftpb.TimeoutNow && m.ShardID == controlShard {
				f.leader.handed.Store(m.Term + 1)
			}
		}
		messages(batch)
	}, chunks)
}
