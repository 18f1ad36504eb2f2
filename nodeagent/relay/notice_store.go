package relay

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"quorate/internal/boltfile"
	"quorate/nodeagent/wire"
)

const (
	// noticesFlushEvery is the shortest time between two writes. What a crash takes is
	// announced again by who has said it.
	noticesFlushEvery = 100 * time.Millisecond
	noticesLockMax    = time.Second
	// noticesWarnEvery is how often it is said that they are not written.
	noticesWarnEvery = time.Minute
)

var bucketNotices = []byte("notices")

// A noticeStore is the file of the notices, by their numbers. It is written behind.
type noticeStore struct {
	db   *bolt.DB
	log  *slog.Logger
	held []*kept // what was in the file, in the order of the numbers, until it is loaded
	wake chan struct{}
	stop chan struct{}
	done chan struct{}
	once sync.Once

	mu      sync.Mutex
	changes map[uint64][]byte // nil where the notice goes

	// The rest is the writer's: when it last said that nothing is written, and whether
	// nothing ever is again.
	warned time.Time
	broken bool
}

// openNoticeStore opens the file, or begins it anew where it is damaged.
func openNoticeStore(path string, log *slog.Logger) (*noticeStore, error) {
	s := &noticeStore{log: log, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}), changes: map[uint64][]byte{}}
	err := s.open(path)
	if errors.Is(err, boltfile.ErrDamaged) {
		log.Warn("the notices of the site cannot be read, and are begun anew: agents announce again what the cluster has not acknowledged", "file", path, "error", err)
		if err = os.Remove(path); err == nil {
			err = s.open(path)
		}
	}
	if err != nil {
		return nil, err
	}
	go s.run()
	return s, nil
}

func (s *noticeStore) open(path string) (err error) {
	if s.db, err = boltfile.Open(path, noticesLockMax); err != nil {
		return err
	}
	if err := s.read(path); err != nil {
		return errors.Join(err, s.db.Close())
	}
	return nil
}

// read takes what is in the file, of which nothing is written to where it is not new: the
// disk may be full.
func (s *noticeStore) read(path string) error {
	s.held = nil
	unread, fresh := 0, false
	err := s.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketNotices)
		if fresh = b == nil; fresh {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			n := new(wire.Notice)
			if len(k) != 8 || wire.Unmarshal(v, n) != nil || n.Check() != nil {
				unread++
				return nil
			}
			s.held = append(s.held, &kept{notice: *n, number: binary.BigEndian.Uint64(k)})
			return nil
		})
	})
	if err == nil && fresh {
		err = s.db.Update(func(tx *bolt.Tx) error {
			_, err := tx.CreateBucketIfNotExists(bucketNotices)
			return err
		})
	}
	if err == nil && unread > 0 {
		s.log.Warn("some notices of the site cannot be read, and are passed over", "file", path, "notices", unread)
	}
	return err
}

// load calls each with what was in the file, in the order of the numbers.
func (s *noticeStore) load(each func(*kept)) {
	for _, k := range s.held {
		each(k)
	}
	s.held = nil
}

// put keeps a notice under a number, before long.
func (s *noticeStore) put(number uint64, n *wire.Notice) {
	b, err := wire.Marshal(n)
	if err != nil {
		s.log.Warn("a notice of the site is not kept", "error", err)
		return
	}
	s.change(number, b)
}

// drop removes a notice, before long. One that is not written yet never is, so that what
// waits for a slow disk is no more than there is room for.
func (s *noticeStore) drop(number uint64) {
	s.mu.Lock()
	_, unwritten := s.changes[number]
	delete(s.changes, number)
	s.mu.Unlock()
	if !unwritten {
		s.change(number, nil)
	}
}

func (s *noticeStore) change(number uint64, b []byte) {
	s.mu.Lock()
	s.changes[number] = b
	s.mu.Unlock()
	offer(s.wake)
}

func (s *noticeStore) run() {
	defer close(s.done)
	for {
		select {
		case <-s.wake:
		case <-s.stop:
			return
		}
		s.flush()
		pause := time.NewTimer(noticesFlushEvery)
		select {
		case <-pause.C:
		case <-s.stop:
			pause.Stop()
			return
		}
	}
}

// flush writes the changes. Those that cannot be written are lost with this process.
func (s *noticeStore) flush() {
	s.mu.Lock()
	changes := s.changes
	s.changes = map[uint64][]byte{}
	s.mu.Unlock()
	if len(changes) == 0 || s.broken {
		return
	}
	err := boltfile.Guard(func() error { return s.write(changes) })
	if s.broken = errors.Is(err, boltfile.ErrDamaged); s.broken {
		s.log.Error("the notices of the site are not written any more: restart the relay, which begins their file anew", "error", err)
		return
	}
	if now := time.Now(); err != nil && now.Sub(s.warned) >= noticesWarnEvery {
		s.warned = now
		s.log.Warn("notices of the site are not on disk: should the relay be restarted, they have to be announced again", "error", err)
	}
}

func (s *noticeStore) write(changes map[uint64][]byte) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketNotices)
		for number, v := range changes {
			k := binary.BigEndian.AppendUint64(nil, number)
			if v == nil {
				if err := b.Delete(k); err != nil {
					return err
				}
			} else if err := b.Put(k, v); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *noticeStore) close() error {
	s.once.Do(func() {
		close(s.stop)
		<-s.done
		s.flush()
	})
	if s.broken {
		return nil // which might wait for ever
	}
	return s.db.Close()
}
