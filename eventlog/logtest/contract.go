// Package logtest is the contract of a log as tests. One suite runs against
// every implementation, so that the engine need not know which it has.
package logtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"quorate/eventlog"
)

// Log is what the engine needs of a log, and its end.
type Log interface {
	Append(ctx context.Context, entries []eventlog.Entry) (first uint64, err error)
	Read(ctx context.Context, from uint64, limit int) ([]eventlog.Record, error)
	Wait(ctx context.Context, index uint64) error
	Head() (uint64, eventlog.Hash)
	Barrier(ctx context.Context) error
	Leading() (term uint64, leading bool, changed <-chan struct{})
	Close() error
}

// A Subject is an implementation under test.
type Subject struct {
	// Open opens the log in a directory, and again after it was closed.
	Open func(tb testing.TB, dir string) Log
	// Durable says that what was appended is there after Open.
	Durable bool
}

// deadline bounds every step of a test that could hang.
const deadline = 20 * time.Second

// Run runs the contract.
func Run(t *testing.T, s Subject) {
	tests := []struct {
		name string
		run  func(*testing.T, Subject)
	}{
		{"records follow each other in order", testOrder},
		{"a batch stays together under concurrency", testBatches},
		{"the chain and the head agree", testChain},
		{"reads page through everything", testPages},
		{"wait returns when the record is there", testWait},
		{"time never runs backwards", testTime},
		{"what is too large is refused", testRefusal},
		{"the caller may reuse its buffers", testBuffers},
		{"a dead context appends nothing", testContext},
		{"one process leads", testLeading},
		{"close ends what waits", testClose},
		{"a log opens again where it ended", testReopen},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, s) })
	}
}

func (s Subject) open(t *testing.T) (Log, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	log := s.Open(t, t.TempDir())
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return log, ctx
}

// Entry returns an entry that carries a text.
func Entry(tb testing.TB, now int64, text string) eventlog.Entry {
	tb.Helper()
	e, err := eventlog.NewEntry(now, &eventlog.TaskRecorded{Run: 1, Messages: []string{text}})
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func textOf(tb testing.TB, r eventlog.Record) string {
	tb.Helper()
	e, err := eventlog.Decode(r.Kind, r.Data)
	if err != nil {
		tb.Fatal(err)
	}
	return e.(*eventlog.TaskRecorded).Messages[0]
}

func mustAppend(t *testing.T, ctx context.Context, log Log, entries ...eventlog.Entry) uint64 {
	t.Helper()
	first, err := log.Append(ctx, entries)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return first
}

// ReadAll reads the whole log in pages and checks indexes, times and the chain.
func ReadAll(tb testing.TB, ctx context.Context, log Log, limit int) []eventlog.Record {
	tb.Helper()
	index, hash := log.Head()
	var all []eventlog.Record
	var head eventlog.Head
	for uint64(len(all)) < index {
		page, err := log.Read(ctx, uint64(len(all))+1, limit)
		if err != nil || len(page) == 0 || len(page) > limit {
			tb.Fatalf("read from %d of %d: %d records, %v", len(all)+1, index, len(page), err)
		}
		for _, r := range page {
			want := head.Next(eventlog.Entry{Time: r.Time, Kind: r.Kind, Data: r.Data})
			if r.Index != want.Index || r.Time != want.Time || r.Hash != want.Hash {
				tb.Fatalf("record %d (time %d, hash %s) where %d (time %d, hash %s) follows",
					r.Index, r.Time, r.Hash, want.Index, want.Time, want.Hash)
			}
			if r.Index == index && r.Hash != hash {
				tb.Fatalf("the head's hash is %s, the record's %s", hash, r.Hash)
			}
		}
		all = append(all, page...)
	}
	return all
}

func testOrder(t *testing.T, s Subject) {
	log, ctx := s.open(t)
	if index, hash := log.Head(); index != 0 || hash != (eventlog.Hash{}) {
		t.Fatalf("a new log ends at %d, %s", index, hash)
	}
	for i := range 5 {
		if first := mustAppend(t, ctx, log, Entry(t, int64(i), fmt.Sprint(i))); first != uint64(i+1) {
			t.Fatalf("append %d got index %d", i, first)
		}
	}
	for i, r := range ReadAll(t, ctx, log, 100) {
		if textOf(t, r) != fmt.Sprint(i) {
			t.Fatalf("record %d says %s", r.Index, textOf(t, r))
		}
	}
}

func testBatches(t *testing.T, s Subject) {
	log, ctx := s.open(t)
	const writers, batches, size = 8, 20, 5
	firsts := make([][]uint64, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for b := range batches {
				var entries []eventlog.Entry
				for i := range size {
					entries = append(entries, Entry(t, 1, fmt.Sprintf("%d %d %d", w, b, i)))
				}
				first, err := log.Append(ctx, entries)
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				firsts[w] = append(firsts[w], first)
			}
		})
	}
	wg.Wait()
	all := ReadAll(t, ctx, log, 37)
	if len(all) != writers*batches*size {
		t.Fatalf("%d records of %d", len(all), writers*batches*size)
	}
	for w := range firsts {
		for b, first := range firsts[w] {
			for i := range size {
				if got, want := textOf(t, all[int(first)-1+i]), fmt.Sprintf("%d %d %d", w, b, i); got != want {
					t.Fatalf("record %d says %q, want %q", int(first)+i, got, want)
				}
			}
			if b > 0 && first <= firsts[w][b-1] {
				t.Fatalf("writer %d: batch %d at %d, the one before at %d", w, b, first, firsts[w][b-1])
			}
		}
	}
}

