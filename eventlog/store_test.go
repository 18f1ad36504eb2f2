package eventlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// chain makes n records with recognizable data.
func chain(t testing.TB, head *Head, n int) []Record {
	t.Helper()
	var records []Record
	for range n {
		text := fmt.Sprintf("record-%d-%s", head.Index+1, strings.Repeat("x", 100))
		e, err := NewEntry(int64(head.Index), &TaskRecorded{Run: 1, Messages: []string{text}})
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, head.Next(e))
	}
	return records
}

// stored makes a closed store of n records.
func stored(t testing.TB, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log.db")
	s, err := OpenStore(path, StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var head Head
	for left := n; left > 0; left -= 4096 {
		if err := s.Commit(Commit{Records: chain(t, &head, min(left, 4096))}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// edit changes a closed store behind the back of its chain.
func edit(t *testing.T, path string, f func(events, meta *bolt.Bucket) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { return f(tx.Bucket(bucketEvents), tx.Bucket(bucketMeta)) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyNamesTheFirstBadRecord(t *testing.T) {
	get := func(events *bolt.Bucket, i uint64) []byte { return bytes.Clone(events.Get(indexKey(i))) }
	flipAt := func(at int) func(events, _ *bolt.Bucket) error {
		return func(events, _ *bolt.Bucket) error {
			v := get(events, 50)
			v[at] ^= 0x10
			return events.Put(indexKey(50), v)
		}
	}
	tests := []struct {
		name string
		bad  uint64
		edit func(events, meta *bolt.Bucket) error
	}{
		{"time flipped", 50, flipAt(7)},
		{"kind flipped", 50, flipAt(9)},
		{"hash flipped", 50, flipAt(20)},
		{"data flipped", 50, flipAt(recordHeaderBytes + 30)},
		{"dropped", 50, func(events, _ *bolt.Bucket) error { return events.Delete(indexKey(50)) }},
		{"first dropped", 1, func(events, _ *bolt.Bucket) error { return events.Delete(indexKey(1)) }},
		{"last dropped", 100, func(events, _ *bolt.Bucket) error { return events.Delete(indexKey(100)) }},
		{"tail dropped", 90, func(events, _ *bolt.Bucket) error {
			for i := uint64(90); i <= 100; i++ {
				if err := events.Delete(indexKey(i)); err != nil {
					return err
				}
			}
			return nil
		}},
		{"swapped", 50, func(events, _ *bolt.Bucket) error {
			a, b := get(events, 50), get(events, 51)
			return errors.Join(events.Put(indexKey(50), b), events.Put(indexKey(51), a))
		}},
		{"inserted behind the end", 101, func(events, _ *bolt.Bucket) error {
			return events.Put(indexKey(101), get(events, 100))
		}},
		{"repeated in the place of the next", 51, func(events, _ *bolt.Bucket) error {
			return events.Put(indexKey(51), get(events, 50))
		}},
		{"cut to its header", 50, func(events, _ *bolt.Bucket) error {
			return events.Put(indexKey(50), get(events, 50)[:20])
		}},
		{"a new hash for a changed record", 51, func(events, _ *bolt.Bucket) error {
			prev, _ := decodeRecord(indexKey(49), get(events, 49))
			r, _ := decodeRecord(indexKey(50), get(events, 50))
			r.Data[30] ^= 1
			r.Hash = r.chained(prev.Hash)
			return events.Put(indexKey(50), encodeRecord(&r))
		}},
		{"another head", 100, func(_, meta *bolt.Bucket) error {
			h := bytes.Clone(meta.Get(keyHead))
			h[40] ^= 1
			return meta.Put(keyHead, h)
		}},
		{"no head", 0, func(_, meta *bolt.Bucket) error { return meta.Delete(keyHead) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := stored(t, 100)
			if head, _, err := Verify(path); err != nil || head != 100 {
				t.Fatalf("before the change: %d, %v", head, err)
			}
			edit(t, path, tt.edit)
			_, _, err := Verify(path)
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) {
				t.Fatalf("verified: %v", err)
			}
			if corrupt.Index != tt.bad || corrupt.Path != path {
				t.Fatalf("names %d in %s, want %d: %v", corrupt.Index, corrupt.Path, tt.bad, err)
			}
			if s, err := OpenStore(path, StoreOptions{}); err == nil {
				_ = s.Close()
				t.Fatal("opened for writing")
			}
		})
	}
}

// bbolt has no checksum on its pages: damage of any of them must neither panic
// nor pass for the log.
func TestDamagedPagesNeverPanicNorPass(t *testing.T) {
	path := stored(t, 400)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, want, err := Verify(path)
	if err != nil {
		t.Fatal(err)
	}
	used := len(bytes.TrimRight(whole, "\x00"))
	damaged := filepath.Join(t.TempDir(), "damaged.db")
	check := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(damaged, b, 0o600); err != nil {
			t.Fatal(err)
		}
		head, hash, err := Verify(damaged)
		if err == nil && (head != 400 || hash != want) {
			t.Errorf("%s: verified as %d %s", name, head, hash)
		}
	}
	for at := 0; at < used; at += 509 {
		b := bytes.Clone(whole[:used+4096])
		b[at] ^= 0x80
		check(fmt.Sprintf("bit flipped at %d", at), b)
	}
	for at := 0; at < used; at += 4096 {
		b := bytes.Clone(whole[:used+4096])
		clear(b[at:min(at+4096, len(b))])
		check(fmt.Sprintf("page zeroed at %d", at), b)
		check(fmt.Sprintf("cut at %d", at), whole[:at+17])
		copy(b[at:], bytes.Repeat([]byte{0xff}, 64))
		check(fmt.Sprintf("page overwritten at %d", at), b)
	}
}

func TestOpenVerifiesOnlyWhatWasAdded(t *testing.T) {
	path := stored(t, 100)
	s, err := OpenStore(path, StoreOptions{}) // marks 100 as verified
	if err != nil {
		t.Fatal(err)
	}
	head := s.Head()
	if err := s.Commit(Commit{Records: chain(t, &head, 100)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	damage := func(i uint64) {
		edit(t, path, func(events, _ *bolt.Bucket) error {
			v := bytes.Clone(events.Get(indexKey(i)))
			v[recordHeaderBytes+30] ^= 1
			return events.Put(indexKey(i), v)
		})
	}
	damage(10)
	for name, want := range map[string]uint64{"whole": 10, "tail": 0} {
		s, err := OpenStore(path, StoreOptions{VerifyAll: name == "whole", ReadOnly: true})
		var corrupt *CorruptError
		if want == 0 && err != nil || want != 0 && (!errors.As(err, &corrupt) || corrupt.Index != want) {
			t.Errorf("%s: %v", name, err)
		}
		if s != nil {
			_ = s.Close()
		}
	}
	damage(150)
	var corrupt *CorruptError
	if _, err := OpenStore(path, StoreOptions{}); !errors.As(err, &corrupt) || corrupt.Index != 150 {
		t.Errorf("damage behind the mark: %v", err)
	}
}

func TestReadOnlyNeverWrites(t *testing.T) {
	path := stored(t, 50)
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	sum := func() string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%x %v", sha256.Sum256(b), info.ModTime())
	}
	before := sum()
	s, err := OpenStore(path, StoreOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	second, err := OpenStore(path, StoreOptions{ReadOnly: true}) // readers share
	if err != nil {
		t.Fatal(err)
	}
	if page, err := s.Read(1, 100); err != nil || len(page) != 50 {
		t.Errorf("read %d records, %v", len(page), err)
	}
	head := s.Head()
	if err := s.Commit(Commit{Records: chain(t, &head, 1)}); err == nil {
		t.Error("a read-only store took a commit")
	}
	if err := errors.Join(s.Close(), second.Close()); err != nil {
		t.Fatal(err)
	}
	if after := sum(); after != before {
		t.Errorf("the file changed: %s, was %s", after, before)
	}
	missing := filepath.Join(t.TempDir(), "none.db")
	if _, err := OpenStore(missing, StoreOptions{ReadOnly: true}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := os.Stat(missing); !errors.Is(err, os.ErrNotExist) {
		t.Error("reading made a file")
	}
}

// A copy of the file of a running process is what a crash would leave.
func TestCopyOfALiveStoreReads(t *testing.T) {
	dir := t.TempDir()
	log, err := OpenEmbedded(dir)
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEntry(1, &ClusterCreated{ClusterID: "c1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(t.Context(), []Entry{e}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, StoreFile)
	_, err = OpenStore(path, StoreOptions{ReadOnly: true})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), path) {
		t.Errorf("opened beside its owner: %v", err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dup := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(dup, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if head, _, err := Verify(dup); err != nil || head != 1 {
		t.Errorf("copy: %d, %v", head, err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := OpenStore(path, StoreOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if s.ClusterID() != "c1" {
		t.Errorf("cluster id %q", s.ClusterID())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFullStoreRefusesAndStaysIntact(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	s, err := OpenStore(path, StoreOptions{BytesMax: 18 << 20})
	if err != nil {
		t.Fatal(err)
	}
	log := newEmbedded(s)
	big, err := NewEntry(1, &TaskRecorded{Messages: []string{strings.Repeat("x", 1<<20)}})
	if err != nil {
		t.Fatal(err)
	}
	taken := uint64(0)
	for ; taken < 100; taken++ {
		if _, err = log.Append(t.Context(), []Entry{big}); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("after %d MiB: %v", taken, err)
	}
	if index, _ := log.Head(); index != taken {
		t.Errorf("the log ends at %d, %d were taken", index, taken)
	}
	small, err := NewEntry(1, &TaskRecorded{})
	if err != nil {
		t.Fatal(err)
	}
	if first, err := log.Append(t.Context(), []Entry{small}); err == nil && first != taken+1 {
		t.Errorf("what still fits got index %d behind %d", first, taken)
	} else if err != nil && !errors.Is(err, ErrFull) {
		t.Errorf("a small append: %v", err)
	}
	end, _ := log.Head()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if head, _, err := Verify(path); err != nil || head != end {
		t.Errorf("verified %d of %d, %v", head, end, err)
	}
}

func TestCommitRefusesAHole(t *testing.T) {
	s, err := OpenStore(filepath.Join(t.TempDir(), "log.db"), StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var head Head
	records := chain(t, &head, 3)
	if err := s.Commit(Commit{Records: records[1:]}); err == nil {
		t.Error("record 2 was stored behind nothing")
	}
	if err := s.Commit(Commit{Records: records, Applied: 9, Side: []SideValue{{[]byte("k"), []byte("v")}}}); err != nil {
		t.Error(err)
	}
	if side, err := s.Side(); err != nil || len(side) != 1 || string(side[0].Value) != "v" || s.Applied() != 9 {
		t.Errorf("side %v, applied %d, %v", side, s.Applied(), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(Commit{Applied: 10}); !errors.Is(err, ErrClosed) {
		t.Errorf("commit after close: %v", err)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	path := stored(t, 1)
	edit(t, path, func(_, meta *bolt.Bucket) error {
		return meta.Put(keyFormat, binary.BigEndian.AppendUint16(nil, formatSegmented+1))
	})
	if _, err := OpenStore(path, StoreOptions{}); err == nil || !strings.Contains(err.Error(), "format 3") {
		t.Fatalf("opened a newer format: %v", err)
	}
}

func BenchmarkVerify(b *testing.B) {
	path := stored(b, 100_000)
	for b.Loop() {
		if _, _, err := Verify(path); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkRead(b *testing.B) {
	s, err := OpenStore(stored(b, 100_000), StoreOptions{ReadOnly: true})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for next := uint64(1); next <= 100_000; {
			page, err := s.Read(next, 1000)
			if err != nil {
				b.Fatal(err)
			}
			next += uint64(len(page))
		}
	}
	b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
