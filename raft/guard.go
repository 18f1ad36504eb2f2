package raft

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/plugin/tan"
	"github.com/lni/dragonboat/v4/raftio"
)

// readThroughBytes is how much of the log is read at a time.
const readThroughBytes = 16 << 20

// guard creates Raft's log and refuses one that ends before what the store has
// applied. The library takes a zeroed chunk header for the end of the log (D1)
// and silently skips what a replica is ahead by (D2): without this check a
// damaged log loses acknowledged entries, and nobody is told.
type guard struct {
	replica   uint64
	bootstrap bool
	// applied and head are what the store says.
	applied, head uint64
	// known is set when the directory holds a replica.
	known bool
	// joined is set when that replica was added to a cluster of others.
	joined bool
}

// Name implements config.LogDBFactory.
func (g *guard) Name() string { return tan.Factory.Name() }

// Create implements config.LogDBFactory.
func (g *guard) Create(cfg config.NodeHostConfig, cb config.LogDBCallback, dirs, wals []string) (raftio.ILogDB, error) {
	db, err := tan.Factory.Create(cfg, cb, dirs, wals)
	if err != nil {
		return nil, damaged(err)
	}
	if err := g.check(db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// damaged says that Raft's files cannot be read for this reason. On a full disk
// nothing is wrong with them: they open when there is space again.
func damaged(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

func (g *guard) check(db raftio.ILogDB) error {
	info, err := db.GetBootstrapInfo(controlShard, g.replica)
	switch {
	case errors.Is(err, raftio.ErrNoBootstrapInfo):
		if g.applied > 0 || g.head > 0 {
			return fmt.Errorf("%w: the store holds %d records and raft's directory no replica %d: it was lost, or the store is of another one",
				ErrBehind, g.head, g.replica)
		}
		if !g.bootstrap {
			return ErrNotBootstrapped
		}
		return nil
	case err != nil:
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	g.known, g.joined = true, info.Join
	first, last, err := extent(db, g.replica)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if g.applied < first {
		return fmt.Errorf("%w: it applied %d, and the log begins behind %d: remove this replica and add it again under a new number",
			ErrStoreBehind, g.applied, first)
	}
	if last < g.applied {
		return fmt.Errorf("%w: it ends at %d, and %d was applied: remove this replica and add it again under a new number",
			ErrBehind, last, g.applied)
	}
	if err := readThrough(db, g.replica, last); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// readThrough reads every entry of the log, up to last. Damage found later, in
// the background, would end the process with a panic (D3).
func readThrough(db raftio.ILogDB, replica, last uint64) error {
	snapshot, err := db.GetSnapshot(controlShard, replica)
	if err != nil {
		return err
	}
	for next := snapshot.Index + 1; next <= last; {
		entries, _, err := db.IterateEntries(nil, 0, controlShard, replica, next, last+1, readThroughBytes)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return fmt.Errorf("entry %d is missing, the log ends at %d", next, last)
		}
		for i := range entries {
			if entries[i].Index != next {
				return fmt.Errorf("entry %d is missing, and %d is in its place", next, entries[i].Index)
			}
			next++
		}
	}
	return nil
}

// extent returns the index of the snapshot that Raft's log begins behind, and
// where the log ends.
func extent(db raftio.ILogDB, replica uint64) (first, last uint64, err error) {
	snapshot, err := db.GetSnapshot(controlShard, replica)
	if err != nil {
		return 0, 0, err
	}
	state, err := db.ReadRaftState(controlShard, replica, snapshot.Index)
	switch {
	case errors.Is(err, raftio.ErrNoSavedLog):
	case err != nil:
		return 0, 0, err
	case state.EntryCount > 0:
		return snapshot.OnDiskIndex, state.FirstIndex + state.EntryCount - 1, nil
	}
	return snapshot.OnDiskIndex, snapshot.Index, nil
}
