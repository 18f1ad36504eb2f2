package eventlog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// reference is the tree as package tlog keeps it: every hash of it.
type reference []tlog.Hash

func (r *reference) add(t tlogFataler, n int, rec *Record) {
	hashes, err := tlog.StoredHashes(int64(n), rec.Leaf(), *r)
	if err != nil {
		t.Fatal(err)
	}
	*r = append(*r, hashes...)
}

type tlogFataler interface{ Fatal(args ...any) }

func (r reference) ReadHashes(at []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(at))
	for i, n := range at {
		hashes[i] = r[n]
	}
	return hashes, nil
}

func TestTreeIsThatOfTlog(t *testing.T) {
	t.Parallel()
	const most = 3000
	parent, logs := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		logs++
		dir := filepath.Join(parent, fmt.Sprint(logs))
		e, err := OpenEmbedded(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = errors.Join(e.Close(), os.RemoveAll(dir)) }()
		n := rapid.IntRange(1, most).Draw(t, "records")
		var head Head
		var ref reference
		for done := 0; done < n; {
			some := min(n-done, rapid.IntRange(1, 700).Draw(t, "some"))
			var records []Record
			for range some {
				entry, err := NewEntry(int64(done), &TaskRecorded{Run: uint64(done)})
				if err != nil {
					t.Fatal(err)
				}
				records = append(records, head.Next(entry))
				ref.add(t, done, &records[len(records)-1])
				done++
			}
			// The newest are in the tail only, as behind Raft.
			if rapid.Bool().Draw(t, "stored") {
				err = e.store.Commit(Commit{Records: append(e.tail.Unstored(), records...)})
				e.tail.Append(records)
				e.tail.Stored(head.Index)
			} else {
				e.tail.Append(records)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		checkTree(t, e, ref, n)
	})
}

// checkTree compares roots and proofs at sizes by chance.
func checkTree(t *rapid.T, e *Embedded, ref reference, n int) {
	size := rapid.IntRange(1, n).Draw(t, "size")
	tree, err := e.Tree(uint64(size))
	if err != nil {
		t.Fatal(err)
	}
	want, err := tlog.TreeHash(int64(size), ref)
	if err != nil {
		t.Fatal(err)
	}
	root, err := tree.Root()
	if err != nil || root != Hash(want) {
		t.Fatalf("root of %d of %d: %v, want %v, %v", size, n, root, want, err)
	}
	at := rapid.IntRange(1, size).Draw(t, "at")
	older, err := tlog.TreeHash(int64(at), ref)
	if err != nil {
		t.Fatal(err)
	}
	hashes, err := tree.ProveTree(uint64(at))
	if err != nil {
		t.Fatal(err)
	}
	proof := make(tlog.TreeProof, len(hashes))
	for i, h := range hashes {
		proof[i] = tlog.Hash(h)
	}
	if err := tlog.CheckTree(proof, int64(size), want, int64(at), older); err != nil {
		t.Fatal(err)
	}
	if whole, err := tree.Subtree(0, uint64(size)); err != nil || whole != root {
		t.Fatalf("the subtree of all: %v, %v, want %v", whole, err, root)
	}
}

