package relay

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"quorate/internal/pki"
	"quorate/nodeagent/wire"
)

// What the relay keeps of the notices of its site. An agent's are kept apart from the
// others' by the key that it has shown, and the oldest go first: its own where it has
// more than its share, else those of whoever has most.
const (
	noticesAgentBytesMax = 512 << 10
	noticesBytesMax      = 32 << 20
	// watchesAgentMax bounds what an agent may watch at a time, and watchesMax what all do.
	watchesAgentMax = 4096
	watchesMax      = 128 << 10
)

var errOtherKey = errors.New("protocol: a notice of another agent")

// A place is where a notice is found.
type place struct {
	key     string // digest of its agent's
	attempt uint64
}

// A kept notice has a number, by which it is older than others.
type kept struct {
	notice wire.Notice
	number uint64
}

func (k *kept) bytes() int { return k.notice.Bytes() }

// A shelf is what there is of one agent.
type shelf struct {
	order []*kept // oldest first, among others that were taken back
	bytes int
}

// Notices are the notices of a site, and who waits for which. They outlive the process.
type Notices struct {
	log   *slog.Logger
	store *noticeStore

	mu       sync.Mutex
	kept     map[place]*kept
	shelves  map[string]*shelf
	bytes    int
	number   uint64
	watches  map[place]map[*watcher]struct{}
	watched  int
	watchers map[string]*watcher // by the digest of their agent's key
}

// OpenNotices opens the file, or creates it. What cannot be read is begun anew: agents
// announce again what counts. Close it.
func OpenNotices(path string, log *slog.Logger) (*Notices, error) {
	n := &Notices{
		log: log, kept: map[place]*kept{}, shelves: map[string]*shelf{},
		watches: map[place]map[*watcher]struct{}{}, watchers: map[string]*watcher{},
	}
	store, err := openNoticeStore(path, log)
	if err != nil {
		return nil, fmt.Errorf("notices of the site: %w", err)
	}
	n.store = store
	store.load(n.restore)
	return n, nil
}

// Close writes what is not written and closes the file.
func (n *Notices) Close() error { return n.store.close() }

// restore takes a notice from the file, the oldest first.
func (n *Notices) restore(k *kept) {
	n.number = max(n.number, k.number)
	n.put(place{pki.KeyDigest(k.notice.Key), k.notice.Attempt}, k)
}

// announce takes notices of the agent with the public key, and passes them on.
func (n *Notices) announce(key []byte, notices []wire.Notice) error {
	digest := pki.KeyDigest(key)
	for i := range notices {
		if err := notices[i].Check(); err != nil {
			return err
		}
		if string(notices[i].Key) != string(key) {
			return errOtherKey
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range notices {
		at := place{digest, notices[i].Attempt}
		before := n.kept[at]
		if before != nil && before.notice.Same(&notices[i]) {
			continue // said again
		}
		n.number++
		k := &kept{notice: notices[i], number: n.number}
		n.store.put(k.number, &k.notice)
		n.put(at, k)
		for w := range n.watches[at] {
			w.pass(at)
		}
	}
	return nil
}

// put adds a notice, in the place of one about the same attempt, and drops older ones
// beyond the bounds.
func (n *Notices) put(at place, k *kept) {
	if before := n.kept[at]; before != nil {
		n.drop(at, before)
	}
	s := n.shelves[at.key]
	if s == nil {
		s = &shelf{}
		n.shelves[at.key] = s
	}
	n.kept[at] = k
	s.order = append(s.order, k)
	s.bytes += k.bytes()
	n.bytes += k.bytes()
	for s.bytes > noticesAgentBytesMax {
		n.dropOldest(at.key, s)
	}
	for n.bytes > noticesBytesMax {
		n.dropOldest(n.fullest())
	}
}

// fullest returns the shelf with most on it.
func (n *Notices) fullest() (key string, most *shelf) {
	for k, s := range n.shelves {
		if most == nil || s.bytes > most.bytes {
			key, most = k, s
		}
	}
	return key, most
}

func (n *Notices) dropOldest(key string, s *shelf) {
	oldest := s.order[0]
	n.drop(place{key, oldest.notice.Attempt}, oldest)
}

func (n *Notices) drop(at place, k *kept) {
	s := n.shelves[at.key]
	i, _ := slices.BinarySearchFunc(s.order, k.number, func(k *kept, number uint64) int { return cmp.Compare(k.number, number) })
	s.order = slices.Delete(s.order, i, i+1)
	s.bytes -= k.bytes()
	n.bytes -= k.bytes()
	if len(s.order) == 0 {
		delete(n.shelves, at.key)
	}
	delete(n.kept, at)
	n.store.drop(k.number)
}

// watch has the watcher told of what it names, at once where that is there.
func (n *Notices) watch(w *watcher, m *wire.Watch) error {
	if err := m.Check(); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.watchers[w.key] != w {
		return errReplaced
	}
	if m.Afresh {
		n.unwatch(w)
	}
	for _, of := range m.Of {
		at := place{of.Key, of.Attempt}
		if _, known := w.watches[at]; known {
			if n.kept[at] != nil {
				w.pass(at) // it is asked for again
			}
			continue
		}
		if len(w.watches) >= watchesAgentMax || n.watched >= watchesMax {
			if !w.warned {
				w.warned = true
				n.log.Warn("an agent waits for more than the relay keeps in mind", "watched_by_it", len(w.watches), "watched", n.watched)
			}
			return nil // the rest of it is for the cluster to tell
		}
		w.watches[at] = struct{}{}
		n.watched++
		if n.watches[at] == nil {
			n.watches[at] = map[*watcher]struct{}{}
		}
		n.watches[at][w] = struct{}{}
		if n.kept[at] != nil {
			w.pass(at)
		}
	}
	return nil
}

// unwatch forgets all that the watcher waits for.
func (n *Notices) unwatch(w *watcher) {
	for at := range w.watches {
		if delete(n.watches[at], w); len(n.watches[at]) == 0 {
			delete(n.watches, at)
		}
	}
	n.watched -= len(w.watches)
	clear(w.watches)
}

// join makes the watcher its agent's, in the place of the one before.
func (n *Notices) join(w *watcher) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if before := n.watchers[w.key]; before != nil {
		n.unwatch(before)
		before.end()
	}
	n.watchers[w.key] = w
}

func (n *Notices) leave(w *watcher) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.unwatch(w)
	if n.watchers[w.key] == w {
		delete(n.watchers, w.key)
	}
}

// take returns what is to be passed on to the watcher, about as much as fits into a frame.
func (n *Notices) take(w *watcher) (notices []wire.Notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	bytes, taken := 0, 0
	for ; taken < len(w.due) && bytes < wire.NoticesBytesTarget; taken++ {
		at := w.due[taken]
		delete(w.queued, at)
		if k := n.kept[at]; k != nil {
			notices = append(notices, k.notice)
			bytes += k.bytes()
		}
	}
	w.due = w.due[taken:]
	return notices
}
