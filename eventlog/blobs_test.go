package eventlog

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

func openBlobs(t *testing.T) (*Blobs, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "blobs")
	b, err := OpenBlobs(dir)
	if err != nil {
		t.Fatal(err)
	}
	return b, dir
}

// files lists what is below a directory.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestBlobsRoundTrip(t *testing.T) {
	b, dir := openBlobs(t)
	for _, content := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("long"), 1<<18)} {
		digest, err := b.PutBytes(content)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.PutBytes(content); err != nil {
			t.Fatalf("put again: %v", err)
		}
		got, err := b.Get(digest)
		if err != nil || !bytes.Equal(got, content) {
			t.Fatalf("got %d bytes of %d, %v", len(got), len(content), err)
		}
		size, err := b.Size(digest)
		if err != nil || size != int64(len(content)) || !b.Has(digest) {
			t.Fatalf("size %d, %v", size, err)
		}
		f, err := b.Open(digest)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, content) {
			t.Fatalf("opened %d bytes, %v", len(got), err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, digest[:2], digest)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(files(t, dir)); n != 3 {
		t.Fatalf("%d files for three blobs", n)
	}
}

func TestBlobNamesCannotLeaveTheDirectory(t *testing.T) {
	b, dir := openBlobs(t)
	good := strings.Repeat("a", 64)
	for _, name := range []string{
		"", "..", "../../etc/passwd", good[:63], good + "a", strings.ToUpper(good),
		"../" + good[3:], good[:62] + "/a", good[:63] + "\x00", strings.Repeat("é", 32), strings.Repeat(".", 64),
	} {
		_, getErr := b.Get(name)
		_, openErr := b.Open(name)
		_, sizeErr := b.Size(name)
		putErr := b.Put(strings.NewReader("x"), name)
		for _, err := range []error{getErr, openErr, sizeErr, putErr} {
			if !errors.Is(err, ErrDigest) {
				t.Errorf("%q: %v", name, err)
			}
		}
		if b.Has(name) {
			t.Errorf("has %q", name)
		}
	}
	if all := files(t, filepath.Dir(dir)); len(all) != 0 {
		t.Errorf("files: %v", all)
	}
}

func TestBlobOfOtherContentIsNotStored(t *testing.T) {
	b, dir := openBlobs(t)
	digest := strings.Repeat("a", 64)
	var wrong *BlobError
	if err := b.Put(strings.NewReader("x"), digest); !errors.As(err, &wrong) || wrong.Digest != digest {
		t.Fatalf("put: %v", err)
	}
	if err := b.Put(iotest.ErrReader(io.ErrUnexpectedEOF), digest); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("put of a broken stream: %v", err)
	}
	if b.Has(digest) || len(files(t, dir)) != 0 {
		t.Fatalf("left behind: %v", files(t, dir))
	}
	if _, err := b.Get(digest); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("get of what is not there: %v", err)
	}
}

func TestDamagedBlobIsFoundAndRepaired(t *testing.T) {
	b, dir := openBlobs(t)
	digest, err := b.PutBytes([]byte("content"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, digest[:2], digest), []byte("conTent"), 0o600); err != nil {
		t.Fatal(err)
	}
	var wrong *BlobError
	if _, err := b.Get(digest); !errors.As(err, &wrong) {
		t.Fatalf("get: %v", err)
	}
	if _, err := b.PutBytes([]byte("content")); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Get(digest); err != nil || string(got) != "content" {
		t.Fatalf("after repair: %q, %v", got, err)
	}
}

func TestConcurrentPutsOfOneBlob(t *testing.T) {
	b, dir := openBlobs(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := b.PutBytes([]byte("same")); err != nil {
				t.Errorf("put: %v", err)
			}
		})
	}
	wg.Wait()
	if n := len(files(t, dir)); n != 1 {
		t.Fatalf("%d files", n)
	}
}
