package facts

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	bolt "go.etcd.io/bbolt"

	"quorate/internal/pyvalue"
)

// TestOverlap: a job of one run that was under way while another run's attempt made it due
// has perhaps not seen what changed, and runs again, in that attempt or a later one.
func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		name  string
		newer func(s *Store, id uint64) *walk // what the newer run does before the older one's job ends
	}{
		{"by a required task", func(s *Store, id uint64) *walk {
			begin(t, s, "conf", id-1).do("F+").well()
			return begin(t, s, "t", id, "conf").do("F a")
		}},
		{"by a file of the task", func(s *Store, id uint64) *walk { return begin(t, s, "t", id, "conf").do("F+ a") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := opened(t)
			begin(t, s, "conf", 1).do("F+").well()
			begin(t, s, "t", 2, "conf").do("F a b c").well()
			begin(t, s, "conf", 3).do("F+").well()
			older := begin(t, s, "t", 4, "conf").do("F a")
			newer := c.newer(s, 6)
			older.do("b").well()
			newer.failed()
			if ran, _ := begin(t, s, "t", 8, "conf").do("F a b c").well(); !strings.HasSuffix(ran, "bc") {
				t.Errorf("%q runs behind a newer attempt that failed", ran)
			}
			older = begin(t, s, "t", 10, "conf").do("F+ a")
			newer = c.newer(s, 12)
			older.do("b")
			if ran, _ := newer.do("b c").well(); !strings.HasSuffix(ran, "bc") {
				t.Errorf("%q runs in the newer attempt", ran)
			}
		})
	}
}

// TestOverlapAndCrash: notes of attempts that were beside each other do not tell which of
// them came first to what, and records may be on disk between two of them.
func TestOverlapAndCrash(t *testing.T) {
	s := opened(t)
	begin(t, s, "t", 2).do("F a").well()
	begin(t, s, "then", 3, "t").do("a").well()
	c, err := s.Begin("t", 4, 0, nil, nil, NotBegun)
	if err != nil {
		t.Fatal(err)
	}
	begin(t, s, "t", 6).do("F+ a").well()
	begin(t, s, "then", 7, "t").do("a").well()
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	older, err := c.Ended(Ending{Changed: true})
	if err != nil {
		t.Fatal(err)
	}
	c.End(EndedOtherwise)
	s.mu.Lock()
	s.forgetSteps() // what is not on disk
	s.mu.Unlock()
	if _, err := s.Recollect("t", 4, [][]byte{older}, false); err != nil {
		t.Fatal(err)
	}
	if ran, _ := begin(t, s, "then", 8, "t").do("a").well(); ran != "a" {
		t.Errorf("%q runs of what requires a task whose file an older attempt changed last", ran)
	}
	if err := s.Confuse("t"); err != nil {
		t.Fatal(err)
	}
	ran, _ := begin(t, s, "t", 10).do("F a").well()
	then, _ := begin(t, s, "then", 11, "t").do("a").well()
	if !slices.Equal([]string{ran, then}, []string{"a", "a"}) {
		t.Errorf("%q and %q run", ran, then)
	}
}

// TestResumedBehindNewer: a job that an older agent began, and that goes on, may have begun
// before a newer attempt made it due.
func TestResumedBehindNewer(t *testing.T) {
	s := opened(t)
	begin(t, s, "t", 2).do("F a").well()
	begin(t, s, "t", 6).do("F+ a!").failed()
	c, err := s.Begin("t", 4, 0, nil, nil, BegunAndNoted)
	if err != nil {
		t.Fatal(err)
	}
	w := &walk{t: t, s: s, c: c, id: 4, job: 1}
	w.do("a").well()
	if ran, _ := begin(t, s, "t", 8).do("F a").well(); ran != "a" {
		t.Errorf("%q runs", ran)
	}
}