func testChain(t *testing.T, s Subject) {
	log, ctx := s.open(t)
	var want eventlog.Head
	for i := range 20 {
		e := Entry(t, int64(100+i), fmt.Sprint(i))
		want.Next(e)
		mustAppend(t, ctx, log, e)
		if index, hash := log.Head(); index != want.Index || hash != want.Hash {
			t.Fatalf("head %d %s, want %d %s", index, hash, want.Index, want.Hash)
		}
	}
}

func testPages(t *testing.T, s Subject) {
	log, ctx := s.open(t)
	var entries []eventlog.Entry
	for i := range 50 {
		entries = append(entries, Entry(t, 1, fmt.Sprint(i)))
	}
	mustAppend(t, ctx, log, entries...)
	for _, limit := range []int{1, 7, 50, 1000} {
		if n := len(ReadAll(t, ctx, log, limit)); n != 50 {
			t.Fatalf("pages of %d gave %d records", limit, n)
		}
	}
	for _, beyond := range []uint64{51, 52, 1 << 60} {
		if page, err := log.Read(ctx, beyond, 10); err != nil || len(page) != 0 {
			t.Fatalf("read of %d beyond the end: %d records, %v", beyond, len(page), err)
		}
	}
	if page, err := log.Read(ctx, 1, 0); err != nil || len(page) != 0 {
		t.Fatalf("read of no records: %d, %v", len(page), err)
	}
	if page, err := log.Read(ctx, 0, 1); err != nil || len(page) != 1 || page[0].Index != 1 {
		t.Fatalf("read from 0 starts at the first record: %v, %v", page, err)
	}
}

func testWait(t *testing.T, s Subject) {
	log, ctx := s.open(t)
	waited := make(chan error, 1)
	go func() { waited <- log.Wait(ctx, 2) }()
	mustAppend(t, ctx, log, Entry(t, 1, "a"))
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if err := log.Wait(short, 2); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("wait for a record that is not there: %v", err)
	}
	select {
	case err := <-waited:
		t.Fatalf("wait for 2 returned %v at 1", err)
	default:
	}
	mustAppend(t, ctx, log, Entry(t, 1, "b"))
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	if err := log.Wait(ctx, 1); err != nil {
		t.Fatalf("wait for a record of the past: %v", err)
	}
	if page, err := log.Read(ctx, 2, 1); err != nil || len(page) != 1 {
		t.Fatalf("read after wait: %d records, %v", len(page), err)
	}
}

func testTime(t *testing.T, s Subject) {
	log, ctx := s.open(t)
	mustAppend(t, ctx, log, Entry(t, 100, "a"), Entry(t, 50, "b"), Entry(t, 200, "c"))
	mustAppend(t, ctx, log, Entry(t, 1, "d"))
	want := []int64{100, 100, 200, 200}
	for i, r := range ReadAll(t, ctx, log, 10) {
		if r.Time != want[i] {
			t.Errorf("record %d at %d, want %d", r.Index, r.Time, want[i])
		}
	}
}

