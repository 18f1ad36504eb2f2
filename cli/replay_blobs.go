package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/replay"
	"quorate/eventlog"
)

// storedBytesMax bounds a plan, and an input that plans are made of, in memory.
const storedBytesMax = 1 << 30

// blobReader opens what a source holds beside its log: plans and their inputs.
func (p *program) blobReader(c *cli.Context, source pastLog) func(ctx context.Context, digest string) (io.ReadCloser, error) {
	switch s := source.(type) {
	case *remotePast:
		return s.client.Blob
	case *replay.Bundled:
		return func(_ context.Context, digest string) (io.ReadCloser, error) {
			r, err := s.Blob(digest)
			return io.NopCloser(r), err
		}
	}
	dir := c.String("data-dir")
	if dir == "" {
		dir = p.defaultDir("server")
	}
	blobs := eventlog.ReadBlobs(filepath.Join(dir, "blobs"))
	return func(_ context.Context, digest string) (io.ReadCloser, error) { return blobs.Open(digest) }
}

// readBlob reads a blob, and checks that it is what its name says.
func readBlob(ctx context.Context, open func(ctx context.Context, digest string) (io.ReadCloser, error), digest string) ([]byte, error) {
	r, err := open(ctx, digest)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, storedBytesMax+1))
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	if len(data) > storedBytesMax {
		return nil, fmt.Errorf("blob %.12s has more than %d bytes", digest, storedBytesMax)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != digest {
		return nil, fmt.Errorf("blob %.12s is damaged: its content is not what its name says", digest)
	}
	return data, nil
}
