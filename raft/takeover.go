package raft

import (
	"errors"
	"fmt"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/plugin/tan"
	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/dragonboat/v4/raftpb"
	"github.com/lni/dragonboat/v4/statemachine"

	"quorate/eventlog"
)

// takeOver applies to the store what the old Raft log holds behind it. An entry
// at its end may be without a majority: who proposed it was told nothing, or its
// success by a leader that is gone, so that it is kept.
func takeOver(cfg *Config, store *eventlog.Store, got *Recovered) (err error) {
	old := *cfg
	old.Replica, old.Port, old.transport = got.Replaced, nil, nil
	got.Applied = store.Applied()
	if err := old.adopt(); err != nil {
		return err
	}
	m, err := newMachine(store, cfg.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	logs := &openLogs{guard: &guard{
		replica: old.Replica, applied: store.Applied(), head: store.Head().Index, marks: store, logger: cfg.Logger,
	}}
	defer func() {
		// Damage is found by panics too (D3); what was read before it stays.
		if p := recover(); p != nil {
			got.Unread = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
		if errors.Is(got.Unread, ErrStoreBehind) {
			err = got.Unread
		}
	}()
	host, err := dragonboat.NewNodeHost(old.nodeHost(logs, nil, nil))
	if err != nil {
		got.Unread = damaged(err)
		return nil
	}
	defer host.Close()
	if logs.refused == nil {
		if err := finishImport(host, &old, m, logs); err != nil {
			got.Unread = fmt.Errorf("the snapshot that it was taking over: %w", err)
			return nil
		}
		got.Applied = m.appliedIndex()
	}
	if got.Unread = replay(logs.db, got, m); got.Unread == nil {
		got.Unread = logs.refused
	}
	return nil
}

// finishImport takes over the snapshot during whose import the replica died: it lies
// there whole, and in the store is what was before. The library does so when it
// starts a replica, for which it needs nobody else.
func finishImport(host *dragonboat.NodeHost, old *Config, m *machine, logs *openLogs) error {
	snapshot, err := logs.db.GetSnapshot(controlShard, old.Replica)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if m.appliedIndex() >= snapshot.OnDiskIndex {
		return nil
	}
	create := func(uint64, uint64) statemachine.IOnDiskStateMachine { return stayingMachine{m} }
	if err := host.StartOnDiskReplica(nil, logs.guard.joined, create, old.replica(logs.guard.joined)); err != nil {
		return err
	}
	return host.StopShard(controlShard)
}

// replay applies entries to the machine until the log's end.
func replay(db raftio.ILogDB, got *Recovered, m *machine) error {
	snapshot, err := db.GetSnapshot(controlShard, got.Replaced)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	last := snapshot.Index
	state, err := db.ReadRaftState(controlShard, got.Replaced, snapshot.Index)
	switch {
	case err == nil:
		last += state.EntryCount
	case !errors.Is(err, raftio.ErrNoSavedLog):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	got.Last = last
	if got.Applied < snapshot.OnDiskIndex {
		return fmt.Errorf("%w: it applied %d, and the log begins behind %d", ErrStoreBehind, got.Applied, snapshot.OnDiskIndex)
	}
	for next := max(got.Applied, snapshot.Index) + 1; next <= last; {
		entries, _, err := db.IterateEntries(nil, 0, controlShard, got.Replaced, next, last+1, readThroughBytes)
		if err == nil && (len(entries) == 0 || entries[0].Index != next) {
			err = fmt.Errorf("entry %d is missing, the log ends at %d", next, last)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if err := replayEntries(entries, m); err != nil {
			return err
		}
		next = entries[len(entries)-1].Index + 1
	}
	return nil
}

func replayEntries(entries []raftpb.Entry, m *machine) error {
	var updates []statemachine.Entry
	for i := range entries {
		cmd, err := payload(&entries[i])
		if err != nil {
			return err
		}
		if cmd != nil {
			updates = append(updates, statemachine.Entry{Index: entries[i].Index, Cmd: cmd})
		}
	}
	if _, err := m.Update(updates); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wrong
}

// payload returns the proposal in an entry, or nil where it is another's: of the
// library's own, or empty.
func payload(e *raftpb.Entry) ([]byte, error) {
	switch {
	case len(e.Cmd) == 0:
		return nil, nil
	case e.Type == raftpb.ApplicationEntry:
		return e.Cmd, nil
	case e.Type != raftpb.EncodedEntry:
		return nil, nil
	case e.Cmd[0] != 0: // its version and compression; we have none
		return nil, fmt.Errorf("%w: entry %d is of encoding %d", ErrDamaged, e.Index, e.Cmd[0])
	}
	return e.Cmd[1:], nil
}

// openLogs opens Raft's log for reading, also one that the guard refuses: what is
// there is better than nothing, and what it lacks is told.
type openLogs struct {
	guard   *guard
	refused error
	db      raftio.ILogDB
}

// Name implements config.LogDBFactory.
func (l *openLogs) Name() string { return l.guard.Name() }

// Create implements config.LogDBFactory.
func (l *openLogs) Create(cfg config.NodeHostConfig, cb config.LogDBCallback, dirs, wals []string) (db raftio.ILogDB, err error) {
	if db, l.refused = l.guard.Create(cfg, cb, dirs, wals); l.refused != nil {
		db, err = tan.Factory.Create(cfg, cb, dirs, wals)
	}
	l.db = db
	return db, err
}
