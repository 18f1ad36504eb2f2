package raft

import (
	"sync"
	"time"

	"github.com/lni/dragonboat/v4/raftpb"
)

const (
	// largeSaveBytes is from where on a save may take longer than a follower waits.
	largeSaveBytes = 256 << 10
	// saveTimeMin and saveRateMin, in bytes a second, bound for how long a large
	// save counts as progress. A disk that is slower, or hangs, costs an election.
	saveTimeMin = 100 * time.Millisecond
	saveRateMin = 8 << 20
	signEvery   = heartbeatRTTs * rttMillis * time.Millisecond
	// signAge is how old the sign before a save may be, or else it is of the past.
	signAge = 2 * signEvery
)

// signs tell others that this replica is there while it saves or reads much.
//
// The library sends and answers heartbeats on the goroutine that does so. So 12
// MiB cost the leader its office, as would a follower that takes them; the next
// leader then saved them again. Now the last heartbeat, or the last answer to one,
// is sent again meanwhile. To Raft it is a message that came twice, without the
// part that would confirm a read. A nil one tells nobody anything.
type signs struct {
	mu        sync.Mutex
	transport *transport
}

// of makes the signs those of a transport.
func (s *signs) of(t *transport) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.transport = t
}

// during repeats signs for so long, or until the function is called that it returns.
func (s *signs) during(limit time.Duration) (end func()) {
	if s == nil {
		return func() {}
	}
	s.mu.Lock()
	t := s.transport
	s.mu.Unlock()
	if t == nil {
		return func() {}
	}
	t.mu.Lock()
	var to []*lanes
	for _, l := range t.peers {
		to = append(to, l)
	}
	t.mu.Unlock()
	now, done := time.Now(), make(chan struct{})
	for _, l := range to {
		if batch, fresh := l.sign.at(now); fresh && t.begin() {
			go func() {
				defer t.running.Done()
				l.repeat(batch, now.Add(limit), done)
			}()
		}
	}
	return sync.OnceFunc(func() { close(done) })
}

// repeat sends a sign from time to time until then, or done.
func (l *lanes) repeat(batch raftpb.MessageBatch, until time.Time, done <-chan struct{}) {
	ticker := time.NewTicker(signEvery)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			if now.After(until) || !l.control.up() {
				return
			}
			l.control.send(l.control.t.ctx, batch)
		case <-done:
			return
		case <-l.control.t.ctx.Done():
			return
		}
	}
}

// A sign is the last heartbeat to a replica, or the last answer to one of its.
type sign struct {
	mu    sync.Mutex
	batch raftpb.MessageBatch
	when  time.Time
}

// note looks for a sign in what is sent. Any other message may say that a term
// ended, so that what was the sign is no more.
func (s *sign) note(batch raftpb.MessageBatch) {
	for i := range batch.Requests {
		m := &batch.Requests[i]
		switch m.Type {
		case raftpb.Heartbeat, raftpb.HeartbeatResp:
			last := *m
			last.Hint, last.HintHigh = 0, 0
			one := batch
			one.Requests = []raftpb.Message{last}
			s.mu.Lock()
			s.batch, s.when = one, time.Now()
			s.mu.Unlock()
		case raftpb.RequestVote, raftpb.RequestPreVote, raftpb.RequestVoteResp:
			s.mu.Lock()
			s.when = time.Time{}
			s.mu.Unlock()
		}
	}
}

// at returns the sign where it is of now.
func (s *sign) at(now time.Time) (raftpb.MessageBatch, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.batch, now.Sub(s.when) < signAge
}
