package mux

import "encoding/binary"

// What is looked at of a frame of yamux, by its specification: a byte of the version,
// one of the type, two of flags, four of the stream, four of the length.
const (
	frameHeaderBytes = 12
	frameData        = 0 // the one type behind which bytes follow
	flagSYN          = 1
)

type frameHeader [frameHeaderBytes]byte

// data is how many bytes follow.
func (h *frameHeader) data() int {
	if h[1] != frameData {
		return 0
	}
	return int(binary.BigEndian.Uint32(h[8:]))
}

func (h *frameHeader) stream() uint32 { return binary.BigEndian.Uint32(h[4:]) }
func (h *frameHeader) opens() bool    { return binary.BigEndian.Uint16(h[2:])&flagSYN != 0 }
