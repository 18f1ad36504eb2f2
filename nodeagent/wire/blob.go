package wire

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Check refuses requests that name no blob.
func (b *BlobRequest) Check() error {
	if len(b.Digest) != digestHexBytes {
		return fmt.Errorf("%w: blob digest of %d characters", ErrMalformed, len(b.Digest))
	}
	for _, c := range []byte(b.Digest) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return fmt.Errorf("%w: blob digest holds %q", ErrMalformed, c)
		}
	}
	if b.Offset < 0 {
		return fmt.Errorf("%w: blob offset %d", ErrMalformed, b.Offset)
	}
	return nil
}

// WriteBlobSize answers a BlobRequest with the size of the whole blob, or
// [BlobUnknown]; the content from the offset on follows.
func WriteBlobSize(w io.Writer, size uint64) error {
	var b [blobSizeBytes]byte
	binary.BigEndian.PutUint64(b[:], size)
	if _, err := w.Write(b[:]); err != nil {
		return fmt.Errorf("writing a blob's size: %w", err)
	}
	return nil
}

// ReadBlobSize reads what [WriteBlobSize] wrote.
func ReadBlobSize(r io.Reader) (uint64, error) {
	var b [blobSizeBytes]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, fmt.Errorf("reading a blob's size: %w", err)
	}
	return binary.BigEndian.Uint64(b[:]), nil
}

// Bytes is about how much the report takes in a frame.
func (r *Report) Bytes() int {
	values := 0
	for i := range r.Values {
		values += r.Values[i].Bytes()
	}
	return 64 + values + len(r.Info) + len(r.Reason) + len(r.OutputDigest) + len(r.Output) +
		len(r.Stdout.Head) + len(r.Stdout.Tail) + len(r.Stderr.Head) + len(r.Stderr.Tail)
}
