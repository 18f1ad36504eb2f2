package eventlog

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"sync"
)

// blobsCheckedMax bounds how many blobs are remembered as checked.
const blobsCheckedMax = 1 << 16

// A blobMark tells one content of a blob's file from another without reading it.
type blobMark struct {
	size, modified int64
}

// checkedBlobs remembers which files were read and found sound. Damage that
// comes later, and leaves size and time of the file as they were, is found by
// the next process.
type checkedBlobs struct {
	mu    sync.Mutex
	sound map[string]blobMark
}

func (c *checkedBlobs) has(digest string, m blobMark) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept, ok := c.sound[digest]
	return ok && kept == m
}

func (c *checkedBlobs) add(digest string, m blobMark) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sound == nil || len(c.sound) >= blobsCheckedMax {
		c.sound = make(map[string]blobMark)
	}
	c.sound[digest] = m
}

// OpenChecked is [Blobs.Open] for content that is what its name says; otherwise
// the error is a [*BlobError]. The content is read in full the first time and
// whenever the file has changed since.
func (b *Blobs) OpenChecked(digest string) (*os.File, error) {
	f, err := b.Open(digest)
	if err != nil {
		return nil, err
	}
	if err := b.check(f, digest); err != nil {
		_ = f.Close() // nothing was written to it
		return nil, err
	}
	return f, nil
}

func (b *Blobs) check(f *os.File, digest string) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("blob %s: %w", digest, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("blob %s: not a regular file", digest)
	}
	mark := blobMark{info.Size(), info.ModTime().UnixNano()}
	if b.checked.has(digest, mark) {
		return nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return fmt.Errorf("blob %s: %w", digest, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != digest {
		return &BlobError{Digest: digest, Got: got}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("blob %s: %w", digest, err)
	}
	b.checked.add(digest, mark)
	return nil
}

// Check returns nil where there is a blob of the digest whose content is sound;
// otherwise an error as that of [Blobs.OpenChecked].
func (b *Blobs) Check(digest string) error {
	f, err := b.OpenChecked(digest)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("blob %s: %w", digest, err)
	}
	return nil
}