// TestTreeOfFiles compares what is stored with what is computed from the records
// alone: of a file of before there was a tree, of one that is then opened, of one in
// which the tree is damaged, and of one that went on behind a crash.
func TestTreeOfFiles(t *testing.T) {
	t.Parallel()
	const n = 5*blockRecords + 77
	path := stored(t, n)
	root := func(size uint64) Hash {
		t.Helper()
		s, err := OpenStore(path, StoreOptions{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		tree, err := s.Tree(size)
		if err != nil {
			t.Fatal(err)
		}
		h, err := tree.Root()
		if err := errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
		return h
	}
	want, wantPart := root(n), root(3*blockRecords+5)
	check := func(name string) {
		t.Helper()
		if got := root(n); got != want {
			t.Errorf("%s: root %v, want %v", name, got, want)
		}
		if got := root(3*blockRecords + 5); got != wantPart {
			t.Errorf("%s: root of a part %v, want %v", name, got, wantPart)
		}
	}
	onTree := func(f func(tx *bolt.Tx) error) {
		t.Helper()
		db, err := bolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Update(f), db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	reopen := func() {
		t.Helper()
		s, err := OpenStore(path, StoreOptions{})
		if err := errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	blocks := func() (n int) {
		onTree(func(tx *bolt.Tx) error {
			if b := tx.Bucket(bucketTree); b != nil {
				n = b.Stats().KeyN
			}
			return nil
		})
		return n
	}
	if blocks() != n/blockRecords {
		t.Fatalf("%d blocks are stored", blocks())
	}
	onTree(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketTree)
		v := bytes.Clone(b.Get(indexKey(3)))
		v[40] ^= 1
		return errors.Join(b.Put(indexKey(3), v), b.Delete(indexKey(1)))
	})
	check("damaged")
	var corrupt *CorruptError
	if _, _, err := Verify(path); !errors.As(err, &corrupt) || corrupt.Index != 3*blockRecords+1 {
		t.Errorf("damaged: verified as %v", err)
	}
	onTree(func(tx *bolt.Tx) error { return tx.DeleteBucket(bucketTree) })
	check("without")
	reopen()
	if blocks() != n/blockRecords {
		t.Errorf("%d blocks are rebuilt", blocks())
	}
	check("rebuilt")
	onTree(func(tx *bolt.Tx) error { return tx.Bucket(bucketTree).Put(indexKey(99), []byte("x")) })
	reopen()
	check("with a block too many")
	onTree(func(tx *bolt.Tx) error { return tx.Bucket(bucketTree).Put(indexKey(2), []byte("x")) })
	s, err := OpenStore(path, StoreOptions{SkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Scrub(t.Context(), 1<<40), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Verify(path); err != nil {
		t.Errorf("mended: %v", err)
	}
}

// TestTreeGrowsOn adds to a store that is opened again and again.
func TestTreeGrowsOn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log.db")
	var head Head
	var ref reference
	for _, some := range []int{1, 254, 1, 1, 255, 256, 700, 44} {
		s, err := OpenStore(path, StoreOptions{})
		if err != nil {
			t.Fatal(err)
		}
		records := chain(t, &head, some)
		for i := range records {
			ref.add(t, int(records[i].Index)-1, &records[i])
		}
		if err := s.Commit(Commit{Records: records}); err != nil {
			t.Fatal(err)
		}
		tree, err := s.Tree(head.Index)
		if err != nil {
			t.Fatal(err)
		}
		root, err := tree.Root()
		if err != nil {
			t.Fatal(err)
		}
		if want, err := tlog.TreeHash(int64(head.Index), ref); err != nil || root != Hash(want) {
			t.Errorf("root of %d: %v, want %v, %v", head.Index, root, want, err)
		}
		if _, err := s.Tree(head.Index + 1); !errors.Is(err, ErrTooShort) {
			t.Errorf("a tree over what is not there: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A record that is changed, with the chain behind it computed anew, is found by the
// tree that is stored, and by the root where that was computed anew too.
func TestTreeFindsRewrittenRecords(t *testing.T) {
	t.Parallel()
	const n, changed = 4*blockRecords + 10, 2*blockRecords + 7
	path := stored(t, n)
	root := func() Hash {
		t.Helper()
		s, err := OpenStore(path, StoreOptions{ReadOnly: true, SkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		tree, err := s.Tree(n)
		if err != nil {
			t.Fatal(err)
		}
		h, err := tree.Root()
		if err := errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
		return h
	}
	before := root()
	edit(t, path, func(events, meta *bolt.Bucket) error {
		var head Head
		for i := uint64(1); i <= n; i++ {
			r, _ := decodeRecord(indexKey(i), bytes.Clone(events.Get(indexKey(i))))
			if i == changed {
				r.Data[len(r.Data)-1] ^= 1
			}
			next := head.Next(Entry{Time: r.Time, Kind: r.Kind, Data: r.Data})
			if err := events.Put(indexKey(i), encodeRecord(&next)); err != nil {
				return err
			}
		}
		return errors.Join(meta.Put(keyHead, encodeHead(head)), meta.Delete(keyVerified))
	})
	var corrupt *CorruptError
	if _, _, err := Verify(path); !errors.As(err, &corrupt) || corrupt.Index != changed-changed%blockRecords+1 {
		t.Errorf("with the old tree: %v", err)
	}
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(func(tx *bolt.Tx) error { return tx.DeleteBucket(bucketTree) }), db.Close()); err != nil {
		t.Fatal(err)
	}
	s, err := OpenStore(path, StoreOptions{}) // builds the tree anew
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Verify(path); err != nil {
		t.Errorf("with a new tree: %v", err)
	}
	if root() == before {
		t.Error("other records have the same root")
	}
}

// A store that takes another one's place, as behind a snapshot, goes on with that
// one's tree.
func TestTreeBehindReplace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var head Head
	var ref reference
	s, err := OpenStore(filepath.Join(dir, "log.db"), StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	old := Head{}
	if err := s.Commit(Commit{Records: chain(t, &old, 300)}); err != nil {
		t.Fatal(err)
	}
	incoming, err := OpenStore(filepath.Join(dir, "incoming.db"), StoreOptions{Unsynced: true})
	if err != nil {
		t.Fatal(err)
	}
	add := func(to *Store, n int) {
		t.Helper()
		records := chain(t, &head, n)
		for i := range records {
			ref.add(t, int(records[i].Index)-1, &records[i])
		}
		if err := to.Commit(Commit{Records: records}); err != nil {
			t.Fatal(err)
		}
	}
	add(incoming, 700)
	if err := errors.Join(incoming.Close(), s.Replace(incoming.Path())); err != nil {
		t.Fatal(err)
	}
	add(s, 600)
	tree, err := s.Tree(head.Index)
	if err != nil {
		t.Fatal(err)
	}
	root, err := tree.Root()
	if want, e := tlog.TreeHash(int64(head.Index), ref); err != nil || e != nil || root != Hash(want) {
		t.Errorf("root %v, want %v, %v, %v", root, want, err, e)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Verify(s.Path()); err != nil {
		t.Error(err)
	}
}

// BenchmarkTreeGrow measures what the tree adds to a record that is stored, beside the
// hash of the chain.
func BenchmarkTreeGrow(b *testing.B) {
	var head Head
	records := chain(b, &head, blockRecords)
	for i := range records {
		records[i].Data = bytes.Repeat([]byte("x"), 280)
	}
	b.Run("chain", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for i := range records {
				records[i].chained(Hash{})
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(records)), "ns/record")
	})
	b.Run("tree", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var e edge
			e.grow(records)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(records)), "ns/record")
	})
}
