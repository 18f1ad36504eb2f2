package raft

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/dragonboat/v4/raftpb"
)

// snapshotHeadBytes is within what the records of a snapshot begin, behind what the
// library puts in front of them.
const snapshotHeadBytes = 4 << 10

// held is what Raft's log holds.
type held struct {
	chain  chain
	recent *recent
	// snapshot is the index of the newest snapshot, and onDisk what the store had
	// applied then.
	snapshot, onDisk uint64
	state            raftpb.State
}

// readHeld reads every entry of the log, from the one behind a claim's base on.
// Damage found later, in the background, would end the process with a panic (D3).
func readHeld(db raftio.ILogDB, replica uint64, from claim) (held, error) {
	snapshot, err := db.GetSnapshot(controlShard, replica)
	if err != nil {
		return held{}, err
	}
	h := held{snapshot: snapshot.Index, onDisk: snapshot.OnDiskIndex, recent: &recent{}}
	h.chain.base, h.chain.baseHash = from.base, from.baseHash
	if from == (claim{}) && snapshot.Index > 0 {
		h.chain.reset(snapshot.Index, snapshot.Term)
	}
	if err := h.read(db, replica); err != nil {
		return held{}, err
	}
	if h.chain.last() < snapshot.Index { // one that replaced the log
		h.chain.reset(snapshot.Index, snapshot.Term)
		err = h.read(db, replica)
	}
	return h, err
}

// read adds the entries behind the chain.
func (h *held) read(db raftio.ILogDB, replica uint64) error {
	state, err := db.ReadRaftState(controlShard, replica, h.chain.last())
	if errors.Is(err, raftio.ErrNoSavedLog) {
		return nil
	}
	if err != nil {
		return err
	}
	h.state = state.State
	last := h.chain.last() + state.EntryCount
	for next := h.chain.last() + 1; next <= last; next = h.chain.last() + 1 {
		entries, _, err := db.IterateEntries(nil, 0, controlShard, replica, next, last+1, readThroughBytes)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return fmt.Errorf("entry %d is missing, the log ends at %d", next, last)
		}
		for i := range entries {
			if entries[i].Index != next+uint64(i) {
				return fmt.Errorf("entry %d is missing, and %d is in its place", next+uint64(i), entries[i].Index)
			}
		}
		h.chain.append(entries)
		h.recent.saved(entries)
	}
	return nil
}

// matches returns how the log is not what was claimed, or nil. It may hold more:
// what a crash kept it from claiming.
func matches(db raftio.ILogDB, replica uint64, c claim) error {
	var h held
	err := recovered(func() (err error) {
		h, err = readHeld(db, replica, c)
		return err
	})
	switch {
	case err != nil:
		return damaged(err)
	case h.snapshot < c.snapshot:
		return fmt.Errorf("%w: its newest snapshot is %d, and it had %d", ErrBehind, h.snapshot, c.snapshot)
	case h.state.Term < c.term || h.state.Term == c.term && c.vote != 0 && h.state.Vote != c.vote:
		return fmt.Errorf("%w: it is in term %d with a vote for %d, and was in %d with one for %d",
			ErrBehind, h.state.Term, h.state.Vote, c.term, c.vote)
	case h.chain.base != c.base && h.snapshot >= c.last: // which replaced what was claimed
		return nil
	case h.chain.base != c.base:
		return fmt.Errorf("%w: entries from %d to %d are missing", ErrBehind, c.base+1, h.snapshot)
	case h.chain.last() < c.last:
		return fmt.Errorf("%w: it ends at %d, and held %d", ErrBehind, h.chain.last(), c.last)
	case h.chain.at(c.last) != c.hash:
		return fmt.Errorf("%w: an entry from %d to %d is not what was written", ErrDamaged, c.base+1, c.last)
	}
	return nil
}

// snapshotArrived reports whether a snapshot from another replica lies there with
// its records: a crash came between its receipt and the end of its import, which
// the library makes up for. Of one that was imported, or is this replica's own, it
// keeps a stub.
func snapshotArrived(nodeHostDir string, index uint64) (arrived bool, err error) {
	name := fmt.Sprintf("snapshot-%016X.gbsnap", index)
	err = filepath.WalkDir(nodeHostDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() != name {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		head, err := io.ReadAll(io.LimitReader(f, snapshotHeadBytes))
		arrived = arrived || bytes.Contains(head, []byte(snapshotMagic))
		return errors.Join(err, f.Close())
	})
	return arrived, err
}

// trimLogs gives back what the library has allocated behind the ends of its logs:
// 64 MiB at each start, which it keeps for as long as the file. It returns the size
// of the largest. Nobody else may have them open.
func trimLogs(nodeHostDir string) (largest int64, err error) {
	err = filepath.WalkDir(nodeHostDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".log" {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		largest = max(largest, info.Size())
		return os.Truncate(path, info.Size())
	})
	return largest, err
}