// Other jobs write to the memory while steps end: what is read of a step again is what
// became of it last, and not what an earlier of those writes has had of it.
func TestWritesBesideEnds(t *testing.T) {
	s := fresh(t)
	done := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(done)
	for i := range 4 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				if _, _, err := s.SetArg(fmt.Sprint("arg", i), pyvalue.Int(n), false, Origin{}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for id := uint64(2); id <= 800; id += 2 {
		jobs := []string{"a b", "c d"}[id/2%2]
		begin(t, s, "t", id).do(jobs).well()
		if again, _ := begin(t, s, "t", id+1).do(jobs).well(); again != "" {
			t.Fatalf("behind attempt %d, which ended well, %q runs again", id, again)
		}
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		if st := recordOf(t, s, "t"); st.unwritten || st.Attempt < id {
			t.Fatalf("behind attempt %d the file has %+v", id, st.record)
		}
	}
}

// TestResumedBehindInputs: a job that goes on may have begun before what the step requires
// came to something else.
func TestResumedBehindInputs(t *testing.T) {
	s := opened(t)
	begin(t, s, "r", 1).do("F+").well()
	begin(t, s, "t", 2, "r").do("a").well()
	begin(t, s, "t", 4, "r")
	begin(t, s, "r", 6).do("F+").well()
	c, err := s.Begin("t", 4, 0, []string{"r"}, nil, Begun)
	if err != nil {
		t.Fatal(err)
	}
	w := &walk{t: t, s: s, c: c, id: 4}
	w.do("a").well()
	first, _ := begin(t, s, "t", 8, "r").do("a").well()
	second, _ := begin(t, s, "t", 10, "r").do("a").well()
	if first != "a" || second != "" {
		t.Errorf("%q and then %q runs", first, second)
	}
}

// TestUnknownBesideNewer: what an attempt that nobody can tell about may have changed makes
// jobs due, also where a newer one was beside it, and does so once.
func TestUnknownBesideNewer(t *testing.T) {
	s := opened(t)
	begin(t, s, "t", 2).do("F a").well()
	begin(t, s, "t", 6).do("F+ a").well()
	ran := func(attempt uint64) string {
		t.Helper()
		if _, err := s.Recollect("t", 4, nil, true); err != nil {
			t.Fatal(err)
		}
		ran, _ := begin(t, s, "t", attempt).do("F a").well()
		return ran
	}
	if first, second := ran(8), ran(10); first != "a" || second != "" {
		t.Errorf("%q and then %q runs behind an attempt of unknown outcome", first, second)
	}
	begin(t, s, "t", 11).do("F").c.End(EndedUnknown)
	begin(t, s, "t", 12).do("F a").well()
	if _, err := s.Recollect("t", 11, nil, true); err != nil {
		t.Fatal(err)
	}
	if ran, _ := begin(t, s, "t", 13).do("F a").well(); ran != "" {
		t.Errorf("%q runs once more for what is known", ran)
	}
}

// A step that begins while an eviction waits for its turn to write does not take up again
// what the eviction forgets.
func TestBeginBesideEviction(t *testing.T) {
	s := opened(t)
	begin(t, s, "t", 2).do("a b").well()
	begin(t, s, "other", 3).do("a").well()
	other := begin(t, s, "other", 4)
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	writing, write := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.update(func(*bolt.Tx) error { close(writing); <-write; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-writing
	wg.Go(func() {
		if _, err := s.Evict("jobs"); err != nil {
			t.Error(err)
		}
	})
	for known := true; known; runtime.Gosched() { // until it has begun
		s.mu.Lock()
		known = other.c.state.known
		s.mu.Unlock()
	}
	w := begin(t, s, "t", 6)
	close(write)
	wg.Wait()
	if ran, _ := w.do("a b").well(); ran != "ab" {
		t.Errorf("%q runs behind the eviction", ran)
	}
	if ran, _ := begin(t, s, "t", 8).do("a b").well(); ran != "" {
		t.Errorf("%q runs again", ran)
	}
}
