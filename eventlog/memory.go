package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrClosed is returned by a log that was closed.
var ErrClosed = errors.New("log is closed")

// Memory is a log that lives in memory and always leads. It is for tests and for
// what-if folds: nothing of it survives the process.
type Memory struct {
	mu      sync.Mutex // orders appends
	head    Head
	records []Record
	changed chan struct{}
	closed  bool
	leading chan struct{}
}

// NewMemory returns an empty log.
func NewMemory() *Memory {
	return &Memory{changed: make(chan struct{}), leading: make(chan struct{})}
}

// Append adds the entries and returns the index of the first.
func (m *Memory) Append(ctx context.Context, entries []Entry) (uint64, error) {
	if err := CheckBatch(entries); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("append: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, fmt.Errorf("append: %w", ErrClosed)
	}
	first := m.head.Index + 1
	for _, e := range entries {
		e.Data = append([]byte(nil), e.Data...)
		m.records = append(m.records, m.head.Next(e))
	}
	close(m.changed)
	m.changed = make(chan struct{})
	return first, nil
}

// Read returns up to limit records from the index on.
func (m *Memory) Read(ctx context.Context, from uint64, limit int) ([]Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, fmt.Errorf("read: %w", ErrClosed)
	}
	from = max(from, 1)
	if from > m.head.Index || limit <= 0 {
		return nil, nil
	}
	rest := m.records[from-1:]
	return append([]Record(nil), rest[:min(limit, len(rest))]...), nil
}

// Wait blocks until the log has a record at the index, or ctx ends.
func (m *Memory) Wait(ctx context.Context, index uint64) error {
	for {
		m.mu.Lock()
		at, changed, closed := m.head.Index, m.changed, m.closed
		m.mu.Unlock()
		if at >= index {
			return nil
		}
		if closed {
			return fmt.Errorf("wait: %w", ErrClosed)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait: %w", ctx.Err())
		}
	}
}

// Head returns the index and the chain hash of the last record.
func (m *Memory) Head() (uint64, Hash) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.head.Index, m.head.Hash
}

// Tree returns the Merkle tree over the first records. Where there are fewer the
// error wraps [ErrTooShort].
func (m *Memory) Tree(size uint64) (*Tree, error) {
	end, _ := m.Head()
	read := func(from uint64, limit int) ([]Record, error) { return m.Read(context.Background(), from, limit) }
	return newTree(size, end, read, func(uint64) ([]Hash, bool) { return nil, false })
}

// Leading reports that the log leads, in term 1.
func (m *Memory) Leading() (uint64, bool, <-chan struct{}) { return 1, true, m.leading }

// Close ends the log: what waits returns [ErrClosed].
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.closed = true
		close(m.changed)
		m.changed = make(chan struct{})
	}
	return nil
}

// Barrier returns nil: a single process has everything that is committed.
func (m *Memory) Barrier(ctx context.Context) error { return ctx.Err() }
