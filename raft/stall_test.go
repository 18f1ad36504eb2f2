package raft

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/dragonboat/v4/raftpb"
)

// stalledLog makes every so many-th sync of Raft's log take longer.
type stalledLog struct {
	raftio.ILogDB
	stall time.Duration
	every uint64
	saves *atomic.Uint64
}

func stalled(stall time.Duration, every int) func(raftio.ILogDB) raftio.ILogDB {
	return func(db raftio.ILogDB) raftio.ILogDB {
		return stalledLog{db, stall, uint64(max(every, 1)), &atomic.Uint64{}}
	}
}

// SaveRaftState implements raftio.ILogDB.
func (l stalledLog) SaveRaftState(updates []raftpb.Update, worker uint64) error {
	written := slices.ContainsFunc(updates, func(u raftpb.Update) bool {
		return len(u.EntriesToSave) > 0 || !raftpb.IsEmptyState(u.State) || !raftpb.IsEmptySnapshot(u.Snapshot)
	})
	if written && l.saves.Add(1)%l.every == 0 {
		<-time.After(l.stall)
	}
	return l.ILogDB.SaveRaftState(updates, worker)
}
