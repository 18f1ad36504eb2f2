package boltfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// written is a file with some pages of content.
func written(t *testing.T) (path string, content []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file.db")
	db, err := Open(path, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		outer, err := tx.CreateBucket([]byte("outer"))
		if err != nil {
			return err
		}
		inner, err := outer.CreateBucket([]byte("inner"))
		if err != nil {
			return err
		}
		for i := range 200 {
			if err := errors.Join(outer.Put(fmt.Append(nil, i), make([]byte, 200)), inner.Put(fmt.Append(nil, i), make([]byte, 200))); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if content, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return path, content
}

// TestSound: a sound file is opened, and not written to.
func TestSound(t *testing.T) {
	t.Parallel()
	path, content := written(t)
	db, err := Open(path, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, time.Millisecond); !errors.Is(err, berrors.ErrTimeout) {
		t.Errorf("opened twice: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, content) {
		t.Errorf("%v: opening has changed the file", err)
	}
	if _, err := Open(filepath.Join(path, "file"), time.Second); err == nil || errors.Is(err, ErrDamaged) {
		t.Errorf("a file that cannot be: %v", err)
	}
}

// TestDamaged: whatever page is damaged or cut off, the file is either opened and all of it
// can be used, or refused as damaged.
func TestDamaged(t *testing.T) {
	t.Parallel()
	path, content := written(t)
	page, refused := os.Getpagesize(), 0
	for at := 0; at < len(content); at += page {
		for name, damaged := range map[string][]byte{
			"zeros": slices.Concat(content[:at], make([]byte, page), content[at+page:]),
			"ones":  slices.Concat(content[:at], bytes.Repeat([]byte{255}, page), content[at+page:]),
			"a cut": content[:at+1],
		} {
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			db, err := Open(path, time.Second)
			switch {
			case err == nil:
				err = db.Update(func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("outer")) })
				if err := errors.Join(err, db.Close()); err != nil {
					t.Errorf("%s at page %d: %v", name, at/page, err)
				}
			case errors.Is(err, ErrDamaged):
				refused++
			default:
				t.Errorf("%s at page %d: %v", name, at/page, err)
			}
			// What was refused may hold its lock.
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	if refused < len(content)/page {
		t.Errorf("%d damaged files of %d pages were refused", refused, len(content)/page)
	}
}
