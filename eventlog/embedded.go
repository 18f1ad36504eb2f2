package eventlog

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// Bounds of one group commit.
const (
	groupEntriesMax = 16384
	groupBytesMax   = 16 << 20
	queueAppendsMax = 1024
)

const (
	// StoreFile is the name of the store in an orchestrator's data directory.
	StoreFile    = "log.db"
	dirMode      = 0o700
	embeddedTerm = 1
)

// Embedded is the log of a single process: a [Store] whose appends are committed
// by group, one synced transaction for all that wait. It always leads, in term 1.
// It is safe for concurrent use.
type Embedded struct {
	store   *Store
	tail    *Tail
	queue   chan *pendingAppend
	stop    chan struct{}
	ended   chan struct{} // closed when the commit loop will answer no more
	stopped sync.WaitGroup
	closing sync.Once
	closed  error
	leading chan struct{}
}

// A pendingAppend waits for the commit of its entries.
type pendingAppend struct {
	entries []Entry
	bytes   int
	first   uint64
	err     error
	done    chan struct{}
}

// OpenEmbedded opens the log in dir/log.db and creates both where there is none.
func OpenEmbedded(dir string) (*Embedded, error) {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("log directory: %w", err)
	}
	store, err := OpenStore(filepath.Join(dir, StoreFile), StoreOptions{})
	if err != nil {
		return nil, err
	}
	return newEmbedded(store), nil
}

func newEmbedded(store *Store) *Embedded {
	l := &Embedded{
		store:   store,
		tail:    NewTail(store.Head()),
		queue:   make(chan *pendingAppend, queueAppendsMax),
		stop:    make(chan struct{}),
		ended:   make(chan struct{}),
		leading: make(chan struct{}),
	}
	l.stopped.Go(l.commitLoop)
	return l
}

// Append makes the entries durable, next to each other and in order, and returns
// the index of the first. An error that wraps [ErrRefused] or [ErrFull] means
// that they are not in the log; after any other they may be.
func (l *Embedded) Append(ctx context.Context, entries []Entry) (uint64, error) {
	if err := CheckBatch(entries); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("append: %w", err)
	}
	p := &pendingAppend{entries: cloneEntries(entries), done: make(chan struct{})}
	for i := range entries {
		p.bytes += len(entries[i].Data)
	}
	select {
	case l.queue <- p:
	case <-l.stop:
		return 0, fmt.Errorf("append: %w", ErrClosed)
	case <-ctx.Done():
		return 0, fmt.Errorf("append: %w", ctx.Err())
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return 0, fmt.Errorf("append: %w", ctx.Err())
	case <-l.ended:
		select {
		case <-p.done:
		default: // queued behind the last look at the queue
			return 0, fmt.Errorf("append: %w", ErrClosed)
		}
	}
	if p.err != nil {
		return 0, fmt.Errorf("append: %w", p.err)
	}
	return p.first, nil
}

// cloneEntries copies the data, which stays in memory for readers after the
// caller has its buffers back.
func cloneEntries(entries []Entry) []Entry {
	own := make([]Entry, len(entries))
	for i, e := range entries {
		own[i] = e
		own[i].Data = append([]byte(nil), e.Data...)
	}
	return own
}

// commitLoop owns the head. It commits whatever queued up during the commit before.
func (l *Embedded) commitLoop() {
	defer close(l.ended)
	defer l.refuseQueued()
	var carried *pendingAppend
	for {
		first := carried
		if first == nil {
			select {
			case first = <-l.queue:
			case <-l.stop:
				return
			}
		}
		var group []*pendingAppend
		group, carried = l.gather(first)
		l.commit(group)
	}
}

// gather takes what waits, up to the bounds of a group; the one that would exceed
// them is carried over.
func (l *Embedded) gather(first *pendingAppend) (group []*pendingAppend, carried *pendingAppend) {
	group = append(group, first)
	entries, bytes := len(first.entries), first.bytes
	for {
		select {
		case p := <-l.queue:
			entries, bytes = entries+len(p.entries), bytes+p.bytes
			if entries > groupEntriesMax || bytes > groupBytesMax {
				return group, p
			}
			group = append(group, p)
		default:
			return group, nil
		}
	}
}

func (l *Embedded) commit(group []*pendingAppend) {
	head := l.tail.Head()
	var records []Record
	for _, p := range group {
		p.first = head.Index + 1
		for _, e := range p.entries {
			records = append(records, head.Next(e))
		}
	}
	err := l.store.Commit(Commit{Records: records})
	if err == nil {
		l.tail.Append(records)
		l.tail.Stored(head.Index)
	}
	for _, p := range group {
		p.err = err
		close(p.done)
	}
}

// refuseQueued answers those who came too late for the last commit.
func (l *Embedded) refuseQueued() {
	for {
		select {
		case p := <-l.queue:
			p.err = ErrClosed
			close(p.done)
		default:
			return
		}
	}
}

// Read returns up to limit committed records from the index on; a page may be
// shorter, and is empty only where the log ends before.
func (l *Embedded) Read(ctx context.Context, from uint64, limit int) ([]Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if err := l.tail.Err(); err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return ReadMerged(l.store, l.tail, from, limit)
}

// ReadMerged reads from the tail what it holds, and the rest from the store.
func ReadMerged(store *Store, tail *Tail, from uint64, limit int) ([]Record, error) {
	from = max(from, 1)
	if limit <= 0 {
		return nil, nil
	}
	if page, held := tail.Read(from, limit); held {
		return page, nil
	}
	return store.Read(from, limit)
}

// Wait blocks until the log has a record at the index, or ctx ends, or the log is
// closed.
func (l *Embedded) Wait(ctx context.Context, index uint64) error {
	if err := l.tail.Wait(ctx, index); err != nil {
		return fmt.Errorf("wait for record %d: %w", index, err)
	}
	return nil
}

// Head returns the index and the chain hash of the last record.
func (l *Embedded) Head() (uint64, Hash) {
	h := l.tail.Head()
	return h.Index, h.Hash
}

// Tree returns the Merkle tree over the first records. Where there are fewer the
// error wraps [ErrTooShort].
func (l *Embedded) Tree(size uint64) (*Tree, error) { return MergedTree(l.store, l.tail, size) }

// Seal is [Store.Seal].
func (l *Embedded) Seal(ctx context.Context, to uint64) (last uint64, err error) {
	return l.store.Seal(ctx, to)
}

// Sizes is [Store.Sizes].
func (l *Embedded) Sizes() (Sizes, error) { return l.store.Sizes() }

// Leading reports that the log leads, in term 1: there is nobody else.
func (l *Embedded) Leading() (term uint64, leading bool, changed <-chan struct{}) {
	return embeddedTerm, true, l.leading
}

// Close waits for the commit under way and releases the file. Appends that wait
// get [ErrClosed].
func (l *Embedded) Close() error {
	l.closing.Do(func() {
		close(l.stop)
		l.stopped.Wait()
		l.tail.Close(ErrClosed)
		l.closed = l.store.Close()
	})
	return l.closed
}

// Barrier returns nil: a single process has everything that is committed.
func (l *Embedded) Barrier(ctx context.Context) error { return ctx.Err() }
