package eventlog

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// TestReadersNeverSeeRecordsMove reads, proves and scrubs while records are appended,
// move to segments and the database is written anew.
func TestReadersNeverSeeRecordsMove(t *testing.T) {
	t.Parallel()
	s, err := OpenStore(filepath.Join(t.TempDir(), StoreFile), StoreOptions{Unsynced: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	var head Head
	if err := s.Commit(Commit{Records: chain(t, &head, 20_000)}); err != nil {
		t.Fatal(err)
	}
	want := allOf(t, s)
	var done atomic.Bool
	var readers sync.WaitGroup
	for seed := range uint64(2) {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(seed, 3))
			for !done.Load() {
				from := 1 + r.Uint64N(20_000)
				page, err := s.Read(from, 1+r.IntN(700))
				if err != nil || len(page) == 0 || page[0].Index != from || from <= uint64(len(want)) && page[0].Hash != want[from-1].Hash {
					t.Errorf("read of %d: %d records, %v", from, len(page), err)
					return
				}
			}
		})
	}
	readers.Go(func() {
		for !done.Load() {
			tree, err := s.Tree(s.Head().Index)
			if err == nil {
				_, err = tree.Root()
			}
			if err := errors.Join(err, s.Scrub(t.Context(), 1<<40)); err != nil {
				t.Errorf("scrub: %v", err)
				return
			}
		}
	})
	for head.Index < 40_000 {
		if err := s.Commit(Commit{Records: chain(t, &head, 4000)}); err != nil {
			t.Error(err)
			break
		}
		if _, err := s.Seal(t.Context(), head.Index-1000); err != nil {
			t.Error(err)
			break
		}
		if err := compactNow(s); err != nil {
			t.Error(err)
			break
		}
	}
	done.Store(true)
	readers.Wait()
}

// compactNow does what compact does where there is much to win.
func compactNow(s *Store) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := s.path + compactedSuffix
	if err := s.copyTo(path); err != nil {
		return err
	}
	return s.swap(path)
}

// TestCommitsWhileTheFileIsWrittenAnew appends while the database is written anew: the
// log is whole. It is of use with -race.
func TestCommitsWhileTheFileIsWrittenAnew(t *testing.T) {
	t.Parallel()
	s, err := OpenStore(filepath.Join(t.TempDir(), StoreFile), StoreOptions{Unsynced: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	var head Head
	if err := s.Commit(Commit{Records: chain(t, &head, 100)}); err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	var writer sync.WaitGroup
	writer.Go(func() {
		for !done.Load() {
			if err := s.Commit(Commit{Records: chain(t, &head, 30)}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 20 {
		if err := compactNow(s); err != nil {
			t.Error(err)
			break
		}
	}
	done.Store(true)
	writer.Wait()
	if err := s.Scrub(t.Context(), 1<<40); err != nil || s.Head() != head {
		t.Errorf("the log ends at %d, want %d: %v", s.Head().Index, head.Index, err)
	}
}
