package raft

import (
	"slices"
	"sync"
	"time"
)

const (
	// syncTimesKept is how many saves the 99th percentile is of.
	syncTimesKept = 512
	// slowSync is the 99th percentile from which a disk is called slow: Raft's
	// heartbeats wait behind its saves.
	slowSync = 100 * time.Millisecond
	// syncTimeAge is how long a save counts.
	syncTimeAge = 5 * time.Minute
)

// syncTimes are how long the newest saves of Raft's log took. It is safe for
// concurrent use; a nil one notes nothing.
type syncTimes struct {
	mu    sync.Mutex
	took  [syncTimesKept]time.Duration
	at    [syncTimesKept]time.Time
	count int
}

func (s *syncTimes) note(took time.Duration) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.count % syncTimesKept
	s.took[i], s.at[i] = took, time.Now()
	s.count++
}

// p99 is the 99th percentile of the saves that are not too old, and 0 where there
// were fewer than twenty: one slow save is no slow disk.
func (s *syncTimes) p99(now time.Time) time.Duration {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var recent []time.Duration
	for i := range min(s.count, syncTimesKept) {
		if now.Sub(s.at[i]) < syncTimeAge {
			recent = append(recent, s.took[i])
		}
	}
	if len(recent) < 20 {
		return 0
	}
	slices.Sort(recent)
	return recent[len(recent)*99/100]
}
