package raft

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lni/dragonboat/v4/statemachine"

	"quorate/eventlog"
	"quorate/raft/proposal"
)

const (
	// flushInterval is how long what was applied is in memory and Raft's own log only.
	flushInterval = 200 * time.Millisecond
	// flushRecords wakes the flusher early; with unflushedRecordsMax Update itself
	// flushes, which holds the proposers back.
	flushRecords        = 2048
	unflushedRecordsMax = 4 * flushRecords
)

// A machine makes committed proposals records. It applies to an in-memory tail,
// which readers see at once, and flushes the tail, the chain's head, the index in
// Raft's log and the window of proposals in one synced transaction.
type machine struct {
	store *eventlog.Store
	tail  *eventlog.Tail
	log   *slog.Logger

	mu        sync.Mutex // guards what follows, and the order of tail.Append
	window    *window
	applied   uint64 // index in Raft's log
	unflushed int    // records
	health    error  // of the last flush
	noRoom    error  // while the disk is about to be full
	// wrong is why what this replica has cannot be the log; nothing is applied or
	// stored from then on. Diverged is told, once.
	wrong    error
	diverged func(error)

	// space tells how much room there is, and stuck whether a goroutine of the
	// library waits for some; given is set when nobody waits for that one.
	space        space
	stuck, given atomic.Bool

	flushMu sync.Mutex    // one flush at a time
	dirty   chan struct{} // holds a token when there may be something to flush
	wake    chan struct{} // holds one when it is to be soon
	stop    chan struct{}
	stopped sync.WaitGroup
	closing sync.Once
}

