package raft

import (
	"errors"
	"fmt"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/plugin/tan"
	"github.com/lni/dragonboat/v4/raftio"
)

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
}

// Name implements config.LogDBFactory.
func (g *guard) Name() string { return tan.Factory.Name() }

// Create implements config.LogDBFactory.
func (g *guard) Create(cfg config.NodeHostConfig, cb config.LogDBCallback, dirs, wals []string) (raftio.ILogDB, error) {
	db, err := tan.Factory.Create(cfg, cb, dirs, wals)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err := g.check(db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func (g *guard) check(db raftio.ILogDB) error {
	_, err := db.GetBootstrapInfo(controlShard, g.replica)
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
	g.known = true
	last, err := lastIndex(db, g.replica)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if last < g.applied {
		return fmt.Errorf("%w: it ends at %d, and %d was applied: remove this replica and add it again under a new number",
			ErrBehind, last, g.applied)
	}
	return nil
}

// lastIndex returns where Raft's log, or the snapshot in its place, ends.
func lastIndex(db raftio.ILogDB, replica uint64) (uint64, error) {
	snapshot, err := db.GetSnapshot(controlShard, replica)
	if err != nil {
		return 0, err
	}
	state, err := db.ReadRaftState(controlShard, replica, snapshot.Index)
	if errors.Is(err, raftio.ErrNoSavedLog) {
		return snapshot.Index, nil
	}
	if err != nil {
		return 0, err
	}
	if state.EntryCount == 0 {
		return snapshot.Index, nil
	}
	return state.FirstIndex + state.EntryCount - 1, nil
}
