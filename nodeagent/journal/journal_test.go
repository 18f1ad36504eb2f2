package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"

	"quorate/nodeagent/wire"
)

func mustOpen(t testing.TB, dir, boot string) *Journal {
	t.Helper()
	j, err := Open(dir, boot)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func mustAppend(t testing.TB, j *Journal, records ...Record) {
	t.Helper()
	err := j.Append(func(_ *State, add func(Record)) error {
		for _, r := range records {
			add(r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// intended accepts an attempt; its beginning is the report of that number.
func intended(id uint64, jobs uint32, seq uint64) *Intended {
	hash := wire.SpecHash([]byte("spec"))
	return &Intended{Attempt: id, Hash: hash[:], Spec: []byte("spec"), Jobs: jobs, Window: min(jobs, WindowJobs), Seq: seq}
}

func stateOf(j *Journal) (s State) {
	j.View(func(p *State) { s = *p })
	return s
}

// fill makes a journal with something of everything.
func fill(t testing.TB, j *Journal) {
	mustAppend(t, j,
		&EpochRaised{Epoch: 7}, intended(10, 100, 1),
		&JobStarted{Attempt: 10, At: 5}, &ProcessSeen{Attempt: 10, Process: Process{Pid: 4, StartTicks: 9}},
		&JobEnded{Report: wire.Report{Seq: 2, Attempt: 10, Outcome: 1, Stdout: wire.Output{Head: []byte("x"), Size: 1}}},
		intended(11, 1, 3), &JobStarted{Attempt: 11},
		&JobEnded{Report: wire.Report{Seq: 4, Attempt: 11, Outcome: 1}},
		&AttemptEnded{Report: wire.Report{Seq: 5, Attempt: 11, End: true, Outcome: 1}},
		&Forbidden{Report: wire.Report{Seq: 6, Attempt: 12, End: true, Outcome: 5}},
		&Acked{Seq: 4, Floor: 3}, &JobStarted{Attempt: 10, Position: 1})
}

func TestReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := mustOpen(t, dir, "boot")
	fill(t, j)
	want := stateOf(j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if got := stateOf(mustOpen(t, dir, "boot")); !reflect.DeepEqual(got, want) {
		t.Errorf("after reopening\n%+v\nwant\n%+v", got, want)
	}
	if want.Seq != 6 || len(want.reports) != 2 || want.EpochMax != 7 {
		t.Errorf("state %+v", want)
	}
}

func TestCompact(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := mustOpen(t, dir, "boot")
	fill(t, j)
	want := stateOf(j)
	j.compactAt = 0
	if err := j.Compact(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, j, &EpochRaised{Epoch: 9})
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
	want.EpochMax = 9
	if got := stateOf(j); !reflect.DeepEqual(got, want) {
		t.Errorf("after compaction\n%+v\nwant\n%+v", got, want)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if got := stateOf(mustOpen(t, dir, "boot")); !reflect.DeepEqual(got, want) {
		t.Errorf("after compaction and reopening\n%+v\nwant\n%+v", got, want)
	}
}

// TestCompactBounds: acknowledged history does not make the file grow for ever.
func TestCompactBounds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := mustOpen(t, dir, "boot")
	big := wire.Output{Head: bytes.Repeat([]byte("x"), 32<<10), Size: 32 << 10}
	for i := range uint64(1000) {
		id := i + 1
		mustAppend(t, j, intended(id, 1, 3*i+1), &JobStarted{Attempt: id},
			&JobEnded{Report: wire.Report{Seq: 3*i + 2, Attempt: id, Outcome: 1, Stdout: big}},
			&AttemptEnded{Report: wire.Report{Seq: 3*i + 3, Attempt: id, End: true, Outcome: 1}},
			&Acked{Seq: 3*i + 3, Floor: id})
		if err := j.Compact(); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > compactBytesMin+(1<<20) {
		t.Errorf("the file has %d bytes", info.Size())
	}
}

// TestTornTail cuts the file at every byte behind what was synced: what remains is
// a prefix of the records, and nothing is called corrupt.
func TestTornTail(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := mustOpen(t, dir, "boot")
	mustAppend(t, j, &EpochRaised{Epoch: 3})
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
	synced := j.synced - j.base
	mustAppend(t, j, intended(10, 3, 1), &JobStarted{Attempt: 10})
	mustAppend(t, j, &JobEnded{Report: wire.Report{Seq: 2, Attempt: 10, Outcome: 1}})
	data, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	for cut := int(synced); cut <= len(data); cut++ {
		for _, tail := range [][]byte{nil, make([]byte, 100), bytes.Repeat([]byte{0xff}, 50)} {
			s, valid, err := replay(append(bytes.Clone(data[:cut]), tail...))
			if err != nil || valid < synced || s.EpochMax != 3 {
				t.Fatalf("cut at %d: valid %d, %v", cut, valid, err)
			}
		}
	}
	// Pages may reach the disk in any order: a hole in what was not synced is no damage.
	holed := bytes.Clone(data)
	clear(holed[synced+4 : synced+40])
	if s, valid, err := replay(holed); err != nil || valid != synced || s.EpochMax != 3 {
		t.Errorf("hole in the tail: valid %d, %v", valid, err)
	}
}

// TestDamage flips every byte of what was synced: it must never be taken for a
// torn tail, because then an intent could be forgotten.
func TestDamage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := mustOpen(t, dir, "boot")
	mustAppend(t, j, intended(10, 3, 1))
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
	synced := int(j.synced - j.base)
	mustAppend(t, j, &JobStarted{Attempt: 10})
	data, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	for i := range synced {
		bad := bytes.Clone(data)
		bad[i] ^= 0x10
		if _, _, err := replay(bad); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d flipped: %v, want ErrCorrupt", i, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, fileName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, "boot"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("an emptied file: %v, want ErrCorrupt", err)
	}
}

func TestSyncIsShared(t *testing.T) {
	j := mustOpen(t, filepath.Join(t.TempDir(), "journal"), "boot")
	var all sync.WaitGroup
	for i := range uint64(50) {
		all.Go(func() {
			err := j.Commit(func(_ *State, add func(Record)) error { add(&EpochRaised{Epoch: i}); return nil })
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if j.synced != j.appended {
		t.Errorf("synced %d of %d bytes", j.synced, j.appended)
	}
}

// TestBroken: after a record that does not fit, nothing more is accepted.
func TestBroken(t *testing.T) {
	j := mustOpen(t, filepath.Join(t.TempDir(), "journal"), "boot")
	err := j.Append(func(_ *State, add func(Record)) error { add(&JobStarted{Attempt: 1}); return nil })
	if !errors.Is(err, ErrInconsistent) {
		t.Errorf("error %v", err)
	}
	if err := j.Sync(); !errors.Is(err, ErrInconsistent) {
		t.Errorf("error %v", err)
	}
}

func FuzzReplay(f *testing.F) {
	var seed []byte
	for _, r := range []Record{&Summary{JournalID: "j", Version: formatVersion}, &Booted{BootID: "b"}, intended(3, 2, 1), &JobStarted{Attempt: 3}, &Begun{}} {
		seed, _ = appendFrame(seed, r, 0)
	}
	f.Add(seed)
	for _, name := range []string{"version1.log", "version1-rewritten.log"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		_, valid, err := replay(data)
		if err == nil && valid > int64(len(data)) {
			t.Errorf("%d valid bytes of %d", valid, len(data))
		}
		if len(data) > 0 {
			if r, err := decodeRecord(data); err == nil {
				again, err := encodeRecord(r)
				if err != nil || !bytes.Equal(again, data) {
					t.Errorf("%x encodes as %x", data, again)
				}
			}
		}
	})
}

func BenchmarkJobRecords(b *testing.B) {
	j := mustOpen(b, filepath.Join(b.TempDir(), "journal"), "boot")
	mustAppend(b, j, &Intended{Attempt: 1, Jobs: 1 << 30, Window: 1 << 30, Seq: 1})
	n := uint32(0)
	for b.Loop() {
		mustAppend(b, j, &JobStarted{Attempt: 1, Position: n})
		n++
		mustAppend(b, j, &JobEnded{Report: wire.Report{Seq: uint64(n) + 1, Attempt: 1, Outcome: 1}})
		if n%100 == 0 {
			mustAppend(b, j, &Acked{Seq: uint64(n) + 1})
		}
	}
}

// openGolden opens a copy of a journal that an earlier version wrote.
func openGolden(t *testing.T, name string) (dir string, j *Journal) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, fileName), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, mustOpen(t, dir, "boot")
}

// TestEarlierFormat: a journal of the format in which beginnings have no reports
// folds to the same attempts and reports, goes on in the new format, and reports
// what is under way as begun.
func TestEarlierFormat(t *testing.T) {
	for _, name := range []string{"version1.log", "version1-rewritten.log"} {
		t.Run(name, func(t *testing.T) {
			dir, j := openGolden(t, name)
			s := stateOf(j)
			if s.EpochMax != 7 || s.Floor != 3 || s.Acked != 2 || !s.Certain() {
				t.Errorf("state %+v", s)
			}
			open, _ := s.Attempt(10)
			if open.Phase != Intent || open.Jobs != 100 || open.Ended != 1 || !open.Running || open.BeganSeq != 5 {
				t.Errorf("the attempt under way %+v", open)
			}
			var seen []string
			for _, r := range j.ReportsAfter(2, 1<<20) {
				seen = append(seen, fmt.Sprint(r.Seq, r.Attempt, r.Began, r.End))
			}
			if want := []string{"3 11 false true", "4 12 false true", "5 10 true false"}; !slices.Equal(seen, want) {
				t.Errorf("reports %q, want %q", seen, want)
			}
			mustAppend(t, j, intended(13, 1, 6))
			want := stateOf(j)
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			if got := stateOf(mustOpen(t, dir, "boot")); !reflect.DeepEqual(got, want) {
				t.Errorf("after reopening\n%+v\nwant\n%+v", got, want)
			}
		})
	}
}

// TestLaterFormat: a journal of a program to come is not touched.
func TestLaterFormat(t *testing.T) {
	data, err := appendFrame(nil, &Summary{JournalID: "j", Version: formatVersion + 1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := replay(data); err == nil || errors.Is(err, ErrCorrupt) {
		t.Errorf("error %v, want one about the version", err)
	}
}

// TestUnsyncedBeginningsStay: the cluster hears of no beginning and no tombstone
// that a reboot could take from the disk: the journal would look like an older copy.
func TestUnsyncedBeginningsStay(t *testing.T) {
	j := mustOpen(t, filepath.Join(t.TempDir(), "journal"), "boot")
	mustAppend(t, j, intended(10, 2, 1))
	if r := j.ReportsAfter(0, 1<<20); len(r) != 0 {
		t.Errorf("%d reports before the sync", len(r))
	}
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, j, &JobStarted{Attempt: 10}, &JobEnded{Report: wire.Report{Seq: 2, Attempt: 10, Outcome: 1}})
	if r := j.ReportsAfter(0, 1<<20); len(r) != 2 || !r[0].Began || r[1].Began {
		t.Errorf("reports %+v, want the beginning and the end of a job, which needs no sync", r)
	}
	mustAppend(t, j, &Forbidden{Report: wire.Report{Seq: 3, Attempt: 11, End: true, Outcome: 5}})
	if r := j.ReportsAfter(0, 1<<20); len(r) != 2 {
		t.Errorf("%d reports with a tombstone that is not synced", len(r))
	}
	j.compactAt = 0
	if err := j.Compact(); err != nil {
		t.Fatal(err)
	}
	if r := j.ReportsAfter(0, 1<<20); len(r) != 3 {
		t.Errorf("%d reports after the file was rewritten", len(r))
	}
}