func newMachine(store *eventlog.Store, log *slog.Logger) (*machine, error) {
	side, err := store.Side()
	if err != nil {
		return nil, err
	}
	w, err := loadWindow(side)
	if err != nil {
		return nil, fmt.Errorf("log %s: %w", store.Path(), err)
	}
	m := &machine{
		store: store, tail: eventlog.NewTail(store.Head()), log: log,
		window: w, applied: store.Applied(),
		dirty: make(chan struct{}, 1), wake: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	m.stopped.Go(m.flushLoop)
	return m, nil
}

// Open implements statemachine.IOnDiskStateMachine.
func (m *machine) Open(<-chan struct{}) (uint64, error) { return m.store.Applied(), nil }

// Update implements statemachine.IOnDiskStateMachine. The result of an entry is
// the index of its first record; 0 and a reason where it has none.
func (m *machine) Update(entries []statemachine.Entry) ([]statemachine.Entry, error) {
	m.mu.Lock()
	head := m.tail.Head()
	var records []eventlog.Record
	for i := range entries {
		entries[i].Result = m.apply(&head, &records, entries[i].Index, entries[i].Cmd)
	}
	m.tail.Append(records)
	m.unflushed += len(records)
	unflushed := m.unflushed
	m.mu.Unlock()
	notify(m.dirty)
	if unflushed >= flushRecords {
		notify(m.wake)
	}
	if unflushed >= unflushedRecordsMax {
		if err := m.flush(); err != nil && !errors.Is(err, eventlog.ErrFull) {
			return nil, err
		}
	}
	return entries, nil
}

func (m *machine) apply(head *eventlog.Head, records *[]eventlog.Record, raftIndex uint64, cmd []byte) statemachine.Result {
	p, err := proposal.Decode(bytes.Clone(cmd)) // the library takes cmd back
	if err == nil {
		m.checkLink(p.Behind, *head, *records)
	}
	if m.wrong != nil {
		return statemachine.Result{Data: []byte(m.wrong.Error())}
	}
	m.applied = raftIndex
	if err != nil {
		return statemachine.Result{Data: []byte(err.Error())}
	}
	switch v, first := m.window.seen(p.Proposer, p.Sequence, p.Behind); v {
	case repeat:
		return statemachine.Result{Value: first}
	case stale:
		return statemachine.Result{Data: []byte("proposed again too late")}
	}
	first := head.Index + 1
	if len(p.Entries) == 0 {
		return statemachine.Result{Value: first}
	}
	for _, e := range p.Entries {
		*records = append(*records, head.Next(e))
	}
	m.window.note(p.Proposer, p.Sequence, first, raftIndex)
	return statemachine.Result{Value: first}
}

// checkLink compares a proposal's link with what is here. The proposer had that
// record applied, so this replica has it too, and the same one, or else it is
// missing entries or has others (D2).
func (m *machine) checkLink(l proposal.Link, head eventlog.Head, records []eventlog.Record) {
	if l.Unknown || l.Index == 0 || m.wrong != nil {
		return
	}
	reason := ""
	switch hash, held := m.hashAt(l.Index, head, records); {
	case l.Index > head.Index:
		reason = fmt.Sprintf("records %d to %d are missing", head.Index+1, l.Index)
	case held && hash != l.Hash:
		reason = fmt.Sprintf("record %d has the hash %s, and %s on the replica that proposed", l.Index, hash, l.Hash)
	default:
		return
	}
	m.wrong = fmt.Errorf("%w: %s", ErrDiverged, reason)
	if m.diverged != nil {
		m.diverged(m.wrong)
	}
}

// hashAt returns the hash of a record that is in memory.
func (m *machine) hashAt(index uint64, head eventlog.Head, records []eventlog.Record) (eventlog.Hash, bool) {
	if index == head.Index {
		return head.Hash, true
	}
	if len(records) > 0 && index >= records[0].Index && index < head.Index {
		return records[index-records[0].Index].Hash, true
	}
	if m.tail == nil || index > head.Index {
		return eventlog.Hash{}, false
	}
	page, held := m.tail.Read(index, 1)
	if !held || len(page) == 0 {
		return eventlog.Hash{}, false
	}
	return page[0].Hash, true
}

// Lookup implements statemachine.IOnDiskStateMachine. Readers use the tail and
// the store; a linearizable read only waits for its index to be applied.
func (m *machine) Lookup(any) (any, error) { return m.tail.Head(), nil }

// Sync implements statemachine.IOnDiskStateMachine.
func (m *machine) Sync() error { return m.flush() }

// Close implements statemachine.IOnDiskStateMachine. The owner closes the store.
func (m *machine) Close() error {
	var err error
	m.closing.Do(func() {
		close(m.stop)
		m.stopped.Wait()
		err = m.flush()
	})
	return err
}

// flush stores everything applied so far. Raft's log still holds what a flush
// that failed did not store.
func (m *machine) flush() error {
	m.flushMu.Lock()
	defer m.flushMu.Unlock()
	m.mu.Lock()
	c := eventlog.Commit{Records: m.tail.Unstored(), Applied: m.applied, Side: m.window.changes()}
	m.unflushed = 0
	idle := len(c.Records) == 0 && len(c.Side) == 0 && c.Applied <= m.store.Applied()
	m.mu.Unlock()
	if idle {
		return nil
	}
	err := m.store.Commit(c)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.unflushed += len(c.Records)
		for i := range c.Side {
			m.window.touch(c.Side[i].Key)
		}
		if m.health == nil {
			m.log.Error("log is not stored; appends are refused until it is", "error", err)
		}
		m.health = err
		return err
	}
	if n := len(c.Records); n > 0 {
		m.tail.Stored(c.Records[n-1].Index)
	}
	if m.health != nil {
		m.log.Info("log is stored again")
		m.health = nil
	}
	return nil
}

// flushLoop flushes an interval behind the first change, so that an idle replica
// is not woken.
func (m *machine) flushLoop() {
	for {
		select {
		case <-m.dirty:
		case <-m.stop:
			return
		}
		interval := time.NewTimer(flushInterval)
		select {
		case <-interval.C:
		case <-m.wake:
			interval.Stop()
		case <-m.stop:
			interval.Stop()
			return
		}
		if m.flush() != nil { // which is kept in health
			notify(m.dirty)
		}
	}
}

// notify leaves a token in a channel that holds one.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// appliedIndex is the index in Raft's log up to which entries were applied.
func (m *machine) appliedIndex() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.applied
}

// healthy returns why appends are to be refused, or nil.
func (m *machine) healthy() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.wrong != nil:
		return m.wrong
	case m.health != nil:
		return m.health
	}
	return m.noRoom
}
