package eventlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// scrubbed makes a store of records whose data can be found in the file.
func scrubbed(t *testing.T, records int) *Store {
	t.Helper()
	s, err := OpenStore(filepath.Join(t.TempDir(), StoreFile), StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	var c Commit
	at := s.Head()
	for i := range records {
		c.Records = append(c.Records, at.Next(Entry{Time: int64(i), Kind: 1, Data: fmt.Appendf(nil, "<%d>%0200d", i+1, 0)}))
	}
	if err := s.Commit(c); err != nil {
		t.Fatal(err)
	}
	return s
}

// flipRecord flips a bit of a record's data in the file of an open store.
func flipRecord(t *testing.T, s *Store, index int) {
	t.Helper()
	b, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, fmt.Appendf(nil, "<%d>0", index))
	if at < 0 {
		t.Fatalf("record %d is not in the file", index)
	}
	f, err := os.OpenFile(s.Path(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte{b[at+5] ^ 4}, int64(at+5))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestScrubNamesTheFirstDamagedRecord(t *testing.T) {
	s := scrubbed(t, 3000)
	if err := s.Scrub(t.Context(), 1<<40); err != nil {
		t.Fatal(err)
	}
	for _, index := range []int{2999, 1234, 2} {
		flipRecord(t, s, index)
		err := s.Scrub(t.Context(), 1<<40)
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.Index != uint64(index) {
			t.Fatalf("record %d flipped: %v", index, err)
		}
	}
}

func TestScrubKeepsItsPaceAndEndsWhenTold(t *testing.T) {
	s := scrubbed(t, 3000) // some 700 KiB: three pages
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Scrub(ctx, 1<<10); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("scrub at 1 KiB a second: %v", err)
	}
}

// What was scrubbed is not verified again by the next start, which takes long with
// many records: damage in it is for the next scrub.
func TestOpenVerifiesWhatCameAfterTheLastScrub(t *testing.T) {
	s := scrubbed(t, 3000)
	if err := s.Scrub(t.Context(), 1<<40); err != nil {
		t.Fatal(err)
	}
	flipRecord(t, s, 1234)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenStore(s.Path(), StoreOptions{})
	if err != nil {
		t.Fatalf("opened behind the mark: %v", err)
	}
	at := again.Head()
	var c Commit
	for i := 3000; i < 3100; i++ {
		c.Records = append(c.Records, at.Next(Entry{Time: int64(i), Kind: 1, Data: fmt.Appendf(nil, "<%d>%0200d", i+1, 0)}))
	}
	if err := again.Commit(c); err != nil {
		t.Fatal(err)
	}
	flipRecord(t, again, 3050)
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	if third, err := OpenStore(s.Path(), StoreOptions{}); !errors.As(err, &corrupt) || corrupt.Index != 3050 {
		if third != nil {
			_ = third.Close()
		}
		t.Fatalf("opened: %v", err)
	}
}

func TestMarksStayWithTheStore(t *testing.T) {
	s := scrubbed(t, 1)
	if s.Marked("one") {
		t.Fatal("marked from the beginning")
	}
	if err := s.Mark("one"); err != nil {
		t.Fatal(err)
	}
	if !s.Marked("one") || s.Marked("two") {
		t.Fatal("the wrong marks")
	}
}
