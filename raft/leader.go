package raft

import (
	"sync"

	"github.com/lni/dragonboat/v4/raftio"
)

// leadership follows who leads, by the library's events.
type leadership struct {
	replica uint64

	mu      sync.Mutex
	term    uint64
	leader  uint64
	changed chan struct{}
}

func newLeadership(replica uint64) *leadership {
	return &leadership{replica: replica, changed: make(chan struct{})}
}

// LeaderUpdated implements raftio.IRaftEventListener.
func (l *leadership) LeaderUpdated(info raftio.LeaderInfo) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if info.ShardID != controlShard || info.Term == l.term && info.LeaderID == l.leader {
		return
	}
	l.term, l.leader = info.Term, info.LeaderID
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *leadership) leading() (term uint64, leading bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.term, l.leader == l.replica, l.changed
}

// known reports whether somebody leads.
func (l *leadership) known() (bool, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leader != raftio.NoLeader, l.changed
}
