package bundle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"quorate/eventlog"
)

// store writes the lab's log to a file, as an embedded log has it.
func (l *lab) store(t testing.TB) (path string) {
	t.Helper()
	dir := t.TempDir()
	log, err := eventlog.OpenEmbedded(dir)
	if err != nil {
		t.Fatal(err)
	}
	head, _ := l.Head()
	var entries []eventlog.Entry
	for i := uint64(1); i <= head; i++ {
		r, err := record(t.Context(), l, i)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, eventlog.Entry{Time: r.Time, Kind: r.Kind, Data: r.Data})
	}
	if _, err := log.Append(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, eventlog.StoreFile)
}

func (l *lab) known() LogKey { return LogKey{Key: l.key, Certificate: l.certificate(), From: "pki"} }

func TestVerifyLog(t *testing.T) {
	l, _ := busy(t, 2)
	path := l.store(t)
	head, hash := l.Head()
	for name, c := range map[string]struct {
		known LogKey
		trust Trust
		want  string
	}{
		"key beside it":       {l.known(), Trust{}, ""},
		"no key":              {LogKey{}, Trust{}, ""},
		"key named":           {LogKey{}, Trust{Key: l.key}, ""},
		"authority":           {l.known(), Trust{CA: l.ca.Certificate()}, ""},
		"authority, no key":   {LogKey{}, Trust{CA: l.ca.Certificate()}, "name the key"},
		"another key":         {l.known(), Trust{Key: newLab(t).key}, "the key of"},
		"another authority":   {l.known(), Trust{CA: newLab(t).ca.Certificate()}, "another cluster"},
		"outside":             {l.known(), Trust{Checkpoints: [][]byte{l.notes[l.first()]}}, ""},
		"outside, of another": {l.known(), Trust{Checkpoints: [][]byte{newLab(t).foreign()}}, "not signed with its key"},
	} {
		r, err := VerifyLog(t.Context(), path, c.known, c.trust)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
			continue
		}
		if err != nil || r.To != head || r.Head != hash.String() || r.KeyTrusted != (c.trust.Key != "" || c.trust.CA != nil) {
			t.Errorf("%s: %+v, %v", name, r, err)
			continue
		}
		if unsigned := len(r.Signed) == 0; unsigned != (r.Key == "") || unsigned != (r.Unverified == 4) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// first is the size of the first checkpoint.
func (l *lab) first() uint64 {
	least := ^uint64(0)
	for size := range l.notes {
		least = min(least, size)
	}
	return least
}

// TestShortLog is a log whose end somebody took away, with a head to match: only who
// kept a checkpoint can tell.
func TestShortLog(t *testing.T) {
	l, _ := busy(t, 2)
	size := l.sign()
	short := newLab(t)
	short.Memory, short.ca = eventlog.NewMemory(), l.ca
	copyTo(t, short.Memory, l, size-3)
	path := short.store(t)
	if _, err := VerifyLog(t.Context(), path, l.known(), Trust{}); err != nil {
		t.Error(err)
	}
	_, err := VerifyLog(t.Context(), path, l.known(), Trust{Checkpoints: [][]byte{l.notes[size]}})
	var bad *BadError
	if !errors.As(err, &bad) || bad.Index != size-2 {
		t.Errorf("with a checkpoint of %d records: %v", size, err)
	}
}

func key8(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }

// TestLogTampering changes the records in a log's file.
func TestLogTampering(t *testing.T) {
	t.Parallel()
	rng := seed(t)
	l, _ := busy(t, 5)
	path := l.store(t)
	head, _ := l.Head()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// What the database has in store for later is of no use here.
	used := len(bytes.TrimRight(whole, "\x00"))
	page := os.Getpagesize()
	whole = whole[:(used+page-1)/page*page]
	for range places(t, 500) {
		k := 1 + rng.Uint64N(head)
		way := ways()[rng.IntN(len(ways()))]
		want := k
		if way == "flip" && rng.IntN(2) == 0 {
			flipRaw(t, path, whole, l, k, rng)
		} else {
			want = tamperStore(t, path, way, k, head, rng)
		}
		_, err := VerifyLog(t.Context(), path, l.known(), Trust{})
		var damage *eventlog.CorruptError
		if !errors.As(err, &damage) || damage.Index != want {
			t.Fatalf("%s at record %d of %d: %v, want %d", way, k, head, err, want)
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := VerifyLog(t.Context(), path, l.known(), Trust{Key: l.key}); err != nil {
		t.Error(err)
	}
}

// flipRaw flips a bit of a record where it is in the file. It is found by its hash.
func flipRaw(t *testing.T, path string, whole []byte, l *lab, k uint64, rng *rand.Rand) {
	t.Helper()
	r, err := record(t.Context(), l, k)
	if err != nil {
		t.Fatal(err)
	}
	value := append(r.Hash[:], r.Data...)
	at := bytes.LastIndex(whole, value)
	if at < 0 {
		t.Fatalf("record %d is not in the file as a whole", k)
	}
	bad := bytes.Clone(whole)
	for rest := bad; ; { // pages that were given up may hold a copy
		at := bytes.Index(rest, value)
		if at < 0 {
			break
		}
		rest[at+rng.IntN(len(value))] ^= 1 << rng.IntN(8)
		rest = rest[at+len(value):]
	}
	if err := os.WriteFile(path, bad, 0o600); err != nil {
		t.Fatal(err)
	}
}

// tamperStore changes records through the database, and returns the index of the first
// that is wrong.
func tamperStore(t *testing.T, path, way string, k, head uint64, rng *rand.Rand) (first uint64) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	first = k
	err = db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("events"))
		get := func(i uint64) []byte { return bytes.Clone(b.Get(key8(i))) }
		put := func(i uint64, v []byte) {
			if err := b.Put(key8(i), v); err != nil {
				t.Fatal(err)
			}
		}
		remove := func(i uint64) {
			if err := b.Delete(key8(i)); err != nil {
				t.Fatal(err)
			}
		}
		switch way {
		case "flip":
			v := get(k)
			v[rng.IntN(len(v))] ^= 1 << rng.IntN(8)
			put(k, v)
		case "drop":
			remove(k)
		case "insert": // one more, and the others move up
			for i := head; i >= k; i-- {
				put(i+1, get(i))
			}
			v := get(k)
			v[len(v)-1] ^= 1
			put(k, v)
		case "swap":
			other := 1 + k%head
			a, c := get(k), get(other)
			put(k, c)
			put(other, a)
			first = min(k, other)
		case "truncate":
			for i := k; i <= head; i++ {
				remove(i)
			}
		default: // replace the tail
			for i := k; i <= head; i++ {
				v := get(i)
				v[len(v)-1]++
				put(i, v)
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return first
}

// TestLogForgery is by somebody who computes the chain anew; only the signatures tell.
func TestLogForgery(t *testing.T) {
	rng := seed(t)
	l, _ := busy(t, 5)
	last := uint64(0)
	for size := range l.notes {
		last = max(last, size)
	}
	for range 8 {
		index := 3 + rng.Uint64N(last-3)
		good := uint64(0)
		for size := range l.notes {
			if size < index {
				good = max(good, size)
			}
		}
		path := rewritten(t, l, index).store(t)
		if _, err := eventlog.OpenStore(path, eventlog.StoreOptions{ReadOnly: true, VerifyAll: true}); err != nil {
			t.Fatal("the forgery is none:", err)
		}
		r, _ := record(t.Context(), l, index)
		_, err := VerifyLog(t.Context(), path, l.known(), Trust{})
		var bad *BadError
		if r.Kind != eventlog.KindCheckpointSigned && (!errors.As(err, &bad) || bad.Index != good+1) {
			t.Errorf("record %d behind a checkpoint of %d: %v", index, good, err)
		}
		if err == nil {
			t.Errorf("record %d was changed, and nobody noticed", index)
		}
	}
}
