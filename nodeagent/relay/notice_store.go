package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"quorate/nodeagent/wire"
)

const (
	// noticesFlushEvery is the shortest time between two writes. What a crash takes is
	// announced again by who has said it.
	noticesFlushEvery = 100 * time.Millisecond
	noticesLockMax    = time.Second
)

var bucketNotices = []byte("notices")

// A noticeStore is the file of the notices, by their numbers. It is written behind.
type noticeStore struct {
	db   *bolt.DB
	log  *slog.Logger
	wake chan struct{}
	stop chan struct{}
	done chan struct{}
	once sync.Once

	mu      sync.Mutex
	changes map[uint64][]byte // nil where the notice goes
}

// openNoticeStore opens the file, or begins it anew where it cannot be read.
func openNoticeStore(path string, log *slog.Logger) (*noticeStore, error) {
	s := &noticeStore{log: log, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}), changes: map[uint64][]byte{}}
	err := s.open(path)
	if err != nil && !errors.Is(err, berrors.ErrTimeout) && !errors.Is(err, os.ErrPermission) {
		log.Warn("the notices of the site cannot be read, and are begun anew", "file", path, "error", err)
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
	s.db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: noticesLockMax, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return err
	}
	err = s.db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bucketNotices)
		return err
	})
	if err != nil {
		return errors.Join(err, s.db.Close())
	}
	return nil
}

// load calls each with what is in the file, in the order of the numbers.
func (s *noticeStore) load(each func(uint64, *wire.Notice)) error {
	return s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketNotices).ForEach(func(k, v []byte) error {
			n := new(wire.Notice)
			if len(k) != 8 || wire.Unmarshal(v, n) != nil || n.Check() != nil {
				s.log.Warn("a notice of the site cannot be read, and is passed over", "number", fmt.Sprintf("%x", k))
				return nil
			}
			each(binary.BigEndian.Uint64(k), n)
			return nil
		})
	})
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

// drop removes a notice, before long.
func (s *noticeStore) drop(number uint64) { s.change(number, nil) }

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
	if len(changes) == 0 {
		return
	}
	err := s.db.Update(func(tx *bolt.Tx) error {
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
	if err != nil {
		s.log.Warn("notices of the site are not on disk: should the relay be restarted, they have to be announced again", "error", err)
	}
}

func (s *noticeStore) close() error {
	s.once.Do(func() {
		close(s.stop)
		<-s.done
		s.flush()
	})
	return s.db.Close()
}
