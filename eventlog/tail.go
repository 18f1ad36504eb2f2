package eventlog

import (
	"context"
	"sync"
)

// Bounds of what a tail keeps beyond what it must.
const (
	tailRecordsMax = 16384
	tailBytesMax   = 8 << 20
	// PageBytesMax bounds the data of the records that one Read returns, except
	// that it always returns one where there is one.
	PageBytesMax = 16 << 20
)

// A Tail holds the newest records of a log in memory, so that following a log
// does not touch its file, and wakes those who wait for records. It is safe for
// concurrent use.
type Tail struct {
	mu      sync.Mutex
	head    Head
	records []Record // consecutive, up to head.Index
	bytes   int
	// kept is the index up to which records may be dropped from memory.
	kept    uint64
	changed chan struct{} // closed at the next change
	closed  error
}

// NewTail returns the tail of a log that ends at head.
func NewTail(head Head) *Tail {
	return &Tail{head: head, kept: head.Index, changed: make(chan struct{})}
}

// Head returns the end of the log.
func (t *Tail) Head() Head {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.head
}

// Append adds records that follow the head, and moves the head to the last.
func (t *Tail) Append(records []Record) {
	if len(records) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.records = append(t.records, records...)
	for i := range records {
		t.bytes += len(records[i].Data)
	}
	last := &records[len(records)-1]
	t.head = Head{Index: last.Index, Time: last.Time, Hash: last.Hash}
	t.trim()
	t.wake()
}

// Stored says that records up to the index can be read from elsewhere: from then
// on the tail may drop them.
func (t *Tail) Stored(index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = max(t.kept, index)
	t.trim()
}

// Unstored returns the records that are held here only. The caller must not
// change them.
func (t *Tail) Unstored() []Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := int(t.head.Index - t.kept)
	return append([]Record(nil), t.records[len(t.records)-n:]...)
}

// Reset makes the tail that of a log which ends at head and is stored elsewhere.
func (t *Tail) Reset(head Head) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.head, t.kept, t.records, t.bytes = head, head.Index, nil, 0
	t.wake()
}

// Close makes every Wait return err.
func (t *Tail) Close(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed == nil {
		t.closed = err
		t.wake()
	}
}

// Err is the error of Close, or nil.
func (t *Tail) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

// Read returns up to limit records from the index on. Held is false where the
// first of them is no longer in memory.
func (t *Tail) Read(from uint64, limit int) (page []Record, held bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if from > t.head.Index {
		return nil, true
	}
	first := t.head.Index - uint64(len(t.records)) + 1
	if from < first {
		return nil, false
	}
	rest := t.records[from-first:]
	size := 0
	for i := range rest {
		size += len(rest[i].Data)
		if i >= limit || i > 0 && size > PageBytesMax {
			rest = rest[:i]
			break
		}
	}
	return append([]Record(nil), rest...), true
}

// Wait blocks until the log has a record at the index, or ctx ends, or the tail
// is closed.
func (t *Tail) Wait(ctx context.Context, index uint64) error {
	for {
		t.mu.Lock()
		at, changed, closed := t.head.Index, t.changed, t.closed
		t.mu.Unlock()
		if at >= index {
			return nil
		}
		if closed != nil {
			return closed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (t *Tail) wake() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// trim drops the oldest half of the records once they exceed the bounds, so that
// the cost of moving the rest is spread over many appends.
func (t *Tail) trim() {
	if len(t.records) <= tailRecordsMax && t.bytes <= tailBytesMax {
		return
	}
	first := t.head.Index - uint64(len(t.records)) + 1
	drop := 0
	for drop < len(t.records) && first+uint64(drop) <= t.kept &&
		(len(t.records)-drop > tailRecordsMax/2 || t.bytes > tailBytesMax/2) {
		t.bytes -= len(t.records[drop].Data)
		drop++
	}
	if drop > 0 {
		t.records = append([]Record(nil), t.records[drop:]...)
	}
}
