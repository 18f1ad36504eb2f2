package raft

import (
	"testing"

	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/dragonboat/v4/raftpb"
	"pgregory.net/rapid"
)

// TestRecentKnowsTerms: whatever is overwritten, a term that is told is the one
// that was saved last.
func TestRecentKnowsTerms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r recent
		want := map[uint64]uint64{}
		last, term := uint64(0), uint64(1)
		for range rapid.IntRange(1, 30).Draw(t, "saves") {
			term += rapid.Uint64Range(0, 2).Draw(t, "terms later")
			first := last + 1 - rapid.Uint64Range(0, min(last, 5)).Draw(t, "overwritten")
			if rapid.IntRange(0, 9).Draw(t, "snapshot") == 0 {
				first = last + 10
				clear(want)
				r.reset()
			}
			var entries []raftpb.Entry
			for i := range rapid.Uint64Range(1, 5).Draw(t, "entries") {
				entries = append(entries, raftpb.Entry{Index: first + i, Term: term})
			}
			for i := first; i <= last; i++ {
				delete(want, i)
			}
			for _, e := range entries {
				want[e.Index], last = e.Term, e.Index
			}
			r.saved(entries)
			for i := uint64(0); i < last+3; i++ {
				got, known := r.term(i)
				if known != (want[i] != 0) || got != want[i] {
					t.Fatalf("entry %d is of term %d, %v; want %d", i, got, known, want[i])
				}
			}
		}
	})
}

// countedLog is a log of ten entries that counts its reads.
type countedLog struct {
	raftio.ILogDB
	bytes, reads int
}

func (c *countedLog) IterateEntries(entries []raftpb.Entry, size, _, _, low, high, limit uint64) ([]raftpb.Entry, uint64, error) {
	c.reads++
	for i := low; i < min(high, 11); i++ {
		entries = append(entries, raftpb.Entry{Index: i, Term: 3, Cmd: make([]byte, c.bytes)})
		if size += uint64(entries[len(entries)-1].SizeUpperLimit()); limit > 0 && size > limit {
			break
		}
	}
	return entries, size, nil
}

// TestFewBytesAreReadToBeSent: the library asks for 64 MiB of entries, and takes
// what ends before both its limits for a hole in the log.
func TestFewBytesAreReadToBeSent(t *testing.T) {
	const asked = 64 << 20
	db := &countedLog{bytes: 1 << 20}
	l := &guardedLog{ILogDB: db, guard: &guard{replica: 1}, recent: &recent{}}
	entries, size, err := l.IterateEntries(nil, 0, controlShard, 1, 1, 11, asked)
	if err != nil || len(entries) == 0 || len(entries) > 5 || size <= asked {
		t.Errorf("%d entries of 1 MiB, size %d, %v", len(entries), size, err)
	}
	if entries, size, err = l.IterateEntries(nil, 0, controlShard, 1, 9, 11, asked); err != nil || len(entries) != 2 || size > asked {
		t.Errorf("the last two are %d, size %d, %v", len(entries), size, err)
	}

	*db = countedLog{bytes: 6 << 20}
	for range 3 {
		if entries, size, err = l.IterateEntries(nil, 0, controlShard, 1, 4, 11, asked); err != nil || len(entries) != 1 || entries[0].Index != 4 || size <= asked {
			t.Errorf("%d entries of 6 MiB, size %d, %v", len(entries), size, err)
		}
	}
	if db.reads != 1 {
		t.Errorf("a large entry was read %d times", db.reads)
	}
	l.recent.saved([]raftpb.Entry{{Index: 4, Term: 5}})
	if entries, _, err = l.IterateEntries(nil, 0, controlShard, 1, 4, 5, 0); err != nil || len(entries) != 1 || entries[0].Term != 5 || db.reads != 1 {
		t.Errorf("the term of an entry that was overwritten is %v, %v", entries, err)
	}
	if _, _, err = l.IterateEntries(nil, 0, controlShard, 1, 4, 11, asked); err != nil || db.reads != 2 {
		t.Error("an entry that was overwritten is read from memory")
	}
}
