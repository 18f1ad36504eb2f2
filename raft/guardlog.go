package raft

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/dragonboat/v4/raftpb"
)

// A guardedLog keeps the sidecar in step with Raft's log: when a save returns,
// the sidecar claims what it saved.
//
// A save that adds to the log is written to both at the same time, the sidecar
// with a copy of it. So whichever of the two a crash tears, and whichever of them
// is damaged later, start finds it in the other: one sync follows no other, and
// the last save is as well guarded as any. What may shorten or replace the log
// goes one after the other, in the order in which the sidecar never claims too
// much.
type guardedLog struct {
	raftio.ILogDB
	guard *guard

	mu      sync.Mutex // guards what follows
	sidecar *sidecar
	claim   claim
	chain   chain
	mirror  chan error // answers of writes that went along with a save
	// state is what the library saved of it last; it leaves out one that has not changed.
	state raftpb.State

	recent *recent
}

var errHole = errors.New("raft saved entries that do not follow its log")

func (l *guardedLog) ours(shard, replica uint64) bool {
	return shard == controlShard && replica == l.guard.replica
}

// mark says in the store that there is a sidecar.
func (l *guardedLog) mark() error {
	if l.guard.marks == nil {
		return nil
	}
	return l.guard.marks.Mark(guardMark)
}

// SaveBootstrapInfo implements raftio.ILogDB.
func (l *guardedLog) SaveBootstrapInfo(shard, replica uint64, info raftpb.Bootstrap) error {
	if err := l.ILogDB.SaveBootstrapInfo(shard, replica, info); err != nil {
		return err
	}
	return l.mark()
}

// SaveRaftState implements raftio.ILogDB.
func (l *guardedLog) SaveRaftState(updates []raftpb.Update, worker uint64) error {
	for i := range updates {
		one := updates[i : i+1]
		if !l.ours(one[0].ShardID, one[0].ReplicaID) {
			if err := l.ILogDB.SaveRaftState(one, worker); err != nil {
				return err
			}
			continue
		}
		if err := l.save(one, worker); err != nil {
			return l.failed(err)
		}
	}
	return nil
}

// failed is for an error that the library answers by ending the process.
func (l *guardedLog) failed(err error) error {
	if l.guard.unwritable != nil {
		l.guard.unwritable(err)
	}
	return err
}

func (l *guardedLog) save(one []raftpb.Update, worker uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	one = l.stated(one)
	if err := l.saveStated(one, worker); err != nil {
		return err
	}
	l.state = one[0].State
	return nil
}

// stated is an update with the state that it leaves out since that has not changed. The
// log compares each state with the one in the update before, and syncs where the term is
// another one: without it every commit would cost a second sync, of nothing that has to
// last.
func (l *guardedLog) stated(one []raftpb.Update) []raftpb.Update {
	if !raftpb.IsEmptyState(one[0].State) {
		return one
	}
	one = slices.Clone(one) // the library goes on with its own
	one[0].State = l.state
	return one
}

// saveStated saves an update. The caller holds mu.
func (l *guardedLog) saveStated(one []raftpb.Update, worker uint64) error {
	u := &one[0]
	votes := !raftpb.IsEmptyState(u.State) && (u.Term != l.claim.term || u.Vote != l.claim.vote)
	if len(u.EntriesToSave) == 0 && raftpb.IsEmptySnapshot(u.Snapshot) && !votes {
		return l.ILogDB.SaveRaftState(one, worker) // which does not sync it either
	}
	began := time.Now()
	defer func() { l.guard.saves.note(time.Since(began)) }()
	if bytes := bytesOfEntries(u.EntriesToSave); bytes >= largeSaveBytes {
		defer l.guard.signs.during(saveTimeMin + time.Duration(bytes)*time.Second/saveRateMin)()
	}
	if err := l.write(one, worker); err != nil {
		return err
	}
	if !raftpb.IsEmptySnapshot(u.Snapshot) {
		l.recent.reset()
	}
	l.recent.saved(u.EntriesToSave)
	return nil
}

// write saves an update that is to be synced. The caller holds mu.
func (l *guardedLog) write(one []raftpb.Update, worker uint64) error {
	u := &one[0]
	if err := l.lower(u); err != nil {
		return err
	}
	before := l.claim
	if err := l.advance(u); err != nil {
		return err
	}
	payload := mirrored(u)
	if payload == nil {
		if err := l.ILogDB.SaveRaftState(one, worker); err != nil {
			return err
		}
		return l.sidecar.write(l.claim, l.claim, nil)
	}
	after := l.claim
	go func() { l.mirror <- l.sidecar.write(before, after, payload) }()
	err := l.ILogDB.SaveRaftState(one, worker)
	return errors.Join(err, <-l.mirror)
}

