package eventlog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// sealedStore makes an open store of n records of which those up to an index are in
// segments, with all records as they were before.
func sealedStore(t testing.TB, n int, to uint64) (*Store, []Record) {
	t.Helper()
	s, err := OpenStore(stored(t, n), StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	before := allOf(t, s)
	if _, err := s.Seal(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	return s, before
}

func allOf(t testing.TB, s *Store) (all []Record) {
	t.Helper()
	for {
		page, err := s.Read(uint64(len(all))+1, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
	}
}

func sameRecords(t testing.TB, got, want []Record) {
	t.Helper()
	equal := func(a, b Record) bool {
		return a.Index == b.Index && a.Time == b.Time && a.Kind == b.Kind && a.Hash == b.Hash && bytes.Equal(a.Data, b.Data)
	}
	if !slices.EqualFunc(got, want, equal) {
		t.Fatalf("%d records, want %d, or others", len(got), len(want))
	}
}

// TestReadsAreTheSame compares whatever can be asked of a log, wherever it lies.
func TestReadsAreTheSame(t *testing.T) {
	t.Parallel()
	const n = 21_000
	plain, err := OpenStore(stored(t, n), StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plain.Close() })
	for _, to := range []uint64{0, 4095, 4096, 5000, 16384, 20_900, n} {
		t.Run(fmt.Sprint(to), func(t *testing.T) {
			t.Parallel()
			s, before := sealedStore(t, n, to)
			if last := s.Sealed(); last > to || to >= segmentRecordsMin && to-last >= segmentRecordsMin+blockRecords {
				t.Fatalf("sealed up to %d, want %d", last, to)
			}
			sameRecords(t, allOf(t, s), before)
			r := rand.New(rand.NewPCG(1, to))
			for range 200 {
				from, limit := r.Uint64N(n+10), r.IntN(600)
				got, err := s.Read(from, limit)
				want, err2 := plain.Read(from, limit)
				if err := errors.Join(err, err2); err != nil {
					t.Fatal(err)
				}
				sameRecords(t, got, want)
			}
			for range 10 {
				sameTrees(t, s, plain, 1+r.Uint64N(n))
			}
			if err := s.Scrub(t.Context(), 1<<40); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			head, hash, err := Verify(s.Path())
			if want := before[n-1]; err != nil || head != n || hash != want.Hash {
				t.Fatalf("verified to %d: %v", head, err)
			}
		})
	}
}

func sameTrees(t *testing.T, a, b *Store, size uint64) {
	t.Helper()
	prove := func(s *Store) []Hash {
		tree, err := s.Tree(size)
		if err != nil {
			t.Fatal(err)
		}
		root, err := tree.Root()
		if err != nil {
			t.Fatal(err)
		}
		older, err := tree.ProveTree(size / 3)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Concat([]Hash{root}, older)
	}
	if !slices.Equal(prove(a), prove(b)) {
		t.Fatalf("the trees over %d records differ", size)
	}
}

// TestLogGoesOnBehindSegments opens a store again and again, and appends to it.
func TestLogGoesOnBehindSegments(t *testing.T) {
	t.Parallel()
	path := stored(t, 100)
	var want []Record
	for round := range 6 {
		s, err := OpenStore(path, StoreOptions{VerifyAll: round%2 == 1})
		if err != nil {
			t.Fatal(err)
		}
		head := s.Head()
		if err := s.Commit(Commit{Records: chain(t, &head, 3000)}); err != nil {
			t.Fatal(err)
		}
		want = allOf(t, s)
		last, err := s.Seal(t.Context(), head.Index-100)
		if err != nil {
			t.Fatal(err)
		}
		sameRecords(t, allOf(t, s), want)
		z, err := s.Sizes()
		if err != nil || z.Live != head.Index-last || z.Sealed != last || round == 5 && z.Segments < 3 {
			t.Errorf("%+v, %v", z, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLargeRecords fill segments and chunks before their records do.
func TestLargeRecords(t *testing.T) {
	t.Parallel()
	alone(t)
	s, err := OpenStore(filepath.Join(t.TempDir(), StoreFile), StoreOptions{Unsynced: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := rand.NewChaCha8([32]byte{1})
	var head Head
	for range 1024 {
		data := make([]byte, 40<<10)
		_, _ = r.Read(data)
		if head.Index == 300 {
			data = make([]byte, EntryBytesMax)
			_, _ = r.Read(data)
		}
		if err := s.Commit(Commit{Records: []Record{head.Next(Entry{Time: 1, Kind: 9, Data: data})}}); err != nil {
			t.Fatal(err)
		}
	}
	want := allOf(t, s)
	if last, err := s.Seal(t.Context(), 1024); err != nil || last != 1024 {
		t.Fatal(last, err)
	}
	if z, err := s.Sizes(); err != nil || z.Segments != 2 {
		t.Errorf("%+v, %v", z, err)
	}
	sameRecords(t, allOf(t, s), want)
}

// TestReplacedLogHasNoSegments puts a whole log in the place of one with segments.
func TestReplacedLogHasNoSegments(t *testing.T) {
	t.Parallel()
	s, want := sealedStore(t, 9000, 8192)
	incoming := filepath.Join(filepath.Dir(s.Path()), "log.db.incoming")
	next, err := OpenStore(incoming, StoreOptions{Unsynced: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(next.Commit(Commit{Records: want}), next.Close(), s.Replace(incoming)); err != nil {
		t.Fatal(err)
	}
	if s.Sealed() != 0 {
		t.Error("it still has segments")
	}
	if names, err := s.segmentFiles(); err != nil || len(names) > 0 {
		t.Error(names, err)
	}
	sameRecords(t, allOf(t, s), want)
}

// TestMissingDatabase is one whose segments are left: a new log must not begin there.
func TestMissingDatabase(t *testing.T) {
	t.Parallel()
	s, _ := sealedStore(t, 5000, 5000)
	if err := errors.Join(s.Close(), os.Remove(s.Path())); err != nil {
		t.Fatal(err)
	}
	var damage *CorruptError
	if _, err := OpenStore(s.Path(), StoreOptions{}); !errors.As(err, &damage) || damage.Index != 1 {
		t.Errorf("opened: %v", err)
	}
}

// TestCopyWithoutSegments is a copy of the database alone.
func TestCopyWithoutSegments(t *testing.T) {
	t.Parallel()
	s, _ := sealedStore(t, 9000, 9000)
	if err := errors.Join(s.Close(), os.RemoveAll(segmentsDir(s.Path()))); err != nil {
		t.Fatal(err)
	}
	for _, opt := range []StoreOptions{{}, {ReadOnly: true}, {ReadOnly: true, VerifyAll: true}} {
		var damage *CorruptError
		if _, err := OpenStore(s.Path(), opt); !errors.As(err, &damage) || damage.Index != 1 {
			t.Errorf("opened: %v", err)
		}
	}
}

// alone leaves a long test of one goroutine out of a short run, which is for the race
// detector: it makes such a test ten times as long and has nothing to find in it.
func alone(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("nothing here happens at the same time")
	}
}

// TestSegmentTampering changes segments, and what the database knows of them, in 500
// places.
func TestSegmentTampering(t *testing.T) {
	t.Parallel()
	alone(t)
	s, want := sealedStore(t, 3*segmentRecordsMin, 3*segmentRecordsMin)
	list := s.segments.all()
	g := list[0]
	_, x, err := s.segments.open(&g, true)
	if err != nil || len(list) != 1 {
		t.Fatal(len(list), err)
	}
	path := s.segments.path(&g)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(7, 11))
	for i := range 500 {
		bad, first := tamperSegment(whole, x, i, r)
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := Verify(s.Path())
		var damage *CorruptError
		if !errors.As(err, &damage) || damage.Index != first {
			t.Fatalf("way %d: %v, want %d", i%5, err, first)
		}
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if head, hash, err := Verify(s.Path()); err != nil || hash != want[head-1].Hash {
		t.Error(err)
	}
}

// tamperSegment returns a segment that was changed, and the first index that is wrong:
// of a chunk where the index of the file tells, or else of the file.
func tamperSegment(whole []byte, x *segmentIndex, way int, r *rand.Rand) (bad []byte, first uint64) {
	bad, first = bytes.Clone(whole), x.before.Index+1
	k := &x.chunks[r.IntN(len(x.chunks))]
	switch way % 5 {
	case 0: // a bit anywhere
		at := r.IntN(len(bad))
		bad[at] ^= 1 << r.IntN(8)
		for i := range x.chunks {
			if c := &x.chunks[i]; int64(at) >= c.at && int64(at) < c.at+int64(c.packed) {
				first = c.before.Index + 1
			}
		}
	case 1: // cut off
		bad = bad[:r.IntN(len(bad))]
	case 2: // more at the end
		bad = append(bad, byte(r.IntN(256)))
	case 3: // bytes of a chunk
		for range 8 {
			bad[k.at+int64(r.IntN(int(k.packed)))] ^= 0x55
		}
		first = k.before.Index + 1
		if bytes.Equal(bad, whole) {
			bad[k.at] ^= 1
		}
	default: // one chunk in the place of another
		o := &x.chunks[r.IntN(len(x.chunks))]
		if o == k || o.packed != k.packed {
			bad[k.at+1] ^= 4
			return bad, k.before.Index + 1
		}
		copy(bad[k.at:k.at+int64(k.packed)], whole[o.at:])
		first = k.before.Index + 1
	}
	return bad, first
}

// TestForgedSegment is one whose sums fit: whoever made it also changed what the
// database knows. The chain and the tree tell.
func TestForgedSegment(t *testing.T) {
	t.Parallel()
	s, _ := sealedStore(t, 9000, 8192)
	g := s.segments.all()[0]
	f, x, err := s.segments.open(&g, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, c := range map[string]struct {
		change func(*segmentIndex)
		first  uint64
	}{
		"subtree":   {func(x *segmentIndex) { x.subtrees[3][0] ^= 1 }, 3*blockRecords + 1},
		"chain":     {func(x *segmentIndex) { x.chunks[5].end.Hash[0] ^= 1; x.chunks[6].before.Hash[0] ^= 1 }, 0},
		"beginning": {func(x *segmentIndex) { x.before.Hash[0] ^= 1 }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			y := *x
			y.chunks, y.subtrees = slices.Clone(x.chunks), slices.Clone(x.subtrees)
			c.change(&y)
			dir := t.TempDir()
			path := filepath.Join(dir, StoreFile)
			copyStore(t, s.Path(), path)
			forgeSegment(t, path, g, &y)
			var damage *CorruptError
			_, _, err := Verify(path)
			if !errors.As(err, &damage) || damage.Index != c.first && c.first > 0 {
				t.Errorf("verified: %v, want %d", err, c.first)
			}
		})
	}
}

// forgeSegment gives a segment another index, and lets the database vouch for it.
func forgeSegment(t *testing.T, path string, g segment, x *segmentIndex) {
	t.Helper()
	file := filepath.Join(segmentsDir(path), g.name())
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	index := x.encode()
	g.sum = sumSegment(index)
	copy(b[int(g.size)-segmentTailBytes-int(g.index):], append(index, g.sum[:]...))
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	edit(t, path, func(events, _ *bolt.Bucket) error {
		return events.Tx().Bucket(bucketSegments).Put(indexKey(g.first), g.encode())
	})
}

// copyStore copies a store as a crash would leave it.
func copyStore(t testing.TB, from, to string) {
	t.Helper()
	copyFile := func(from, to string) {
		b, err := os.ReadFile(from)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err := errors.Join(err, os.WriteFile(to, b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(segmentsDir(to), 0o700); err != nil {
		t.Fatal(err)
	}
	copyFile(from, to)
	copyFile(from+compactedSuffix, to+compactedSuffix)
	files, err := os.ReadDir(segmentsDir(from))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, f := range files {
		copyFile(filepath.Join(segmentsDir(from), f.Name()), filepath.Join(segmentsDir(to), f.Name()))
	}
}

func TestTamperedEntries(t *testing.T) {
	t.Parallel()
	s, _ := sealedStore(t, 2*segmentRecordsMax, 2*segmentRecordsMax)
	list := s.segments.all()
	if err := s.Close(); err != nil || len(list) != 2 {
		t.Fatal(len(list), err)
	}
	for name, c := range map[string]struct {
		edit  func(b, events *bolt.Bucket) error
		first uint64
	}{
		"no first":     {func(b, _ *bolt.Bucket) error { return b.Delete(indexKey(1)) }, 1},
		"no last":      {func(b, _ *bolt.Bucket) error { return b.Delete(indexKey(list[1].first)) }, list[1].first},
		"none":         {func(b, _ *bolt.Bucket) error { return b.Tx().DeleteBucket(bucketSegments) }, 1},
		"cut":          {func(b, _ *bolt.Bucket) error { return b.Put(indexKey(1), list[0].encode()[:30]) }, 1},
		"swapped":      {func(b, _ *bolt.Bucket) error { return b.Put(indexKey(1), list[1].encode()) }, 1},
		"record twice": {func(_, e *bolt.Bucket) error { return e.Put(indexKey(7), make([]byte, 60)) }, list[1].end.Index + 1},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), StoreFile)
			copyStore(t, s.Path(), path)
			edit(t, path, func(events, _ *bolt.Bucket) error { return c.edit(events.Tx().Bucket(bucketSegments), events) })
			for _, opt := range []StoreOptions{{ReadOnly: true, VerifyAll: true}, {}} {
				var damage *CorruptError
				if _, err := OpenStore(path, opt); !errors.As(err, &damage) || damage.Index != c.first {
					t.Errorf("opened: %v, want %d", err, c.first)
				}
			}
		})
	}
}
