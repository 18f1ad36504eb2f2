package raft

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/lni/dragonboat/v4/statemachine"

	"quorate/eventlog"
	"quorate/raft/proposal"
)

const (
	snapshotMagic       = "QUORSNP1"
	snapshotPageRecords = 4096
	// snapshotPageBytes is what is stored at a time: it is in memory several times.
	snapshotPageBytes = 1 << 20
	// snapshotSyncBytes is what is stored until it is synced, so that a disk is not
	// given everything at once.
	snapshotSyncBytes = 16 << 20
)

var errSnapshot = errors.New("malformed snapshot")

// A moment is what a snapshot contains: the log only grows, so that its records
// up to a head are a snapshot at any later time.
type moment struct {
	head    eventlog.Head
	applied uint64
	side    []eventlog.SideValue
}

// PrepareSnapshot implements statemachine.IOnDiskStateMachine. The library
// compacts Raft's log after it, so everything applied is flushed first.
func (m *machine) PrepareSnapshot() (any, error) {
	if err := m.flush(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	wrong := m.wrong
	m.mu.Unlock()
	if wrong != nil {
		return nil, wrong
	}
	side, err := m.store.Side()
	if err != nil {
		return nil, err
	}
	return moment{head: m.store.Head(), applied: m.store.Applied(), side: side}, nil
}

// SaveSnapshot implements statemachine.IOnDiskStateMachine: it streams the
// records in pages, each read in a transaction of its own.
func (m *machine) SaveSnapshot(at any, w io.Writer, stop <-chan struct{}) error {
	to := at.(moment)
	b := []byte(snapshotMagic)
	b = binary.BigEndian.AppendUint64(b, to.applied)
	b = binary.BigEndian.AppendUint64(b, to.head.Index)
	b = append(b, to.head.Hash[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(to.side)))
	for _, v := range to.side {
		b = append(b, v.Key...)
		b = append(b, v.Value...)
	}
	if _, err := w.Write(b); err != nil {
		return err
	}
	for next := uint64(1); next <= to.head.Index; {
		select {
		case <-stop:
			return statemachine.ErrSnapshotStopped
		default:
		}
		limit := min(snapshotPageRecords, to.head.Index-next+1)
		page, err := m.store.Read(next, int(limit))
		if err != nil {
			return err
		}
		b = b[:0]
		for i := range page {
			b = proposal.AppendEntry(b, &eventlog.Entry{Time: page[i].Time, Kind: page[i].Kind, Data: page[i].Data})
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		next += uint64(len(page))
	}
	return nil
}

// RecoverFromSnapshot implements statemachine.IOnDiskStateMachine: it builds a
// store beside the old one, checks that the chain ends in the snapshot's head,
// and only then puts it in the old one's place.
func (m *machine) RecoverFromSnapshot(r io.Reader, stop <-chan struct{}) error {
	m.flushMu.Lock()
	defer m.flushMu.Unlock()
	path := filepath.Join(filepath.Dir(m.store.Path()), incomingSnapshotFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	incoming, err := eventlog.OpenStore(path, eventlog.StoreOptions{Unsynced: true})
	if err != nil {
		return err
	}
	to, err := receive(bufio.NewReaderSize(r, 1<<20), incoming, stop)
	if err == nil && m.store.Marked(guardMark) {
		err = incoming.Mark(guardMark)
	}
	if err = errors.Join(err, incoming.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	w, err := loadWindow(to.side)
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.store.Replace(path); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	m.window, m.applied, m.unflushed = w, to.applied, 0
	m.tail.Reset(m.store.Head())
	return nil
}

func receive(r io.Reader, store *eventlog.Store, stop <-chan struct{}) (moment, error) {
	var to moment
	fixed := make([]byte, len(snapshotMagic)+8+8+32+4)
	if _, err := io.ReadFull(r, fixed); err != nil {
		return to, fmt.Errorf("%w: %w", errSnapshot, err)
	}
	if string(fixed[:8]) != snapshotMagic {
		return to, errSnapshot
	}
	to.applied = binary.BigEndian.Uint64(fixed[8:])
	to.head.Index = binary.BigEndian.Uint64(fixed[16:])
	copy(to.head.Hash[:], fixed[24:])
	count := binary.BigEndian.Uint32(fixed[56:])
	if count > proposersMax+1 {
		return to, errSnapshot
	}
	for range count {
		b := make([]byte, len(sidePrefix)+8+sideValueSize)
		if _, err := io.ReadFull(r, b); err != nil {
			return to, fmt.Errorf("%w: %w", errSnapshot, err)
		}
		to.side = append(to.side, eventlog.SideValue{Key: b[:len(sidePrefix)+8], Value: b[len(sidePrefix)+8:]})
	}
	var at eventlog.Head
	unsynced := 0
	for at.Index < to.head.Index {
		select {
		case <-stop:
			return to, statemachine.ErrSnapshotStopped
		default:
		}
		page, err := receivePage(r, &at, to.head.Index)
		if err != nil {
			return to, err
		}
		if err := store.Commit(eventlog.Commit{Records: page}); err != nil {
			return to, err
		}
		for i := range page {
			unsynced += len(page[i].Data)
		}
		if unsynced > snapshotSyncBytes {
			if err := store.Sync(); err != nil {
				return to, err
			}
			unsynced = 0
		}
	}
	if at.Hash != to.head.Hash {
		return to, fmt.Errorf("%w: its chain does not end in its head", errSnapshot)
	}
	return to, store.Commit(eventlog.Commit{Applied: to.applied, Side: to.side})
}

func receivePage(r io.Reader, at *eventlog.Head, last uint64) ([]eventlog.Record, error) {
	var page []eventlog.Record
	header := make([]byte, proposal.EntryHeaderBytes)
	for size := 0; at.Index < last && len(page) < snapshotPageRecords && size < snapshotPageBytes; {
		if _, err := io.ReadFull(r, header); err != nil {
			return nil, fmt.Errorf("%w: %w", errSnapshot, err)
		}
		n := binary.BigEndian.Uint32(header[10:])
		if n > eventlog.EntryBytesMax {
			return nil, errSnapshot
		}
		e := eventlog.Entry{
			Time: int64(binary.BigEndian.Uint64(header)),
			Kind: eventlog.Kind(binary.BigEndian.Uint16(header[8:])),
			Data: make([]byte, n),
		}
		if _, err := io.ReadFull(r, e.Data); err != nil {
			return nil, fmt.Errorf("%w: %w", errSnapshot, err)
		}
		size += len(e.Data)
		page = append(page, at.Next(e))
	}
	return page, nil
}
