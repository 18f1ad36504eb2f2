package eventlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

const (
	blobTempDir    = "tmp"
	blobTempAgeMax = 24 * time.Hour // of what an interrupted Put left
	blobMode       = 0o600
)

// A BlobError says that a blob's content is not what its name says.
type BlobError struct {
	Digest string // the name
	Got    string // the SHA-256 of the content
}

// Error implements error.
func (e *BlobError) Error() string {
	return fmt.Sprintf("blob %s: the content has SHA-256 %s", e.Digest, e.Got)
}

// ErrDigest is wrapped by errors for a name that is not 64 lower-case hex digits.
var ErrDigest = errors.New("not the SHA-256 of a blob")

// Blobs keeps content under its SHA-256 in lower-case hex, a file for each:
// dir/<first two digits>/<digest>. It is safe for concurrent use.
type Blobs struct {
	dir     string
	checked checkedBlobs
}

// OpenBlobs opens the blobs below a directory, and creates it where there is none.
func OpenBlobs(dir string) (*Blobs, error) {
	temp := filepath.Join(dir, blobTempDir)
	if err := os.MkdirAll(temp, dirMode); err != nil {
		return nil, fmt.Errorf("blob directory: %w", err)
	}
	left, err := os.ReadDir(temp)
	if err != nil {
		return nil, fmt.Errorf("blob directory: %w", err)
	}
	for _, f := range left {
		info, err := f.Info()
		if err == nil && time.Since(info.ModTime()) > blobTempAgeMax {
			_ = os.Remove(filepath.Join(temp, f.Name())) // best effort: it only takes room
		}
	}
	return &Blobs{dir: dir}, nil
}

// ReadBlobs returns the blobs below a directory for reading only: it makes nothing,
// and the directory need not be there.
func ReadBlobs(dir string) *Blobs { return &Blobs{dir: dir} }

// path refuses anything that could leave the directory.
func (b *Blobs) path(digest string) (string, error) {
	if !validDigest(digest) {
		return "", fmt.Errorf("blob %.80q: %w", digest, ErrDigest)
	}
	return filepath.Join(b.dir, digest[:2], digest), nil
}

func validDigest(digest string) bool {
	if len(digest) != 2*sha256.Size {
		return false
	}
	for _, c := range []byte(digest) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Put stores what r yields, durably, when its SHA-256 is the digest; otherwise
// the error is a [*BlobError] and nothing is stored. It wraps [ErrFull] where
// there is no room. A blob that is there already
// is replaced, which repairs a damaged one.
func (b *Blobs) Put(r io.Reader, digest string) error {
	path, err := b.path(digest)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Join(b.dir, blobTempDir), digest[:8]+"-*")
	if err != nil {
		return blobError(digest, err)
	}
	if err := b.fill(f, r, digest, path); err != nil {
		return errors.Join(err, removeIfThere(f.Name()))
	}
	return nil
}

// blobError says which blob an error is about, and that it is for want of room.
func blobError(digest string, err error) error {
	if isFull(err) {
		return fmt.Errorf("blob %s: %w: %w", digest, ErrFull, err)
	}
	return fmt.Errorf("blob %s: %w", digest, err)
}

func (b *Blobs) fill(f *os.File, r io.Reader, digest, path string) error {
	sum := sha256.New()
	_, err := io.Copy(f, io.TeeReader(r, sum))
	if err == nil {
		if got := hex.EncodeToString(sum.Sum(nil)); got != digest {
			err = &BlobError{Digest: digest, Got: got}
		}
	}
	if err == nil {
		err = errors.Join(f.Chmod(blobMode), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return blobError(digest, err)
	}
	sub := filepath.Dir(path)
	switch err := os.Mkdir(sub, dirMode); {
	case err == nil:
		if err := syncDir(b.dir); err != nil {
			return fmt.Errorf("blob %s: %w", digest, err)
		}
	case !errors.Is(err, os.ErrExist):
		return blobError(digest, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return blobError(digest, err)
	}
	if err := syncDir(sub); err != nil {
		return fmt.Errorf("blob %s: %w", digest, err)
	}
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// PutBytes stores content and returns its digest.
func (b *Blobs) PutBytes(content []byte) (digest string, err error) {
	sum := sha256.Sum256(content)
	digest = hex.EncodeToString(sum[:])
	return digest, b.Put(bytes.NewReader(content), digest)
}

// Has reports whether there is a blob of the digest. It does not look inside.
func (b *Blobs) Has(digest string) bool {
	_, err := b.Size(digest)
	return err == nil
}

// Size returns the length of a blob in bytes.
func (b *Blobs) Size(digest string) (int64, error) {
	path, err := b.path(digest)
	if err != nil {
		return 0, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return 0, fmt.Errorf("blob %s: %w", digest, err)
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("blob %s: not a regular file", digest)
	}
	return info.Size(), nil
}

// Open opens a blob for reading; its content is not checked. The error wraps
// fs.ErrNotExist where there is none.
func (b *Blobs) Open(digest string) (*os.File, error) {
	path, err := b.path(digest)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", digest, err)
	}
	return f, nil
}

// Get returns the content of a blob, checked: the error is a [*BlobError] where
// it is damaged, and wraps fs.ErrNotExist where there is none.
func (b *Blobs) Get(digest string) ([]byte, error) {
	f, err := b.Open(digest)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("blob %s: %w", digest, err)
	}
	sum := sha256.Sum256(content)
	if got := hex.EncodeToString(sum[:]); got != digest {
		return nil, &BlobError{Digest: digest, Got: got}
	}
	return content, nil
}
