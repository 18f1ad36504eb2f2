package raft

import (
	"encoding/binary"
	"errors"

	"quorate/eventlog"
	"quorate/raft/proposal"
)

const (
	// windowSequences is how far a proposer's sequence may run ahead of its oldest
	// proposal without an answer; the proposer keeps within it.
	windowSequences = 64
	// proposersMax bounds the processes remembered; the one silent for longest goes.
	proposersMax = 64

	// forgottenID is the proposer that stands for those that went: the index of
	// the newest record of any of them is its slot 0. No process has this id.
	forgottenID = 0

	sidePrefix    = "proposer/"
	sideValueSize = 8 + 8 + windowSequences*16
)

// A window remembers the newest proposals of each proposer, so that one proposed
// again after a timeout has its effect once. It is part of the replicated state:
// nothing but committed entries changes it.
type window struct {
	proposers map[uint64]*proposer
	// forgotten is the index of the newest record of a proposer that went. A
	// proposal made behind it by one that is not known may have been applied before.
	forgotten uint64
	// dirty are the proposers that changed, or went, since the last flush.
	dirty map[uint64]struct{}
}

type proposer struct {
	used   uint64 // the index in Raft's log of its newest proposal
	newest uint64 // its highest sequence
	slots  [windowSequences]struct{ sequence, first uint64 }
}

func newWindow() *window {
	return &window{proposers: map[uint64]*proposer{}, dirty: map[uint64]struct{}{}}
}

// verdict on a proposal.
type verdict int

const (
	fresh  verdict = iota
	repeat         // it is in the log already
	stale          // too old to tell
)

// seen returns the index of the first record of a proposal that was applied
// before. Behind is where the proposer's log ended when it made the proposal.
func (w *window) seen(id, sequence uint64, behind proposal.Link) (verdict, uint64) {
	p := w.proposers[id]
	if p == nil {
		if behind.Index < w.forgotten && !behind.Unknown {
			return stale, 0
		}
		return fresh, 0
	}
	if slot := p.slots[sequence%windowSequences]; slot.sequence == sequence {
		return repeat, slot.first
	}
	if sequence+windowSequences <= p.newest {
		return stale, 0
	}
	return fresh, 0
}

// note remembers a proposal that was applied at an index in Raft's log.
func (w *window) note(id, sequence, first, raftIndex uint64) {
	p := w.proposers[id]
	if p == nil {
		if len(w.proposers) >= proposersMax {
			w.forget()
		}
		p = &proposer{}
		w.proposers[id] = p
	}
	p.used = raftIndex
	p.newest = max(p.newest, sequence)
	slot := &p.slots[sequence%windowSequences]
	slot.sequence, slot.first = sequence, first
	w.dirty[id] = struct{}{}
}

// forget drops the proposer that was silent for longest. Indexes in Raft's log
// differ, so the choice does not depend on the order of the map.
func (w *window) forget() {
	var oldest, id uint64
	for k, p := range w.proposers {
		if id == 0 && oldest == 0 || p.used < oldest {
			oldest, id = p.used, k
		}
	}
	for _, slot := range w.proposers[id].slots {
		w.forgotten = max(w.forgotten, slot.first)
	}
	delete(w.proposers, id)
	w.dirty[id] = struct{}{}
	w.dirty[forgottenID] = struct{}{}
}

func sideKey(id uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(sidePrefix), id)
}

func (p *proposer) encode() []byte {
	b := make([]byte, 0, sideValueSize)
	b = binary.BigEndian.AppendUint64(b, p.used)
	b = binary.BigEndian.AppendUint64(b, p.newest)
	for _, s := range p.slots {
		b = binary.BigEndian.AppendUint64(b, s.sequence)
		b = binary.BigEndian.AppendUint64(b, s.first)
	}
	return b
}

// changes returns what changed since the last call, as the store keeps it.
func (w *window) changes() []eventlog.SideValue {
	var out []eventlog.SideValue
	for id := range w.dirty {
		v := eventlog.SideValue{Key: sideKey(id)}
		if p := w.proposers[id]; p != nil {
			v.Value = p.encode()
		}
		if id == forgottenID {
			p := &proposer{}
			p.slots[0].first = w.forgotten
			v.Value = p.encode()
		}
		out = append(out, v)
	}
	clear(w.dirty)
	return out
}

var errWindow = errors.New("malformed window of proposals")

// loadWindow restores a window from what the store keeps.
func loadWindow(side []eventlog.SideValue) (*window, error) {
	w := newWindow()
	for _, v := range side {
		if len(v.Key) != len(sidePrefix)+8 || string(v.Key[:len(sidePrefix)]) != sidePrefix || len(v.Value) != sideValueSize {
			return nil, errWindow
		}
		p := &proposer{used: binary.BigEndian.Uint64(v.Value), newest: binary.BigEndian.Uint64(v.Value[8:])}
		for i := range p.slots {
			b := v.Value[16+16*i:]
			p.slots[i].sequence, p.slots[i].first = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
		}
		id := binary.BigEndian.Uint64(v.Key[len(sidePrefix):])
		if id == forgottenID {
			w.forgotten = p.slots[0].first
			continue
		}
		w.proposers[id] = p
	}
	return w, nil
}

// touch makes a proposer part of the next changes again.
func (w *window) touch(key []byte) {
	w.dirty[binary.BigEndian.Uint64(key[len(sidePrefix):])] = struct{}{}
}
