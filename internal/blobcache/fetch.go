package blobcache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"quorate/nodeagent/wire"
)

const bufferBytes = 64 << 10

// ErrUnknown is wrapped where who was asked does not have the blob.
var ErrUnknown = errors.New("who was asked for it does not have it")

// A Stream is what a blob comes by. Close ends the direction of the request.
type Stream interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
}

// Ask asks for what is missing of the blob, and returns the size of all of it. Nothing
// may come for as long as stall. Errors wrap [ErrUnknown] and [ErrWrong].
func (p *Part) Ask(ctx context.Context, s Stream, stall time.Duration) (size int64, err error) {
	if err := wire.WriteMessage(s, &wire.BlobRequest{Digest: p.digest, Offset: p.have}); err != nil {
		return 0, err
	}
	if err := s.Close(); err != nil {
		return 0, err
	}
	if err := await(ctx, s, stall); err != nil {
		return 0, err
	}
	said, err := wire.ReadBlobSize(s)
	switch {
	case err != nil:
		return 0, err
	case said == wire.BlobUnknown:
		return 0, ErrUnknown
	case said > math.MaxInt64:
		return 0, fmt.Errorf("%w, or it would have no %d bytes", ErrUnknown, said)
	case uint64(p.have) > said:
		return 0, ErrWrong
	}
	return int64(said), nil
}

// Take appends what comes until there are so many bytes in all, and calls took for each
// piece, which has been written then, where it is not nil. Nothing may come for as long
// as stall. An error wraps [ErrWrong] where the whole is not what its name says.
func (p *Part) Take(ctx context.Context, s Stream, size int64, stall time.Duration, took func(n int) error) error {
	buf := make([]byte, bufferBytes)
	for p.have < size {
		if err := await(ctx, s, stall); err != nil {
			return err
		}
		n, err := s.Read(buf[:min(int64(len(buf)), size-p.have)])
		if n > 0 {
			if _, err := p.Write(buf[:n]); err != nil {
				return err
			}
			if took != nil {
				if err := took(n); err != nil {
					return err
				}
			}
		}
		if err != nil && p.have < size {
			return fmt.Errorf("after %d of %d bytes: %w", p.have, size, err)
		}
	}
	if !p.Right() {
		return ErrWrong
	}
	return nil
}

// await gives the stream so long until something comes. The end of ctx may be a deadline
// of the stream as well, which this one must not put off.
func await(ctx context.Context, s Stream, stall time.Duration) error {
	_ = s.SetReadDeadline(time.Now().Add(stall))
	return ctx.Err()
}
