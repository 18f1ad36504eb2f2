package orchestrator

import (
	"container/heap"
	"context"
	"sync"
)

// progress is the index of the newest folded record, and those who wait for
// one. Waking costs by the number of those whose turn it is, not of all that wait.
type progress struct {
	mu      sync.Mutex
	index   uint64
	changed chan struct{} // nil while nobody watches
	waiting waiters
}

// publish says that everything up to the index is folded.
func (p *progress) publish(index uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.index = index
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
	for len(p.waiting) > 0 && p.waiting[0].index <= index {
		w := heap.Pop(&p.waiting).(*waiter)
		close(w.done)
	}
}

func (p *progress) watch() (uint64, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.index, p.changed
}

func (p *progress) wait(ctx context.Context, index uint64) error {
	p.mu.Lock()
	if p.index >= index {
		p.mu.Unlock()
		return nil
	}
	w := &waiter{index: index, done: make(chan struct{})}
	heap.Push(&p.waiting, w)
	p.mu.Unlock()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		if w.at >= 0 {
			heap.Remove(&p.waiting, w.at)
		}
		return ctx.Err()
	}
}

// A waiter waits for a record to be folded; at is its place in the heap, -1
// once its turn has come.
type waiter struct {
	index uint64
	at    int
	done  chan struct{}
}

// waiters is a heap by index.
type waiters []*waiter

func (w waiters) Len() int           { return len(w) }
func (w waiters) Less(i, j int) bool { return w[i].index < w[j].index }
func (w waiters) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].at, w[j].at = i, j
}

// Push implements heap.Interface.
func (w *waiters) Push(x any) {
	x.(*waiter).at = len(*w)
	*w = append(*w, x.(*waiter))
}

// Pop implements heap.Interface.
func (w *waiters) Pop() any {
	old := *w
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*w = old[:len(old)-1]
	last.at = -1
	return last
}
