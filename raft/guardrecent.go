package raft

import (
	"sync"
	"time"

	"github.com/lni/dragonboat/v4/raftpb"
)

const (
	// sendReadBytes is how much of the log is read to be sent at a time, or a single
	// entry. The library would read 64 MiB, and the same again with every heartbeat
	// that a follower answers while it has not stored them.
	sendReadBytes = 4 << 20
	// largeEntryBytes is from where on an entry that was read is kept for
	// largeEntryTime: it will be asked for again.
	largeEntryBytes = 256 << 10
	largeEntryTime  = 2 * time.Second
	// readTime is for how long a read counts as progress.
	readTime = time.Second
)

// recent is what is asked for again and again of the newest part of Raft's log,
// by the goroutine that heartbeats wait for.
type recent struct {
	mu sync.Mutex
	// terms are those of the entries from terms[0].first to last.
	terms []termRun
	last  uint64
	// large is the large entry that was read last; its index is 0 where there is none.
	large  raftpb.Entry
	forget *time.Timer
}

// A termRun is where entries of another term begin.
type termRun struct{ first, term uint64 }

// saved takes note of entries that were written.
func (r *recent) saved(entries []raftpb.Entry) {
	if len(entries) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	first := entries[0].Index
	if r.large.Index >= first {
		r.large = raftpb.Entry{}
	}
	for len(r.terms) > 0 && r.terms[len(r.terms)-1].first >= first {
		r.terms = r.terms[:len(r.terms)-1]
	}
	if first > r.last+1 {
		r.terms = nil
	}
	for i := range entries {
		if n := len(r.terms); n == 0 || r.terms[n-1].term != entries[i].Term {
			r.terms = append(r.terms, termRun{entries[i].Index, entries[i].Term})
		}
	}
	r.last = entries[len(entries)-1].Index
}

// reset forgets everything.
func (r *recent) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.terms, r.last, r.large = nil, 0, raftpb.Entry{}
}

// term returns the term of an entry, where it is known.
func (r *recent) term(index uint64) (uint64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if index > r.last {
		return 0, false
	}
	for i := len(r.terms) - 1; i >= 0; i-- {
		if index >= r.terms[i].first {
			return r.terms[i].term, true
		}
	}
	return 0, false
}

// kept returns the large entry of an index, where it is held.
func (r *recent) kept(index uint64) (raftpb.Entry, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.large, r.large.Index == index
}

// keep holds an entry for a while where it is large.
func (r *recent) keep(e raftpb.Entry) {
	if len(e.Cmd) < largeEntryBytes {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.large = e
	if r.forget == nil {
		r.forget = time.AfterFunc(largeEntryTime, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.large = raftpb.Entry{}
		})
	}
	r.forget.Reset(largeEntryTime)
}

// IterateEntries implements raftio.ILogDB. The library asks for a single entry
// without a limit only to learn its term.
func (l *guardedLog) IterateEntries(entries []raftpb.Entry, size, shard, replica, low, high, limit uint64) ([]raftpb.Entry, uint64, error) {
	if !l.ours(shard, replica) {
		return l.ILogDB.IterateEntries(entries, size, shard, replica, low, high, limit)
	}
	if limit == 0 && high == low+1 {
		if term, known := l.recent.term(low); known {
			return append(entries, raftpb.Entry{Index: low, Term: term}), size, nil
		}
		return l.ILogDB.IterateEntries(entries, size, shard, replica, low, high, limit)
	}
	asked := limit
	limit = min(limit, sendReadBytes)
	e, held := l.recent.kept(low)
	if held && low < high {
		entries, size = append(entries, e), size+uint64(e.SizeUpperLimit())
	} else {
		defer l.guard.signs.during(readTime)()
		var err error
		if entries, size, err = l.ILogDB.IterateEntries(entries, size, shard, replica, low, high, limit); err != nil {
			return nil, 0, err
		}
		if len(entries) == 1 {
			l.recent.keep(entries[0])
		}
	}
	if n := len(entries); n > 0 && entries[n-1].Index+1 < high && size <= asked && (held || size > limit) {
		size = asked + 1 // more would have been a gap to the library
	}
	return entries, size, nil
}
