package relay

import (
	"context"
	"errors"
	"time"

	"quorate/internal/blobcache"
	"quorate/nodeagent/wire"
)

// blobWriteTimeout is what an agent gets to take what is written at once.
const blobWriteTimeout = 30 * time.Second

// bufferBytes is how much of a blob is written at once.
const bufferBytes = 64 << 10

// blob answers one request out of the cache.
func (r *relay) blob(ctx context.Context, c agentConn, s Stream, request *wire.BlobRequest) error {
	done, err := r.shares.blob(ctx, c)
	if err != nil {
		return err
	}
	defer done()
	blob, size, err := r.cfg.Cache.Open(ctx, request.Digest, request.Offset)
	if errors.Is(err, blobcache.ErrUnknown) || errors.Is(err, blobcache.ErrNoRoom) {
		_ = s.SetWriteDeadline(time.Now().Add(blobWriteTimeout))
		return errors.Join(wire.WriteBlobSize(s, wire.BlobUnknown), s.Close())
	}
	if err != nil {
		return err
	}
	defer blob.Close()
	_ = s.SetWriteDeadline(time.Now().Add(blobWriteTimeout))
	if err := wire.WriteBlobSize(s, uint64(size)); err != nil {
		return err
	}
	if size == 0 || request.Offset >= size {
		return s.Close()
	}
	buf := make([]byte, bufferBytes)
	for left := size - request.Offset; left > 0; {
		n, err := blob.Read(buf)
		if err != nil {
			return err
		}
		_ = s.SetWriteDeadline(time.Now().Add(blobWriteTimeout))
		if _, err := s.Write(buf[:n]); err != nil {
			return err
		}
		left -= int64(n)
	}
	return s.Close()
}