func testRefusal(t *testing.T, s Subject) {
	log, ctx := s.open(t)
	kind := eventlog.KindTaskRecorded
	half := eventlog.Entry{Kind: kind, Data: make([]byte, eventlog.EntryBytesMax)}
	for name, entries := range map[string][]eventlog.Entry{
		"nothing":      nil,
		"long entry":   {{Kind: kind, Data: make([]byte, eventlog.EntryBytesMax+1)}},
		"long batch":   {half, half},
		"many entries": make([]eventlog.Entry, eventlog.BatchEntriesMax+1),
		"unknown kind": {{Kind: 9999, Data: []byte{0x90}}},
	} {
		if _, err := log.Append(ctx, entries); !errors.Is(err, eventlog.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if first := mustAppend(t, ctx, log, Entry(t, 1, "a")); first != 1 {
		t.Fatalf("after refusals the next index is %d", first)
	}
}

func testBuffers(t *testing.T, s Subject) {
	log, ctx := s.open(t)
	e := Entry(t, 1, "mine")
	mustAppend(t, ctx, log, e)
	clear(e.Data)
	if got := textOf(t, ReadAll(t, ctx, log, 1)[0]); got != "mine" {
		t.Fatalf("the log holds %q", got)
	}
}

func testContext(t *testing.T, s Subject) {
	log, ctx := s.open(t)
	dead, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := log.Append(dead, []eventlog.Entry{Entry(t, 1, "a")}); !errors.Is(err, context.Canceled) {
		t.Fatalf("append: %v", err)
	}
	if _, err := log.Read(dead, 1, 1); !errors.Is(err, context.Canceled) {
		t.Fatalf("read: %v", err)
	}
	if err := log.Wait(dead, 1); !errors.Is(err, context.Canceled) {
		t.Fatalf("wait: %v", err)
	}
	if first := mustAppend(t, ctx, log, Entry(t, 1, "b")); first != 1 {
		t.Fatalf("the dead append took index 1, the next got %d", first)
	}
}

func testLeading(t *testing.T, s Subject) {
	log, ctx := s.open(t)
	for {
		term, leading, changed := log.Leading()
		if leading {
			if term == 0 {
				t.Fatal("leading in term 0")
			}
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatal("a log of one process does not lead")
		}
	}
}

func testClose(t *testing.T, s Subject) {
	log, ctx := s.open(t)
	mustAppend(t, ctx, log, Entry(t, 1, "a"))
	waited := make(chan error, 1)
	go func() { waited <- log.Wait(ctx, 100) }()
	var wg sync.WaitGroup
	started := make(chan struct{}, 4)
	for range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				if _, err := log.Append(ctx, []eventlog.Entry{Entry(t, 1, "x")}); err != nil {
					return // ends with the log
				}
				if i == 0 {
					started <- struct{}{}
				}
				if i > 1_000_000 {
					t.Error("appends go on after close")
					return
				}
			}
		})
	}
	<-started
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	<-waited // with the record or with the log's end
	if _, err := log.Append(ctx, []eventlog.Entry{Entry(t, 1, "x")}); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
	if _, err := log.Read(ctx, 1, 1); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
	if err := log.Wait(ctx, 1<<40); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("wait after close: %v", err)
	}
	if err := ctx.Err(); err != nil {
		t.Errorf("close took too long: %v", err)
	}
}

func testReopen(t *testing.T, s Subject) {
	if !s.Durable {
		t.Skip("the log lives in memory")
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	var want []eventlog.Record
	for round := range 3 {
		log := s.Open(t, dir)
		got := ReadAll(t, ctx, log, 1000)
		if len(got) != len(want) {
			t.Fatalf("round %d: %d records, want %d", round, len(got), len(want))
		}
		for i := range want {
			if got[i].Hash != want[i].Hash {
				t.Fatalf("round %d: record %d changed", round, i+1)
			}
		}
		for i := range 10 {
			mustAppend(t, ctx, log, Entry(t, int64(i), fmt.Sprint(round, i)), Entry(t, 1, "second"))
		}
		want = ReadAll(t, ctx, log, 1000)
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
