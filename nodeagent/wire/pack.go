package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Frames that are written together may travel packed: one frame of type
// [TypePackedAgent] or [TypePackedOrchestrator] whose body is a zstd frame of them.
// A lossy link carries few bytes, and steps and reports look much alike.

const (
	// packBytesMin is the least that is worth packing.
	packBytesMin = 512
	// packedBytesMax bounds what is packed into one frame, before compression. It is
	// what a peer can make the reader allocate with a small frame.
	packedBytesMax = 2 << 20
	packWindow     = 256 << 10
)

var (
	encoder = sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2),
			zstd.WithWindowSize(packWindow), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	})
	decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(packedBytesMax), zstd.WithDecoderMaxWindow(packWindow))
	})
)

// pack returns the frame that carries the frames, or nothing where that is no gain.
func pack(frames []byte, side Side) ([]byte, error) {
	if len(frames) < packBytesMin || len(frames) > packedBytesMax {
		return nil, nil
	}
	e, err := encoder()
	if err != nil {
		return nil, fmt.Errorf("packing frames: %w", err)
	}
	t := TypePackedAgent
	if side == Orchestrator {
		t = TypePackedOrchestrator
	}
	out := e.EncodeAll(frames, append(make([]byte, 0, len(frames)), 0, 0, 0, 0, byte(t)))
	if len(out) >= len(frames) {
		return nil, nil
	}
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	return out, nil
}

// unpack returns the frames in a packed frame's body.
func unpack(body []byte) ([]byte, error) {
	d, err := decoder()
	if err != nil {
		return nil, fmt.Errorf("unpacking frames: %w", err)
	}
	frames, err := d.DecodeAll(body, nil)
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded), len(frames) > packedBytesMax:
		return nil, fmt.Errorf("packed frames: %w", ErrTooLarge)
	case err != nil:
		return nil, fmt.Errorf("%w: packed frames: %w", ErrMalformed, err)
	}
	return frames, nil
}

// A Reader reads the messages that one side sends, packed or not. It is not safe for
// concurrent use.
type Reader struct {
	r        io.Reader
	side     Side
	protocol Protocol
	unpacked bytes.Reader
}

// NewReader returns a Reader of what the side sends. It reads in small pieces: give
// it a buffered r.
func NewReader(r io.Reader, side Side) *Reader { return Newest.NewReader(r, side) }

// Read returns the next message. Errors are those of [ReadFrom].
func (r *Reader) Read() (Message, error) {
	for {
		if r.unpacked.Len() > 0 {
			m, _, err := read(&r.unpacked, r.protocol, r.side, false)
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return m, err
		}
		m, packed, err := read(r.r, r.protocol, r.side, true)
		if err != nil || m != nil {
			return m, err
		}
		frames, err := unpack(packed)
		if err != nil {
			return nil, err
		}
		r.unpacked.Reset(frames)
	}
}