// lower takes back the claim to what an update is about to overwrite.
func (l *guardedLog) lower(u *raftpb.Update) error {
	if len(u.EntriesToSave) == 0 || !raftpb.IsEmptySnapshot(u.Snapshot) {
		return nil
	}
	before := u.EntriesToSave[0].Index - 1
	if !l.chain.holds(before) {
		return fmt.Errorf("%w: it ends at %d, and they begin at %d", errHole, l.chain.last(), before+1)
	}
	if before == l.chain.last() {
		return nil
	}
	l.claim.last, l.claim.hash = before, l.chain.at(before)
	return l.sidecar.write(l.claim, l.claim, nil)
}

// advance makes claim and chain those of the log with an update in it.
func (l *guardedLog) advance(u *raftpb.Update) error {
	if !raftpb.IsEmptySnapshot(u.Snapshot) {
		l.claim.snapshot = max(l.claim.snapshot, u.Snapshot.Index)
		l.chain.reset(u.Snapshot.Index, u.Snapshot.Term)
	}
	if n := len(u.EntriesToSave); n > 0 {
		if first := u.EntriesToSave[0].Index; !l.chain.holds(first - 1) {
			return fmt.Errorf("%w: it ends at %d, and they begin at %d", errHole, l.chain.last(), first)
		}
		l.chain.append(u.EntriesToSave)
	}
	if !raftpb.IsEmptyState(u.State) {
		l.claim.term, l.claim.vote = u.Term, u.Vote
	}
	l.follow()
	return nil
}

// follow makes the claim to entries that of the chain.
func (l *guardedLog) follow() {
	l.claim.base, l.claim.baseHash = l.chain.base, l.chain.baseHash
	l.claim.last, l.claim.hash = l.chain.last(), l.chain.at(l.chain.last())
	l.guard.witness.holds(l.claim.last)
}

// mirrored returns an update as the sidecar keeps a copy of it, or nil where it
// is too large, or replaces the log.
func mirrored(u *raftpb.Update) []byte {
	size := u.SizeUpperLimit()
	if size > updateBytesMax || !raftpb.IsEmptySnapshot(u.Snapshot) {
		return nil
	}
	b := make([]byte, size)
	n, err := u.MarshalTo(b)
	if err != nil {
		return nil
	}
	return b[:n]
}

// SaveSnapshots implements raftio.ILogDB.
func (l *guardedLog) SaveSnapshots(updates []raftpb.Update) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ILogDB.SaveSnapshots(updates); err != nil {
		return l.failed(err)
	}
	for i := range updates {
		if l.ours(updates[i].ShardID, updates[i].ReplicaID) {
			l.claim.snapshot = max(l.claim.snapshot, updates[i].Snapshot.Index)
		}
	}
	return l.sidecar.write(l.claim, l.claim, nil)
}

// RemoveEntriesTo implements raftio.ILogDB. The claim goes first, in both slots:
// what is removed can no longer be compared with an older one.
func (l *guardedLog) RemoveEntriesTo(shard, replica, index uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ours(shard, replica) && l.chain.holds(index) && index > l.chain.base {
		l.chain.compact(index)
		l.follow()
		for range sidecarSlots {
			if err := l.sidecar.write(l.claim, l.claim, nil); err != nil {
				return l.failed(err)
			}
		}
	}
	if err := l.ILogDB.RemoveEntriesTo(shard, replica, index); err != nil {
		return l.failed(err)
	}
	return nil
}

// RemoveNodeData implements raftio.ILogDB.
func (l *guardedLog) RemoveNodeData(shard, replica uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ours(shard, replica) {
		if err := l.forget(); err != nil {
			return err
		}
	}
	return l.ILogDB.RemoveNodeData(shard, replica)
}

// forget claims nothing.
func (l *guardedLog) forget() error {
	l.recent.reset()
	l.claim, l.chain, l.state = claim{}, chain{}, raftpb.State{}
	return l.sidecar.write(l.claim, l.claim, nil)
}

// ImportSnapshot implements raftio.ILogDB.
func (l *guardedLog) ImportSnapshot(snapshot raftpb.Snapshot, replica uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ours(snapshot.ShardID, replica) {
		return l.ILogDB.ImportSnapshot(snapshot, replica)
	}
	if err := l.forget(); err != nil {
		return err
	}
	if err := l.ILogDB.ImportSnapshot(snapshot, replica); err != nil {
		return err
	}
	l.chain.reset(snapshot.Index, snapshot.Term)
	l.claim.snapshot, l.claim.term = snapshot.Index, snapshot.Term
	l.follow()
	return l.sidecar.write(l.claim, l.claim, nil)
}

// Close implements raftio.ILogDB.
func (l *guardedLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.ILogDB.Close(), l.sidecar.close())
}
