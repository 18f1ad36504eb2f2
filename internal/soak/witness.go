package soak

import (
	"context"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"quorate/engine/api"
	"quorate/eventlog"
	"quorate/internal/soak/lab"
)

// witnessPause is the time between two looks of a witness, witnessTimeout bounds
// one, and witnessRecords how much it reads at a time.
const (
	witnessPause   = 50 * time.Millisecond
	witnessTimeout = 2 * time.Second
	witnessRecords = 500
)

// A Witness reads the log through the APIs of all orchestrators in turn and
// remembers the hash of each record that it saw: what an orchestrator shows was
// committed, and has to stay where it is for ever.
type Witness struct {
	mu     sync.Mutex
	hashes []string // of the records from 1 on
	faults []string
	looks  int
}

// Watch looks until ctx ends.
func (w *Witness) Watch(ctx context.Context, l *lab.Lab) {
	for ctx.Err() == nil {
		for _, s := range l.Servers() {
			if s.Running() {
				w.look(ctx, s)
			}
			select {
			case <-ctx.Done():
			case <-time.After(witnessPause):
			}
		}
	}
}

// look reads what is new, and the last that is known once more.
func (w *Witness) look(ctx context.Context, s *lab.Server) {
	client, err := s.Local()
	if err != nil {
		return
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, witnessTimeout)
	defer cancel()
	w.mu.Lock()
	from := uint64(max(0, len(w.hashes)-1))
	w.mu.Unlock()
	for e, err := range client.Log(ctx, api.LogQuery{Since: from, Limit: witnessRecords}) {
		if err != nil {
			return // it is down, or busy: nothing was seen
		}
		w.Saw(s.Name(), e.Seq, e.Hash)
	}
}

// Saw notes that an orchestrator showed a record.
func (w *Witness) Saw(who string, seq uint64, hash string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks++
	switch n := uint64(len(w.hashes)); {
	case seq == n+1:
		w.hashes = append(w.hashes, hash)
	case seq == 0 || seq > n+1:
		w.faults = append(w.faults, fmt.Sprintf("%s showed record %d after %d", who, seq, n))
	case w.hashes[seq-1] != hash:
		w.faults = append(w.faults, fmt.Sprintf("%s showed record %d as %.12s, it was %.12s", who, seq, hash, w.hashes[seq-1]))
	}
}

// Check compares what was seen with a replica's log and returns what differs.
func (w *Witness) Check(who string, records []eventlog.Record) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	faults := w.faults
	if len(records) < len(w.hashes) {
		faults = append(faults, fmt.Sprintf("%s ends at %d, and %d was shown", who, len(records), len(w.hashes)))
	}
	for i := range min(len(records), len(w.hashes)) {
		if hash := hex.EncodeToString(records[i].Hash[:]); hash != w.hashes[i] {
			return append(faults, fmt.Sprintf("%s has record %d as %.12s, it was shown as %.12s", who, i+1, hash, w.hashes[i]))
		}
	}
	return faults
}
